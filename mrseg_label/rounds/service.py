"""Start, cancel and retry rounds. Loads no torch: the server process imports it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, audit, models, participants, training
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import Round
from mrseg_label.catalog.types import ENDED_ROUNDS, LOCAL, PROGRAM, FoldState, JobState, RoundState
from mrseg_label.clock import now
from mrseg_label.config import Settings, load_settings
from mrseg_label.errors import Conflict, NotFound
from mrseg_label.jobs import enqueue, queue, request_cancel
from mrseg_label.workspace import Workspace


def start(workspace: OpenedWorkspace, *, actor: str = LOCAL, final: bool = False) -> int:
    """Start a round on everything annotated so far.

    Returns
    -------
    The number of the round.

    Raises
    ------
    Conflict
        Another round is queued or running, or no annotated case can be trained on.
    """
    settings = load_settings(workspace.root)
    with workspace.catalog.begin() as session:
        running = rows.active(session)
        if running is not None:
            raise Conflict(_still_active(running))
        obstacle = find_obstacle(session)
        if obstacle is not None:
            raise Conflict(obstacle)
        return start_in_transaction(session, settings, actor=actor, final=final).number


def find_obstacle(session: Session) -> str | None:
    """Explain why a round could not train on what is annotated so far; None if it could."""
    participants.decide_held_out(session)
    candidates = annotation_rows.snapshot_candidates(session)
    if not candidates:
        return "nothing is annotated yet; a round needs at least one annotated case"
    if all(participant.held_out for _, participant in candidates):
        return (
            "every case annotated so far belongs to a held-out participant and is reserved for evaluation; "
            "annotate a case of another participant"
        )
    return None


def start_in_transaction(session: Session, settings: Settings, *, actor: str, final: bool = False) -> Round:
    """Start a round within a transaction."""
    number = rows.next_number(session)
    parent = models.current(session).version
    row = Round(number=number, state=RoundState.QUEUED, profile=settings.training_profile, final=final, parent=parent)
    session.add(row)
    job = enqueue(session, queue.TRAIN_ROUND, {"round": number}, key=str(number))
    row.job_id = job.id
    audit.record(session, actor, "round.start", str(number), profile=row.profile, final=final)
    return row


def start_if_due(session: Session, settings: Settings) -> int | None:
    """Start a round within a transaction if ROUND_SIZE cases are newly annotated and no round is active.

    Returns
    -------
    The number of the round, or None if none was started.
    """
    if not settings.auto_round or acquisitions.annotated_since_round(session) < settings.round_size:
        return None
    if rows.active(session) is not None or find_obstacle(session) is not None:
        return None
    return start_in_transaction(session, settings, actor=PROGRAM).number


def cancel(workspace: OpenedWorkspace, number: int, *, actor: str = LOCAL) -> None:
    """Cancel a round: a queued one at once, a running one as soon as its processes have ended.

    Raises
    ------
    NotFound, Conflict
        There is no such round, or it has already ended.
    """
    with workspace.catalog.begin() as session:
        row = _get(session, number)
        if row.state in ENDED_ROUNDS:
            raise Conflict(f"round {number} is already {row.state} and cannot be cancelled")
        job = job_rows.get(session, row.job_id or "")
        if job is not None and job.state in job_rows.ACTIVE:
            request_cancel(job)
        if job is None or job.state is not JobState.RUNNING:
            row.state = RoundState.CANCELLED
            row.finished_at = now()
            training.end_folds(session, number, FoldState.CANCELLED)
        audit.record(session, actor, "round.cancel", str(number))


def retry(workspace: OpenedWorkspace, number: int, *, actor: str = LOCAL) -> None:
    """Retry a failed or cancelled round with the same snapshot, from its last checkpoint.

    Raises
    ------
    NotFound, Conflict
        There is no such round, it has not failed, or another round is active.
    """
    with workspace.catalog.begin() as session:
        row = _get(session, number)
        if row.state not in (RoundState.FAILED, RoundState.CANCELLED):
            raise Conflict(f"round {number} is {row.state}; only a failed or cancelled round can be retried")
        running = rows.active(session)
        if running is not None:
            raise Conflict(_still_active(running))
        row.state = RoundState.QUEUED
        row.error = None
        row.finished_at = None
        row.attempt += 1
        row.job_id = enqueue(session, queue.TRAIN_ROUND, {"round": number}, key=str(number)).id
        audit.record(session, actor, "round.retry", str(number))


def run_folder(workspace: Workspace, number: int, fold: int | None = None) -> Path:
    """Folder with the progress, report and log of a round's training, or of a fold that a job of its own trains."""
    folder = workspace.logs / f"round-{number}"
    return folder if fold is None else folder / f"fold-{fold}"


def log_path(workspace: Workspace, number: int, fold: int | None = None) -> Path:
    """Path of the training log of a round, or of a fold with a job of its own; the file may not exist yet."""
    return run_folder(workspace, number, fold) / "training.log"


def _still_active(row: Round) -> str:
    return f"round {row.number} is {row.state}; wait until it ends, or cancel it"


def _get(session: Session, number: int) -> Round:
    row = rows.get(session, number)
    if row is None:
        raise NotFound(f"round {number} does not exist; list the rounds with: mrseg-label rounds list")
    return row
