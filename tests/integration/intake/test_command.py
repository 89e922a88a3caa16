"""``mrseg-label import``, ``exclude`` and ``include`` as commands."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.tables import Acquisition
from mrseg_label.cli import import_
from mrseg_label.errors import Conflict
from mrseg_label.workspace import Workspace


@pytest.fixture
def app() -> typer.Typer:
    application = typer.Typer()
    import_.register(application)
    return application


def test_import_as_json_then_exclude_and_include(app: typer.Typer, tmp_path: Path) -> None:
    Workspace.init(tmp_path / "ws")
    (tmp_path / "d/P 1").mkdir(parents=True)
    array = np.random.default_rng(1).integers(0, 100, (4, 5, 6)).astype(np.int16)
    nib.save(nib.Nifti1Image(array, np.diag([-1.0, -2.0, 3.0, 1.0])), tmp_path / "d/P 1/pelvis_W.nii.gz")
    (tmp_path / "d/participants.csv").write_text("participant,sex,age\nP 1,F,50\n")
    run = CliRunner().invoke
    at = ["--workspace", str(tmp_path / "ws"), "--json"]
    command = ["import", str(tmp_path / "d"), "--pattern", "{participant}/{station}_{sequence}.nii.gz", *at]
    result = run(app, command)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["refused"] == document["passed_over"] == []
    (entry,) = document["accepted"]
    assert (entry["participant"], entry["station"], entry["sequence"], entry["axcodes"]) == (
        "P 1",
        "pelvis",
        "water",
        "LPS",
    )
    assert (tmp_path / "ws" / entry["stored"]).is_file()
    (tmp_path / "d/P 1/odd.nii.gz").write_bytes(b"junk")
    again = run(app, command)
    assert again.exit_code == 1
    report = json.loads(again.stdout)
    assert (report["unchanged"], [Path(refusal["source"]).name for refusal in report["refused"]]) == (1, ["odd.nii.gz"])
    assert run(app, ["import", str(tmp_path), "--pattern", "{nobody}", *at]).exit_code == 2
    assert run(app, ["import", str(tmp_path), "--orientation", "XYZ", *at]).exit_code == 2
    excluded = run(app, ["exclude", entry["id"], "--reason", "motion", "--author", "anna", *at])
    assert json.loads(excluded.stdout) == {"excluded": [entry["group"]]}
    opened = open_workspace(tmp_path / "ws")
    with opened.catalog.read() as session:
        row = session.get_one(Acquisition, entry["group"])
        assert (row.excluded_by, row.excluded_reason) == ("anna", "motion")
        assert row.excluded_at is not None
    opened.catalog.close()
    assert isinstance(run(app, ["exclude", entry["id"], "--reason", "motion", *at]).exception, Conflict)
    assert json.loads(run(app, ["include", "P 1", *at]).stdout) == {"included": [entry["group"]]}


def test_the_printed_report_names_rows_that_match_no_participant(app: typer.Typer, tmp_path: Path) -> None:
    Workspace.init(tmp_path / "ws")
    (tmp_path / "d/0001").mkdir(parents=True)
    array = np.random.default_rng(1).integers(0, 100, (4, 5, 6)).astype(np.int16)
    nib.save(nib.Nifti1Image(array, np.diag([-1.0, -2.0, 3.0, 1.0])), tmp_path / "d/0001/T1.nii.gz")
    table = tmp_path / "d/participants.csv"
    table.write_text("participant,sex,age\n1,F,50\n77,M,40\n")
    command = ["import", str(tmp_path / "d"), "--workspace", str(tmp_path / "ws"), "--pattern", "{participant}/*"]
    strict = CliRunner().invoke(app, command)
    assert strict.exit_code == 0, strict.output
    assert (
        f"{table}, line 2: no participant '1'; the likely match is '0001': take it with --match-ids loose"
        in strict.output
    )
    assert f"{table}, line 3: no participant '77' in this import" in strict.output
    assert "1 participants of this import have no row" in strict.output
    loose = CliRunner().invoke(app, [*command, "--match-ids", "loose", "--json"])
    assert json.loads(loose.stdout)["matched_rows"] == [
        {"source": f"{table}, line 2", "row": "1", "participant": "0001"}
    ]


def test_the_printed_report_has_the_reason_of_a_refusal(app: typer.Typer, tmp_path: Path) -> None:
    Workspace.init(tmp_path / "ws")
    (tmp_path / "d").mkdir()
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)), tmp_path / "d/empty.nii.gz")
    result = CliRunner().invoke(app, ["import", str(tmp_path / "d"), "--workspace", str(tmp_path / "ws")])
    assert result.exit_code == 1
    assert "empty.nii.gz: all 120 voxels have the value 0" in result.stdout
    assert "0 accepted, 1 refused, 0 unchanged" in result.stdout
