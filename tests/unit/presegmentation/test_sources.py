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
from mrseg_label.presegmentation.sources import Preparation, Source, choose_source, choose_sources, networks_in_use
from mrseg_label.presegmentation.weights import CHECKPOINT, DATASET, MODEL, WeightsKind, find_weights, require_weights


@pytest.mark.parametrize("sequence", ["in", "opp", "T1", "t2", "t1w vibe", "", "localizer", "offset"])
def test_bright_fat_is_inverted(sequence: str) -> None:
    assert choose_sources(sequence) == (Source("total_fast", Preparation.INVERTED),)


@pytest.mark.parametrize("sequence", ["water", "W", "T1fs", "t1-fs", "t2_haste_fs", "T1 FatSat", "STIR"])
def test_dark_fat_is_equalized(sequence: str) -> None:
    assert choose_source(sequence) == Source("total_fast", Preparation.EQUALIZED)


def test_hounsfield_units_are_kept() -> None:
    assert str(choose_source("CT")) == "raw"


@pytest.mark.parametrize(
    ("configured", "by_sequence"),
    [
        (
            "T1=equalized, water=inverted; *=raw",  # a preparation alone leaves known contrasts alone
            {"t1": "equalized", "water": "inverted", "odd one": "raw", "in": "inverted"},
        ),
        ("*=total_mr,T1=total", {"in": "total_mr", "CT": "total_mr", "odd": "total_mr", "t1": "total:inverted"}),
        ("*=total_v3", {"water": "total_v3:equalized", "ct": "total_v3:raw", "t2": "total_v3:inverted"}),
        ("T1=Total_MR:raw + mrsegmentator+total_fast", {"t1": "total_mr mrsegmentator inverted"}),
        ("T1=model:round-2:inverted,*=model:import-0a", {"t1": "model:round-2:inverted", "in": "model:import-0a"}),
        ("T2=total_fast:raw", {"t2": "raw"}),
        ("  ", {"in": "inverted"}),
    ],
)  # fmt: skip
def test_settings_choose_sources(configured: str, by_sequence: dict[str, str]) -> None:
    for sequence, expected in by_sequence.items():
        chosen = choose_sources(sequence, configured)
        assert " ".join(map(str, chosen)) == expected
        assert tuple(map(Source.parse, expected.split())) == chosen  # a source is read as it is written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("T1", "not of the form SEQUENCE=SOURCE"),
        ("=raw", "not of the form"),
        ("T1=bright", "'bright' is not a source; use one of"),
        ("T1=total_mrr", r"did you mean total_mr\?"),
        ("T1=total:invertd", r"'invertd' is no preparation; did you mean inverted\?"),
        ("T1=model:", "is not a source"),
        ("T1=raw+", "'' is not a source"),
        ("T1=raw,t1=inverted", "names 't1' twice"),
        ("T1=raw + total_fast:raw", "names a source twice"),
    ],
)
def test_malformed_settings_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"BOOTSTRAP_SOURCES.*{message}"):
        choose_source("in", text)


def test_the_networks_in_use_are_those_of_the_setting() -> None:
    assert networks_in_use() == ["total_fast"]
    assert networks_in_use("*=total_mr") == ["total_mr"]
    assert set(networks_in_use("*=total_mr,CT=total")) == {"total_mr", "total"}


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
