"""What a training writes into its folder reaches the catalogue, bounded, and is read from there on another machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import jobs, training
from mrseg_label.catalog.queries import rounds as round_rows
from mrseg_label.catalog.types import FoldState, JobState
from mrseg_label.cli import app
from mrseg_label.errors import Cancelled, LeaseLost, NotFound
from mrseg_label.jobs.deaths import count_death
from mrseg_label.nnunet.reporting import write_curve
from mrseg_label.nnunet.run import TrainingProgress
from mrseg_label.reports.rounds import read_fold, read_log, read_round
from mrseg_label.rounds import recording
from mrseg_label.rounds.recording import TrainingRecorder
from mrseg_label.rounds.service import log_path, run_folder, start_in_transaction
from mrseg_label.workspace import Workspace

POINT = {"train_loss": -0.5, "validation_loss": None, "pseudo_dice": 0.6, "pseudo_dice_average": 0.5,
         "learning_rate": 0.01, "seconds": 2.5}  # fmt: skip


@pytest.fixture
def opened(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws", settings_text=database_settings)
    workspace = open_workspace(tmp_path / "ws")
    with workspace.catalog.begin() as session:
        start_in_transaction(session, workspace.settings, actor="test")
    run_folder(workspace, 1).mkdir(parents=True)
    yield workspace
    workspace.catalog.close()


def at(fold: int, epoch: int) -> TrainingProgress:
    return TrainingProgress("training", fold, (0, 1), epoch, 4, epoch * 10, 40, -0.25, 0.5, 0.01, 61.0, beat=epoch)


def train(folder: Path, fold: int, epoch: int) -> TrainingProgress:
    """What the process of a training writes."""
    write_curve(folder, fold, [{"epoch": done + 1, **POINT} for done in range(epoch)])
    progress = at(fold, epoch)
    progress.write(folder)
    return progress


def test_folds_curves_and_log_are_read_without_the_files(opened: OpenedWorkspace) -> None:
    folder = run_folder(opened, 1)
    with pytest.raises(NotFound, match="round 1 has no fold 0; its training has not begun"):
        read_fold(opened.catalog, 1, 0)
    log_path(opened, 1).write_bytes(b"fold 0\n\0half a li")
    with TrainingRecorder(opened.catalog, 1, folder) as recorder:
        recorder.record(TrainingProgress("planning"))
        recorder.record(train(folder, 0, 3))
        with opened.catalog.read() as session:  # whole lines, while the training goes on
            assert [piece.text for piece in training.pieces(session, 1, None)] == ["fold 0\n"]
        train(folder, 0, 4)
        recorder.record(train(folder, 1, 1))
        with log_path(opened, 1).open("ab") as log:
            log.write("ne: 4 µs".encode())
        TrainingProgress("done", folds=(0, 1)).write(folder)
        write_curve(folder, 1, [{"epoch": 1, **POINT}])
    shutil.rmtree(folder)
    first, second = read_round(opened.catalog, 1).folds
    assert (first.fold, first.state, first.progress["epoch"], first.progress["fraction"]) == (0, "done", 4, 1.0)
    assert (second.state, second.progress["pseudo_dice"], second.progress["learning_rate"]) == ("done", 0.5, 0.01)
    assert first.started and first.finished
    curve = read_fold(opened.catalog, 1, 0).curve
    assert [point.epoch for point in curve] == [1, 2, 3, 4]
    assert curve[0].model_dump() == {"epoch": 1, **POINT}
    assert read_log(opened, 1) == read_log(opened, 1, 1) == "fold 0\nhalf a line: 4 µs"
    with pytest.raises(NotFound, match="has no fold 7; it has 0, 1"):
        read_log(opened, 1, 7)
    shown = CliRunner().invoke(app, ["rounds", "show", "1", "--workspace", str(opened.root)]).output
    assert "done, epoch 4 of 4, loss -0.250, pseudo-Dice 0.500" in shown
    printed = CliRunner().invoke(app, ["rounds", "log", "1", "--fold", "0", "--workspace", str(opened.root), "--json"])
    assert json.loads(printed.output)["log"].startswith("fold 0\n")


def test_a_fold_with_a_job_of_its_own_has_a_log_of_its_own(opened: OpenedWorkspace) -> None:
    log_path(opened, 1).write_text("plans\n")
    with TrainingRecorder(opened.catalog, 1, run_folder(opened, 1)):
        pass
    for fold in (1, 0):
        folder = run_folder(opened, 1, fold)
        folder.mkdir()
        log_path(opened, 1, fold).write_text(f"epochs of {fold}\n")
        TrainingProgress("training", fold, (fold,), 1, 4, 10, 40).write(folder)
        with TrainingRecorder(opened.catalog, 1, folder, fold) as recorder:
            recorder.record(TrainingProgress.read(folder))
            TrainingProgress("done", folds=(fold,)).write(folder)
    # The job of a fold ends it, when its result is stored.
    assert [fold.state for fold in read_round(opened.catalog, 1).folds] == ["running", "running"]
    assert [fold.progress["fraction"] for fold in read_round(opened.catalog, 1).folds] == [1.0, 1.0]
    for _ in ("from the files", "from the catalogue"):
        assert read_log(opened, 1, 0) == "epochs of 0\n"
        assert read_log(opened, 1) == "plans\n\n==> fold 0 <==\nepochs of 0\n\n==> fold 1 <==\nepochs of 1\n"
        shutil.rmtree(run_folder(opened, 1), ignore_errors=True)


def test_the_next_attempt_adds_what_the_one_before_it_left_out(opened: OpenedWorkspace) -> None:
    folder = run_folder(opened, 1)
    log = log_path(opened, 1)
    log.write_text("one\n")
    with pytest.raises(Cancelled), TrainingRecorder(opened.catalog, 1, folder):
        raise Cancelled("cancelled")
    log.write_text("one\ntwo\n")
    with pytest.raises(LeaseLost), TrainingRecorder(opened.catalog, 1, folder) as recorder:
        train(folder, 0, 2)
        raise LeaseLost("another attempt stores it")
    with opened.catalog.read() as session:
        assert [piece.text for piece in training.pieces(session, 1, None)] == ["one\n"]
        assert not training.folds(session, 1)
    with TrainingRecorder(opened.catalog, 1, folder) as recorder:
        recorder.record(train(folder, 0, 3))
    log.unlink()
    assert read_log(opened, 1) == "one\ntwo\n"
    log.write_text("new\n")  # a file that was begun anew
    with TrainingRecorder(opened.catalog, 1, folder):
        pass
    log.unlink()
    assert read_log(opened, 1) == "one\ntwo\nnew\n"


def test_a_log_is_bounded(opened: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "LOG_CHARACTERS", 4000)
    monkeypatch.setattr(recording, "PIECE_CHARACTERS", 500)
    folder = run_folder(opened, 1)
    lines = [f"line {number:04d}\n" for number in range(2000)]
    for part in range(20):
        with log_path(opened, 1).open("a") as log:
            log.writelines(lines[part * 100 : (part + 1) * 100])
        with TrainingRecorder(opened.catalog, 1, folder):
            pass
    log_path(opened, 1).unlink()
    with opened.catalog.read() as session:
        assert len(training.pieces(session, 1, None)) < 10
    text = read_log(opened, 1)
    assert 2000 < len(text) <= 4000
    assert text == "".join(lines)[-len(text) :] and text.startswith("line ")


def test_the_folds_of_a_round_whose_worker_died_end_with_it(opened: OpenedWorkspace) -> None:
    folder = run_folder(opened, 1)
    with TrainingRecorder(opened.catalog, 1, folder) as recorder:
        recorder.record(train(folder, 0, 1))
    with opened.catalog.begin() as session:
        row = round_rows.get(session, 1)
        assert row is not None
        job = jobs.get(session, row.job_id or "")
        assert job is not None
        job.state, job.attempt, job.deaths = JobState.RUNNING, 3, 2
        count_death(session, job, opened.catalog.now(session))
    (fold,) = read_round(opened.catalog, 1).folds
    assert fold.state is FoldState.FAILED and "its process died three times" in (fold.error or "")
