"""What the end of a job means for the round that it belongs to.

A round of several folds has a job for its preparation, one for each fold and one for its end. The transaction that ends
the last fold, in whatever way, enqueues the job that ends the round; so a crash between two of them loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.catalog.queries import rounds, training
from mrseg_label.catalog.tables import Job, Round, RoundFold
from mrseg_label.catalog.types import ENDED_ROUNDS, FoldState, JobKind, JobState, RoundState
from mrseg_label.jobs.queue import FINISH_ROUND, enqueue

FOLDS_KEY = "folds"  # of Round.result: numbers of the folds of the version that it registered
VERSION_KEY = "model_version"
PREPARATION_KEY = "preparation"  # the report of planning and preprocessing, until the folds are joined
FAILED_KEY = "failed_folds"
SHOWN_OF_FOLD = ("mean_dsc", "unseen_cases")  # of RoundFold.result; the rest is for the program alone
_UNFINISHED = (FoldState.QUEUED, FoldState.RUNNING)


def end_in_round(session: Session, job: Job, moment: datetime) -> None:
    """Record in its round that a job was cancelled or has failed for good, if it is one of a round."""
    fold = training.fold_of_job(session, job.id)
    if fold is not None:
        number = fold.round_number
        row = rounds.get(session, number, lock=True)
        fold.state = FoldState.CANCELLED if job.state is JobState.CANCELLED else FoldState.FAILED
        fold.error, fold.finished_at = job.error, moment
        if row is not None:
            settle_folds(session, row, moment)
        return
    row = rounds.of_job(session, job.id)
    if row is not None and row.state not in ENDED_ROUNDS:
        state = RoundState.CANCELLED if job.state is JobState.CANCELLED else RoundState.FAILED
        end_round(session, row, state, job.error, moment)


def wait_in_round(session: Session, job: Job) -> None:
    """Show in its round that a job waits in the queue again, if it is one of a round."""
    fold = training.fold_of_job(session, job.id)
    if fold is not None:
        fold.state = FoldState.QUEUED
        return
    row = rounds.of_job(session, job.id)
    if row is not None and row.state not in ENDED_ROUNDS and job.kind == JobKind.TRAIN_ROUND:
        row.state = RoundState.QUEUED


def settle_folds(session: Session, row: Round, moment: datetime) -> None:
    """Go on with a round when none of its folds is queued or running any more.

    A round is finished with the folds that succeeded, if one did.

    Parameters
    ----------
    row : locked, so that of two folds that end at the same moment the second sees the first.
    """
    folds = training.folds_now(session, row.number)
    if row.state in ENDED_ROUNDS or any(fold.state in _UNFINISHED for fold in folds):
        return
    done = [fold.fold for fold in folds if fold.state is FoldState.DONE]
    if any(fold.state is FoldState.CANCELLED or _is_cancelled(session, fold) for fold in folds):
        end_round(session, row, RoundState.CANCELLED, "cancelled by an admin", moment)
    elif not done or done == row.result.get(FOLDS_KEY):
        end_round(session, row, RoundState.FAILED, describe_failed(folds, row.number), moment)
    else:
        job = enqueue(session, FINISH_ROUND, {"round": row.number}, key=str(row.number))
        row.job_id, row.state = job.id, RoundState.EVALUATING
        row.progress = {"stage": "queued", "folds": len(folds), "folds_done": len(done), "fraction": 1.0}


def end_round(session: Session, row: Round, state: RoundState, error: str | None, moment: datetime) -> None:
    """End a round without a new version; one that has registered a version before stays done."""
    row.state = RoundState.DONE if row.result.get(VERSION_KEY) else state
    row.error, row.finished_at = error, moment
    training.end_folds(session, row.number, FoldState(str(state)), error)


def describe_failed(folds: Sequence[RoundFold], number: int) -> str:
    """Say which folds failed and why, and what an admin can do."""
    failed = [fold for fold in folds if fold.state is FoldState.FAILED]
    named = "; ".join(f"fold {fold.fold}: {_last_line(fold.error)}" for fold in failed)
    return (
        f"{len(failed)} of {len(folds)} folds failed: {named}. See mrseg-label rounds log {number}; when the cause is "
        f"mended, mrseg-label rounds retry {number} trains only what is missing"
    )


def _is_cancelled(session: Session, fold: RoundFold) -> bool:
    return fold.job_id is not None and rows.cancel_requested(session, fold.job_id)


def _last_line(error: str | None) -> str:
    return ((error or "").strip().splitlines() or ["no reason was reported"])[-1]
