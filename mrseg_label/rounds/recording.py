"""Store what a training reports in the catalogue: the progress and the curve of each fold, and the log.

The files of a run lie where it trains; the server, which may run on another machine, reads the catalogue. Rate and size
are bounded: a fold is stored every two seconds at most, its curve every fifteen, and of a log the last megabyte is kept,
in pieces of which the oldest are deleted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import training as rows
from mrseg_label.catalog.tables import RoundLog
from mrseg_label.catalog.types import FoldState, finite
from mrseg_label.clock import now
from mrseg_label.errors import LeaseLost, MrsegError
from mrseg_label.nnunet.reporting import read_curve
from mrseg_label.nnunet.run import LOG_FILE, TrainingProgress

PROGRESS_SECONDS = 2.0
LOG_SECONDS = 5.0
CURVE_SECONDS = 15.0
LOG_CHARACTERS = 1 << 20  # kept of each log
PIECE_CHARACTERS = 1 << 14  # a piece that has more is not added to any more
_READ_BYTES = 1 << 18


class TrainingRecorder:
    """Stores the reports of one training at a bounded rate.

    Parameters
    ----------
    folder : of the run.
    fold : the fold that a job of its own trains; None for the training of a whole round, whose log is the round's.
    """

    def __init__(self, catalog: Catalog, number: int, folder: Path, fold: int | None = None) -> None:
        self._catalog, self._number, self._folder, self._fold = catalog, number, folder, fold
        self._due = {"progress": 0.0, "log": 0.0, "curve": 0.0}
        self._running: int | None = None
        self._stage = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        """Store what came last. An attempt that has lost its job stores nothing: the next one does."""
        if kind is None:
            self._finish()
        elif not issubclass(kind, LeaseLost):
            with suppress(MrsegError):  # the database does not answer, and what happened before matters more
                self._finish()

    def record(self, progress: TrainingProgress) -> bool:
        """Store what is new, if the last time is long enough ago. Call it as often as convenient.

        Returns
        -------
        Whether it was long enough ago, or another stage or fold has begun: what else is stored of it may be stored now.
        """
        next_fold = progress.stage == "training" and progress.fold != self._running
        due = self._is_due("progress", PROGRESS_SECONDS) or next_fold or progress.stage != self._stage
        self._stage = progress.stage
        if due:
            with_curve = self._is_due("curve", CURVE_SECONDS)
            with self._catalog.begin() as session:
                self._store(session, progress, with_curve=with_curve)
        if self._is_due("log", LOG_SECONDS):
            self._store_log(whole=False)
        return due

    def _finish(self) -> None:
        with self._catalog.begin() as session:
            self._store(session, TrainingProgress.read(self._folder), with_curve=True)
        self._store_log(whole=True)

    def _is_due(self, what: str, seconds: float) -> bool:
        moment = time.monotonic()
        if moment < self._due[what]:
            return False
        self._due[what] = moment + seconds
        return True

    def _store(self, session: Session, progress: TrainingProgress, *, with_curve: bool) -> None:
        running = progress.fold if progress.stage in ("training", "validating") else None
        if running is not None:
            trained = progress.folds[: progress.folds.index(running)]
        else:
            trained = progress.folds if progress.stage in ("exporting", "done") else ()
        for fold in trained:
            self._end_trained(session, fold)
        if running is None:
            return
        row = rows.get_or_add(session, self._number, running)
        if running != self._running:
            row.state, row.error, row.finished_at = FoldState.RUNNING, None, None
            row.started_at = row.started_at or now()
        if with_curve or running != self._running:
            row.curve = [*read_curve(self._folder, running)]
        row.progress = fold_progress(progress)
        self._running = running

    def _end_trained(self, session: Session, fold: int) -> None:
        row = rows.get_or_add(session, self._number, fold)
        if row.state is FoldState.DONE:
            return
        row.curve = [*read_curve(self._folder, fold)]
        row.started_at = row.started_at or now()
        if "epochs" in row.progress:
            ended = {"epoch": row.progress["epochs"], "iteration": row.progress["iterations"]}
            row.progress = {**row.progress, **ended, "fraction": 1.0, "seconds_left": 0.0}
        if self._fold is None:  # a job of its own ends its fold with what it publishes
            rows.end_fold(row, FoldState.DONE)

    def _store_log(self, *, whole: bool) -> None:
        """Add what the log has gained since the last piece, in whole lines unless it is complete."""
        for text, end in self._new_text(whole):
            with self._catalog.begin() as session:
                last = rows.newest_piece(session, self._number, self._fold)
                if last is not None and len(last.text) < PIECE_CHARACTERS and last.file_end <= end:
                    last.text += text
                    last.file_end = end
                else:
                    session.add(RoundLog(round_number=self._number, fold=self._fold, text=text, file_end=end))
                    session.flush()
                    self._delete_oldest(session)

    def _new_text(self, whole: bool) -> Iterator[tuple[str, int]]:
        path = self._folder / LOG_FILE
        with self._catalog.read() as session:
            last = rows.newest_piece(session, self._number, self._fold)
        try:
            size = path.stat().st_size
            start = last.file_end if last is not None and last.file_end <= size else 0
            start = max(start, size - LOG_CHARACTERS)
            with path.open("rb") as stream:
                stream.seek(start)
                while chunk := stream.read(_READ_BYTES):
                    lines = chunk[: chunk.rfind(b"\n") + 1]
                    taken = lines or (chunk if whole or len(chunk) == _READ_BYTES else b"")
                    if whole and start + len(chunk) >= size:
                        taken = chunk
                    if not taken:
                        return
                    start += len(taken)
                    stream.seek(start)
                    # A character 0, which PostgreSQL cannot store, is no text either.
                    yield taken.decode(errors="replace").replace("\0", ""), start
        except OSError:  # the training has not begun, or its folder is on a share that does not answer
            return

    def _delete_oldest(self, session: Session) -> None:
        pieces = list(rows.pieces_with_lengths(session, self._number, self._fold))
        excess = sum(length for _, length in pieces) - LOG_CHARACTERS
        for piece, length in pieces[:-1]:
            if excess <= 0:
                break
            session.delete(session.get_one(RoundLog, piece))
            excess -= length


def fold_progress(progress: TrainingProgress) -> dict[str, Any]:
    """The progress of a fold as it is stored and shown."""
    done = progress.iteration / progress.total_iterations if progress.total_iterations else 0.0
    values: dict[str, Any] = finite(
        {
            "stage": progress.stage,
            "epoch": progress.epoch,
            "epochs": progress.total_epochs,
            "iteration": progress.iteration,
            "iterations": progress.total_iterations,
            "loss": progress.loss,
            "pseudo_dice": progress.pseudo_dice,
            "learning_rate": progress.learning_rate,
            "seconds_left": progress.seconds_left,
            "fraction": round(done, 4),
        }
    )
    return values
