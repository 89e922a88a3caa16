"""Rounds of several folds, each trained by a job of its own; see tests/acceptance/test_kills.py too."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import jobs, models, training
from mrseg_label.catalog.types import RoundState
from mrseg_label.cli import app
from mrseg_label.jobs import queue
from mrseg_label.registry.layout import read_model
from mrseg_label.reports.rounds import read_round
from mrseg_label.rounds import service
from mrseg_label.worker.loop import Worker
from tests.support.round_kills import small_study, start_final

RESULTS = "results/Dataset501_round1/MrsegShortTrainer__nnUNetPlans__3d_fullres"


def work(opened: OpenedWorkspace) -> None:
    """Run the jobs of rounds until none is left, without the pauses after failed attempts."""
    worker = Worker(opened, [queue.ROUNDS])
    while worker.run_one():
        pass


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_fold_that_fails_leaves_the_others_and_is_trained_later(tmp_path: Path) -> None:
    with small_study(tmp_path, 5) as opened:
        number = start_final(opened, 2)
        blocked = opened.nnunet / RESULTS / "fold_1"
        blocked.parent.mkdir(parents=True)
        blocked.write_text("not a folder")  # the disk of a fold can break in many ways
        worker = Worker(opened, [queue.ROUNDS])
        assert worker.run_one()  # the preparation
        _allow_one_attempt(opened)
        work(opened)
        document = read_round(opened.catalog, number)
        assert document.state is RoundState.DONE, document.error
        assert [fold.state for fold in document.folds] == ["done", "failed"]
        assert document.result["folds"] == [0] and "fold_1" in document.result["failed_folds"]["1"]
        assert document.result["cross_validation_cases"] in (2, 3)
        shown = CliRunner().invoke(app, ["rounds", "show", "1", "--workspace", str(opened.root)]).output
        assert "fold 1" in shown and "failed" in shown
        with opened.catalog.read() as session:
            model = models.get(session, "r1")
        assert model is not None and read_model(opened.models / "r1").folds == ("fold_0",)

        blocked.unlink()
        service.retry(opened, number)
        work(opened)
        document = read_round(opened.catalog, number)
        assert document.state is RoundState.DONE, document.error
        assert document.model_version == "r1.2" and document.result["folds"] == [0, 1]
        assert "failed_folds" not in document.result and document.result["cross_validation_cases"] == 5
        assert read_model(opened.models / "r1.2").folds == ("fold_0", "fold_1")
        kept = opened.models / "r1" / "Dataset501_round1" / "nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres"
        again = opened.models / "r1.2" / kept.relative_to(opened.models / "r1")
        first, second = (folder / "fold_0" / "checkpoint_final.pth" for folder in (kept, again))
        assert first.read_bytes() == second.read_bytes()  # only what was missing was trained


def _allow_one_attempt(opened: OpenedWorkspace) -> None:
    with opened.catalog.begin() as session:
        for job in jobs.list_in_states(session):
            job.max_attempts = 1


@pytest.mark.timeout(600)
def test_held_out_participants_are_included_in_the_very_last_model(tmp_path: Path) -> None:
    with small_study(tmp_path, 5) as opened:
        service.start(opened, final=True, include_held_out=True)
        with opened.catalog.begin() as session:
            for row in training.folds(session, 1)[2:]:
                session.delete(row)
        work(opened)
        document = read_round(opened.catalog, 1)
        assert document.state is RoundState.DONE, document.error
        assert document.include_held_out and {str(case.role) for case in document.cases} == {"training"}
        assert document.result["promoted"] is False and "held-out participants too" in document.result["reason"]
        assert document.result["held_out_cases"] == 0 and document.result["cross_validation_cases"] == 6
        with opened.catalog.read() as session:
            assert models.saw_held_out(session, "r1") and models.newest_untainted(session).version == "bootstrap"
