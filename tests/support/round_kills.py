"""A small study whose rounds are killed, again and again, in the stage that a test names."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.queries import rounds, training
from mrseg_label.catalog.types import ENDED_ROUNDS, JobState
from mrseg_label.jobs import queue
from mrseg_label.nnunet.run import TrainingProgress
from mrseg_label.rounds import service
from mrseg_label.worker.supervise import start_worker
from tests.support.process_trees import children_of
from tests.support.round_cases import NAMES, annotate, round_workspace

_OF_TRAINING = ("planning", "preprocessing", "training", "exporting", "validating")
SECONDS = 400.0  # for a round with all its kills, on a machine that does other work


@dataclass(frozen=True)
class Kill:
    """A kill in a stage.

    Attributes
    ----------
    stage : as a round or a training reports it, or one right after it; ``publishing`` begins when the model is moved to
        its place.
    victim : ``worker`` or ``trainer``.
    fold : the fold that has to be in that stage; None for the round itself.
    """

    stage: str
    victim: str = "worker"
    fold: int | None = None


@contextmanager
def small_study(folder: Path, participants: int) -> Iterator[OpenedWorkspace]:
    """A workspace with so many annotated participants and one more who is held out."""
    with round_workspace(folder) as workspace:
        for seed in range(1, participants + 1):
            # One structure of the first case was not annotated.
            annotate(workspace, folder, seed, NAMES[:2] if seed == 1 else NAMES, held_out=False)
        annotate(workspace, folder, participants + 1, NAMES, held_out=True)
        yield workspace


def start_final(workspace: OpenedWorkspace, folds: int) -> int:
    """Start a final round of so many folds."""
    number = service.start(workspace, final=True)
    with workspace.catalog.begin() as session:
        for row in training.folds(session, number)[folds:]:
            session.delete(row)
    return number


def run_round(workspace: OpenedWorkspace, number: int, kills: Sequence[Kill], log: Path) -> list[Kill]:
    """Run a round with one worker until it ends, killing in each of these stages once; returns the kills that struck."""
    waiting, struck = list(kills), []
    deadline = time.monotonic() + SECONDS
    with log.open("ab") as output:
        worker = _start(workspace, output)
        try:
            while not _has_ended(workspace, number):
                assert time.monotonic() < deadline, (
                    f"the round did not end; {waiting} did not strike\n{log.read_text()}"
                )
                for kill in waiting:
                    victim = worker.pid if kill.victim == "worker" else _trainer_of(worker.pid)
                    if victim is not None and _is_in(workspace, number, kill):
                        os.kill(victim, signal.SIGKILL)
                        waiting.remove(kill)
                        struck.append(kill)
                        break
                if worker.poll() is not None:
                    worker = _start(workspace, output)
                _hasten(workspace)
                _wait(workspace, number, waiting)
        finally:
            worker.kill()
            worker.wait()
    return struck


def _start(workspace: OpenedWorkspace, output: IO[bytes]) -> subprocess.Popen[bytes]:
    return start_worker(workspace.root, [queue.ROUNDS], output=output)


def _has_ended(workspace: OpenedWorkspace, number: int) -> bool:
    with workspace.catalog.read() as session:
        row = rounds.get(session, number)
        return row is not None and row.state in ENDED_ROUNDS


def _is_in(workspace: OpenedWorkspace, number: int, kill: Kill) -> bool:
    if kill.stage == "publishing":
        return (workspace.models / f"r{number}").exists()
    if kill.stage in _OF_TRAINING:  # which may be over before the catalogue is told
        stage = TrainingProgress.read(service.run_folder(workspace, number, kill.fold)).stage
        return stage in _OF_TRAINING[_OF_TRAINING.index(kill.stage) :]
    with workspace.catalog.read() as session:
        row = rounds.get(session, number)
        return row is not None and kill.stage in (row.state, row.progress.get("stage"))


def _wait(workspace: OpenedWorkspace, number: int, waiting: Sequence[Kill]) -> None:
    """Wait a little, or until a stage begins that is over in milliseconds."""
    brief = [kill for kill in waiting if kill.stage == "publishing"]
    end = time.monotonic() + 0.03
    while time.monotonic() < end and not any(_is_in(workspace, number, kill) for kill in brief):
        time.sleep(0.001 if brief else 0.03)


def _trainer_of(worker: int) -> int | None:
    """Process id of the training that a worker runs, below its supervisor."""
    for supervisor in children_of(worker):
        for child in children_of(supervisor):
            return child
    return None


def _hasten(workspace: OpenedWorkspace) -> None:
    """Have failed attempts tried again at once."""
    with workspace.catalog.begin() as session:
        for job in job_rows.list_in_states(session, [JobState.QUEUED]):
            job.not_before = None
