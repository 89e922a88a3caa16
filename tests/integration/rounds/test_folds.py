"""Rounds of several folds, each trained by a job of its own."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.queries import models
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.queries import training as training_rows
from mrseg_label.catalog.types import FoldState, JobState, RoundState
from mrseg_label.cli import app
from mrseg_label.jobs import queue
from mrseg_label.registry import service as registry
from mrseg_label.reports.documents.round_values import RoundProgress, RoundResult
from mrseg_label.reports.rounds import read_round
from mrseg_label.rounds import service
from mrseg_label.worker.loop import Worker
from mrseg_label.workspace import Workspace
from tests.integration.rounds.test_round_job import NAMES, SETTINGS, annotate
from tests.support.nnunet_cases import SCHEME


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    (tmp_path / "labels.tsv").write_text(SCHEME.text)
    Workspace.init(tmp_path / "ws", tmp_path / "labels.tsv", SETTINGS.format(tmp_path / "no-weights"))
    workspace = open_workspace(tmp_path / "ws")
    yield workspace
    workspace.catalog.close()


def start(opened: OpenedWorkspace, folds: int) -> int:
    """Start a final round of so many folds."""
    number = service.start(opened, final=True)
    with opened.catalog.begin() as session:
        for row in training_rows.folds(session, number)[folds:]:
            session.delete(row)
    return number


def work(opened: OpenedWorkspace) -> None:
    """Run the jobs of rounds until none is left."""
    worker = Worker(opened, [queue.ROUNDS])
    while worker.run_one():
        pass


def states(opened: OpenedWorkspace, number: int) -> tuple[RoundState, list[FoldState]]:
    with opened.catalog.read() as session:
        row = rows.get(session, number)
        assert row is not None
        return row.state, [fold.state for fold in training_rows.folds(session, number)]


def test_folds_are_jobs_that_make_one_cross_validated_ensemble(opened: OpenedWorkspace, tmp_path: Path) -> None:
    for seed in range(1, 6):
        annotate(opened, tmp_path, seed, NAMES[:2] if seed == 1 else NAMES, held_out=False)
    annotate(opened, tmp_path, 6, NAMES, held_out=True)
    number = start(opened, 2)
    work(opened)
    document = read_round(opened.catalog, number)
    assert document.state is RoundState.DONE, document.error
    assert [fold.state for fold in document.folds] == ["done", "done"]
    assert document.result.keys() <= RoundResult.model_fields.keys()
    assert document.progress.keys() <= RoundProgress.model_fields.keys()
    with opened.catalog.read() as session:
        kinds = [job.kind for job in job_rows.list_in_states(session, list(JobState))]
        model = models.get(session, "r1")
    assert [kind for kind in kinds if kind in queue.QUEUE_OF and queue.QUEUE_OF[kind] == queue.ROUNDS] == [
        "train_round", "train_fold", "train_fold", "finish_round"
    ]  # fmt: skip
    assert model is not None and model.metrics["folds"] == [0, 1] and model.metrics["best_fold"] in (0, 1)
    validation = model.metrics["cross_validation"]
    assert validation["cases"] == 5 and validation["mean_dsc"] is not None
    assert validation["cases_by_structure"] == {"left_lung": 5, "right_lung": 5, "liver": 4}  # one was not annotated
    assert set(validation["mean_dsc_by_fold"]) == {"0", "1"}
    with zipfile.ZipFile(registry.archive(opened, "r1")) as archive:
        folds = {name.split("/")[2] for name in archive.namelist() if name.endswith("checkpoint_final.pth")}
    assert folds == {"fold_0", "fold_1"}
    assert not (opened.nnunet / "results" / "Dataset501_round1" / "exported").exists()
    shown = CliRunner().invoke(app, ["rounds", "show", "1", "--workspace", str(opened.root)]).output
    assert "fold 0" in shown and "fold 1" in shown and "done" in shown
    splits = json.loads((opened.nnunet / "raw" / "Dataset501_round1" / "splits_final.json").read_text())
    assert sorted(splits[0]["val"] + splits[1]["val"]) == sorted(splits[0]["train"] + splits[0]["val"])
