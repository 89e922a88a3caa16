"""Which sources make the drafts, and what a model version expects of its images and means by its labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import models
from mrseg_label.catalog.tables import ModelVersion
from mrseg_label.catalog.types import ModelStatus
from mrseg_label.cli import app
from mrseg_label.clock import now
from mrseg_label.presegmentation.installed import WeightsState
from mrseg_label.reports.models import read_model_detail
from mrseg_label.reports.sources import read_sources
from mrseg_label.reports.status import read_status
from mrseg_label.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws")
    with closing(open_workspace(tmp_path / "ws")) as opened:
        yield opened


def add_version(workspace: OpenedWorkspace, version: str, **conventions: object) -> None:
    """A version whose network took its images as they lay, and what was stated of it at its import."""
    folder = workspace.models / version / "Dataset001_Other" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps({"image_reader_writer": "SimpleITKIO"}))
    (folder / "mrseg_model.json").write_text(json.dumps(conventions))
    path = folder.relative_to(workspace.root).as_posix()
    with workspace.catalog.begin() as session:
        session.add(ModelVersion(version=version, status=ModelStatus.CANDIDATE, path=path, licence="MIT"))


def configure(workspace: OpenedWorkspace, text: str) -> OpenedWorkspace:
    (workspace.root / "mrseg.toml").write_text(text)
    return open_workspace(workspace.root)


def status(workspace: OpenedWorkspace) -> str:
    found = CliRunner().invoke(app, ["status", "--workspace", str(workspace.root)])
    assert found.exit_code == 0
    return found.output


def test_the_bootstrap_sources_are_listed_by_sequence(workspace: OpenedWorkspace) -> None:
    inverted, equalized = read_sources(workspace)
    assert (inverted.name, inverted.source) == ("TotalSegmentator inverted", "inverted")
    assert {"in", "t1", "*"} <= set(inverted.sequences) and {"water", "stir"} <= set(equalized.sequences)
    assert not set(inverted.sequences) & set(equalized.sequences)
    assert (inverted.orientation, inverted.weights, inverted.mixed) == ("RAS", WeightsState.STAND_IN, False)
    assert read_status(workspace).sources == [inverted, equalized]
    text = status(workspace)
    assert "drafts by" in text and "TotalSegmentator equalized for water," in text and "weights stand-in" in text
    assert read_model_detail(workspace, "bootstrap").orientation == "RAS"


def test_a_version_makes_the_drafts_and_others_are_mixed_in(workspace: OpenedWorkspace) -> None:
    add_version(workspace, "import-a", orientation="LPS", structures={"1": "liver", "2": None, "3": "liver"})
    with workspace.catalog.begin() as session:
        models.current(session).status = ModelStatus.RETIRED
        row = session.get_one(ModelVersion, "import-a")
        row.status, row.promoted_at = ModelStatus.CURRENT, now()
    own, *mixed = read_sources(workspace)
    assert (own.name, own.source, own.sequences, own.mixed) == ("import-a", "model:import-a", ["*"], False)
    assert (own.orientation, own.licences, own.weights, own.title) == ("LPS", ["MIT"], WeightsState.FOUND, "imported")
    assert [(one.name, one.mixed) for one in mixed] == [
        ("TotalSegmentator inverted", True),
        ("TotalSegmentator equalized", True),
    ]
    assert "mixed in" in status(workspace)
    detail = read_model_detail(workspace, "import-a")
    assert detail.orientation == "LPS" and detail.labels == {"1": "liver", "2": None, "3": "liver"}
    assert detail.labels_from == "stated at the import (labels: 2, of structures: 1, left out: 1)"
    shown = CliRunner().invoke(app, ["models", "show", "import-a", "--workspace", str(workspace.root)])
    assert "orientation  LPS" in shown.output and "label 2      left out" in shown.output


def test_missing_weights_and_malformed_settings_are_told_and_do_no_harm(workspace: OpenedWorkspace) -> None:
    with closing(configure(workspace, 'BOOTSTRAP_SOURCES = "*=total_mr+model:gone"')) as opened:
        own, joined = read_sources(opened)
    assert (own.source, own.title, own.weights) == (
        "total_mr",
        "TotalSegmentator total_mr, 1.5 mm",
        WeightsState.MISSING,
    )
    assert (joined.source, joined.mixed, joined.weights) == ("model:gone", True, WeightsState.MISSING)
    with closing(configure(workspace, 'BOOTSTRAP_SOURCES = "*=nonsense"')) as opened:
        assert read_status(opened).sources == []
        assert read_model_detail(opened, "bootstrap").labels_from.startswith("not known: BOOTSTRAP_SOURCES")
    with closing(configure(workspace, 'PRESEGMENTATION = "off"')) as opened:
        assert read_sources(opened) == []


def test_a_version_whose_files_are_gone_is_still_shown(workspace: OpenedWorkspace) -> None:
    add_version(workspace, "import-b")
    assert read_model_detail(workspace, "import-b").labels_from.startswith("not known: the model's reader, SimpleITKIO")
    (folder,) = workspace.models.glob("import-b/*/*")
    (folder / "plans.json").unlink()
    found = read_model_detail(workspace, "import-b")
    assert (found.orientation, found.labels_from) == (None, "not known: its files cannot be read here")
