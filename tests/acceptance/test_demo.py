"""The whole loop through the real server: submissions are stored, trained on and reported as they were sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from sqlalchemy import select

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import rounds as round_rows
from mrseg_label.catalog.tables import Annotation, Participant
from mrseg_label.catalog.types import CaseRole
from mrseg_label.simulation.radiologist import dsc_of_present, truth_on
from mrseg_label.simulation.slicer import read_image
from tests.acceptance.conftest import DemoRun, run_the_demo

REQUIRED = {
    "round",
    "model_version",
    "cases",
    "mean_dsc",
    "heldout_dsc",
    "edited_voxels_per_case",
    "edited_ml_per_case",
    "training_seconds",
    "promoted",
    "dsc",
}


@pytest.fixture(scope="module")
def stored(small_demo: DemoRun) -> Iterator[OpenedWorkspace]:
    workspace = open_workspace(small_demo.workspace)
    yield workspace
    workspace.catalog.close()


def test_the_report_has_the_promised_form(small_demo: DemoRun) -> None:
    report = small_demo.report
    assert [row["round"] for row in report["rounds"]] == [0, 1, 2]
    assert report["rounds"][0]["model_version"] == "bootstrap"
    for row in report["rounds"]:
        assert row.keys() >= REQUIRED
        assert row["cases"] == 3
        assert 0 <= row["mean_dsc"] <= 1
        assert 0 <= row["heldout_dsc"] <= 1
        assert row["edited_voxels_per_case"] > 0
        assert len(row["dsc"]) > 20
        assert sum(one["cases"] for one in row["by_role"].values()) == row["cases"]
    assert any(case["held_out"] for case in report["cases"]) and not all(case["held_out"] for case in report["cases"])
    assert report["rounds"][0]["training_seconds"] == 0
    assert report["rounds"][1]["training_seconds"] > 0
    assert set(report["sources"]) == {"raw", "inverted", "equalized"}
    assert {"in", "opp", "t1", "water"} <= set(report["sources"]["raw"]["by_sequence"])
    assert any("inver" in note for note in report["notes"])
    assert report["seconds"] > 0


def test_the_table_is_printed(small_demo: DemoRun) -> None:
    for word in ("bootstrap", "mean DSC", "edited voxels", "pictures"):
        assert word in small_demo.output


def test_the_pictures_are_drawn(small_demo: DemoRun) -> None:
    pictures = small_demo.report["pictures"].values()
    assert len(pictures) == 3
    for name in pictures:
        assert (small_demo.workspace / "reports" / name).stat().st_size > 20_000


def test_every_submission_was_decoded_by_name(small_demo: DemoRun, stored: OpenedWorkspace) -> None:
    """In any segment order and file format, the stored mask is as close to the truth as the submitted one."""
    workspace = stored
    cases = {case["examination"]: case for case in small_demo.report["cases"]}
    with workspace.catalog.read() as session:
        annotations = session.scalars(select(Annotation)).all()
    assert {annotation.examination_id for annotation in annotations} == cases.keys()
    assert len({case["submitted_as"] for case in cases.values()}) > 1
    for annotation in annotations:
        case = cases[annotation.examination_id]
        mask = read_image(workspace.path(annotation.path))
        truth = truth_on(mask, small_demo.cohort / "truth" / case["participant"] / f"{case['station']}.nii.gz")
        labels = sitk.GetArrayFromImage(mask).astype(np.uint8)
        dsc = dsc_of_present(truth, labels, workspace.scheme)
        assert float(np.mean(list(dsc.values()))) == pytest.approx(case["corrected_dsc"], abs=1e-4)
        assert annotation.effort is not None
        if case["submitted_as"] == "empty segments removed":  # structures that are not listed are not annotated
            assert 0.5 * case["edited_voxels"] < annotation.effort["edited_voxels"] <= case["edited_voxels"]
        else:
            assert annotation.effort["edited_voxels"] == case["edited_voxels"]
        assert annotation.model_version == case["drafts_from"]


def test_two_readers_worked(small_demo: DemoRun) -> None:
    assert len({case["reader"] for case in small_demo.report["cases"]}) == 2


def test_no_model_was_trained_on_a_held_out_participant(small_demo: DemoRun, stored: OpenedWorkspace) -> None:
    with stored.catalog.read() as session:
        held_out = {row.code for row in session.scalars(select(Participant)) if row.held_out}
        assert len(held_out) >= 2
        for number in (1, 2):
            cases = round_rows.cases(session, number)
            roles = {(case.annotation.examination_id, case.role) for case in cases}
            participant_of = {case["examination"]: case["participant"] for case in small_demo.report["cases"]}
            assert {participant_of[examination] for examination, role in roles if role is CaseRole.HELD_OUT} <= held_out
            assert (
                not {participant_of[examination] for examination, role in roles if role is CaseRole.TRAINING} & held_out
            )
    for batch in range(3):  # each batch has cases to evaluate the next round on
        assert held_out & {case["participant"] for case in small_demo.report["cases"] if case["round"] == batch}


def test_the_last_batch_started_no_round(stored: OpenedWorkspace) -> None:
    workspace = stored
    assert not workspace.settings.auto_round
    with workspace.catalog.read() as session:
        assert [row.number for row in round_rows.page(session, 10)] in ([1, 2], [2, 1])


def test_the_server_never_saw_the_truth(small_demo: DemoRun) -> None:
    def digests(folder: Path) -> set[str]:
        return {hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*.nii.gz")}

    truth = digests(small_demo.cohort / "truth")
    assert truth
    assert not truth & digests(small_demo.workspace)


def test_no_process_is_left_running(small_demo: DemoRun) -> None:
    running = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended in the meantime
        if str(small_demo.workspace) in command:
            running.append(command)
    assert not running


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_demo_that_was_stopped_goes_on(tmp_path: Path) -> None:
    """Stopped by Ctrl-C while the cohort is made, while readers work and while a round trains."""
    state = tmp_path / "demo" / "demo.json"
    options = ("--rounds", "1", "--round-size", "2")

    def reached(*needed: str) -> bool:
        found = json.loads(state.read_text()) if state.exists() else {}
        return all(found.get(name) for name in needed)

    for needed in ("options",), ("truths", "batch"), ("rows",):
        stopped = run_the_demo(tmp_path, *options, stop_when=partial(reached, *needed), MRSEG_TRAINING_PROFILE="smoke")
        assert stopped.code == 130, stopped.output
        assert "Go on with: mrseg-label demo --workspace" in stopped.output and "Traceback" not in stopped.output
    run = run_the_demo(tmp_path, *options, MRSEG_TRAINING_PROFILE="smoke")
    assert run.code == 0, run.output
    assert "Going on with the demo" in run.output
    assert [row["round"] for row in run.report["rounds"]] == [0, 1]
    assert 3 <= len(run.report["cases"]) <= 4  # one that was submitted when Ctrl-C came may not be in the report
    assert {"learning_curve", "case_round_0", "case_round_1"} >= run.report["pictures"].keys() >= {"learning_curve"}
    again = run_the_demo(tmp_path, *options, MRSEG_TRAINING_PROFILE="smoke")
    assert again.code == 2 and "has finished" in again.output


@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_quality_rises_and_work_falls(tmp_path: Path) -> None:
    """With the default options, quality rises and work falls with each round, within the promised time."""
    run = run_the_demo(tmp_path)
    assert run.code == 0, run.output
    rows, sources = run.report["rounds"], run.report["sources"]
    dsc = [row["mean_dsc"] for row in rows]
    edited = [row["edited_voxels_per_case"] for row in rows]
    held_out = [row["heldout_dsc"] for row in rows]
    assert len(rows) == 3
    assert dsc[0] < dsc[1] < dsc[2]
    assert dsc[2] - dsc[0] >= 0.15
    assert edited[0] > edited[1] > edited[2]
    assert edited[2] <= 0.5 * edited[0]
    assert held_out[0] < held_out[1] <= held_out[2] + 0.02
    assert len({tuple(row["mix"].items()) for row in rows}) == 1
    assert {row["by_role"]["held_out"]["cases"] for row in rows} == {2}
    for sequence in ("in", "opp", "t1"):
        assert sources["inverted"]["by_sequence"][sequence] > sources["raw"]["by_sequence"][sequence]
    assert run.report["seconds"] < 900
