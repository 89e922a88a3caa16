"""Which source a sequence gets, and which weights are in use."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mrseg_label.errors import ConfigurationError, Unavailable
from mrseg_label.presegmentation import weights as weights_module
from mrseg_label.presegmentation.sources import Source, choose_source, parse_sources
from mrseg_label.presegmentation.weights import CHECKPOINT, DATASET, MODEL, WeightsKind, find_weights, require_weights


@pytest.mark.parametrize("sequence", ["in", "opp", "T1", "t2", "t1w vibe", "", "localizer", "offset"])
def test_bright_fat_is_inverted(sequence: str) -> None:
    assert choose_source(sequence) is Source.INVERTED


@pytest.mark.parametrize("sequence", ["water", "W", "T1fs", "t1-fs", "t2_haste_fs", "T1 FatSat", "STIR"])
def test_dark_fat_is_equalized(sequence: str) -> None:
    assert choose_source(sequence) is Source.EQUALIZED


def test_hounsfield_units_are_kept() -> None:
    assert choose_source("CT") is Source.RAW


def test_settings_override_the_defaults() -> None:
    configured = "T1=equalized, water=inverted; *=raw"
    assert choose_source("t1", configured) is Source.EQUALIZED
    assert choose_source("water", configured) is Source.INVERTED
    assert choose_source("odd one", configured) is Source.RAW
    assert choose_source("in", configured) is Source.INVERTED
    assert parse_sources("  ") == {}


@pytest.mark.parametrize("text", ["T1", "T1=bright", "=raw", "T1=raw,t1=inverted"])
def test_malformed_settings_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="BOOTSTRAP_SOURCES"):
        choose_source("in", text)


def make_folder(root: Path, description: str = "") -> Path:
    model = root / DATASET / MODEL
    (model / CHECKPOINT).parent.mkdir(parents=True)
    (model / "dataset.json").write_text(json.dumps({"description": description}))
    (model / "plans.json").write_text("{}")
    (model / CHECKPOINT).write_bytes(b"weights")
    return root


def test_the_configured_weights_are_distinguished_from_the_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = make_folder(tmp_path / "published")
    stand_in = make_folder(tmp_path / "own", "Stand-in trained on synthetic phantoms")
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(stand_in))
    found = find_weights(published)
    assert found.kind is WeightsKind.PUBLISHED and found.path == published and found.advice is None
    assert found.digest == hashlib.sha256(b"weights").hexdigest()
    found = find_weights()
    assert found.kind is WeightsKind.STAND_IN and "of no use for patients" in found.description
    assert found.advice is not None and "TOTALSEG_WEIGHTS_PATH" in found.advice


def test_a_missing_file_is_named_with_how_to_install_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOTALSEG_WEIGHTS_PATH", raising=False)
    with pytest.raises(ConfigurationError, match=rf"{DATASET}.*dataset\.json is missing.*totalseg_download_weights"):
        find_weights(tmp_path)
    folder = make_folder(tmp_path / "w")
    (folder / DATASET / MODEL / CHECKPOINT).unlink()
    with pytest.raises(Unavailable, match=r"checkpoint_final\.pth is missing"):
        require_weights(folder)
    monkeypatch.setattr(weights_module, "sample_data", lambda: tmp_path)
    with pytest.raises(Unavailable, match="not part of this installation"):
        find_weights()


def test_the_server_can_look_for_weights_without_loading_torch() -> None:
    code = (
        "import sys; import mrseg_label.presegmentation.weights, mrseg_label.presegmentation.sources;"
        "import mrseg_label.imaging.intensity;"
        "assert not {'torch', 'nnunetv2', 'totalsegmentator'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
