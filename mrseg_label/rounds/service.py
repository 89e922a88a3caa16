"""Start, cancel and retry rounds. Loads no torch: the server process imports it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit, models, participants, pretraining, snapshots, training
from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import BOOTSTRAP, Job, ModelVersion, Round
from mrseg_label.catalog.types import ENDED_ROUNDS, LOCAL, PROGRAM, FoldState, JobState, RoundState
from mrseg_label.clock import now
from mrseg_label.config import Settings, load_settings
from mrseg_label.errors import Conflict, InvalidInput, NotFound
from mrseg_label.jobs import enqueue, queue, request_cancel
from mrseg_label.jobs.round_jobs import end_round
from mrseg_label.rounds.counting import count_towards_round
from mrseg_label.rounds.training_values import FOLDS, RoundKind, choose_training_values, folds_of
from mrseg_label.workspace import Workspace


def start(
    workspace: OpenedWorkspace,
    *,
    actor: str = LOCAL,
    final: bool = False,
    include_held_out: bool = False,
    pretrain: bool = False,
) -> int:
    """Start a round on everything annotated so far.

    Parameters
    ----------
    final : train the ensemble that a project ends with: all folds, from scratch, cross-validated.
    include_held_out : train on held-out participants too; only a final round may.
    pretrain : learn from the drafts of cases that nobody corrected; the next round starts from the result.

    Returns
    -------
    The number of the round.

    Raises
    ------
    Conflict
        Another round is queued or running, or no annotated case can be trained on, or too few for so many folds; or
        PRESEGMENTATION is off.
    InvalidInput
        Held-out participants are to be included in a round that is not final, or a final round is to pretrain.
    """
    if pretrain and final:
        raise InvalidInput(
            "pretraining is a round of its own, from which the final one starts: start it without --final (over REST "
            '"final"), and the final round when it is done'
        )
    if include_held_out and not final:
        raise InvalidInput(
            "held-out participants are kept for the comparison of versions; only the final round of a project may "
            'train on them: add --final (over REST "final": true)'
        )
    settings = load_settings(workspace.root)
    if settings.presegmentation == "off":
        raise Conflict(
            "PRESEGMENTATION is off, so this workspace works without models; set it to on and restart the server to train"
        )
    with workspace.catalog.begin() as session:
        running = rows.active(session)
        if running is not None:
            raise Conflict(_still_active(running))
        if pretrain:
            obstacle = _find_obstacle_to_pretraining(session)
        else:
            obstacle = find_obstacle(session, folds_of(settings, final=final), include_held_out=include_held_out)
        if obstacle is not None:
            raise Conflict(obstacle)
        return start_in_transaction(
            session, settings, actor=actor, final=final, include_held_out=include_held_out, pretrain=pretrain
        ).number


def find_obstacle(session: Session, folds: int = 1, *, include_held_out: bool = False) -> str | None:
    """Explain why a round of so many folds could not train on what is annotated so far; None if it could."""
    participants.decide_held_out(session)
    annotated = snapshots.participants(session)
    if not annotated:
        return "nothing is annotated yet; a round needs at least one annotated case"
    training = [person for person in annotated if include_held_out or not person.held_out]
    if not training:
        return (
            "every case annotated so far belongs to a held-out participant and is reserved for evaluation; "
            "annotate a case of another participant"
        )
    if folds > 1 and (people := participants.count_people(session, training)) < folds:
        held_out = len(annotated) - len(training)
        return (
            f"{folds} folds need at least {folds} participants, since all cases of a participant are in one fold; "
            f"{people} {'is' if people == 1 else 'are'} annotated"
            + (f" that {'is' if people == 1 else 'are'} not among the {held_out} held out" if held_out else "")
            + f". Annotate cases of {folds - people} more, or start a round of one fold (without --final)"
        )
    return None


def _find_obstacle_to_pretraining(session: Session) -> str | None:
    participants.decide_held_out(session)
    if pretraining.uncorrected(session):
        return None
    return (
        "there is nothing to pretrain on: it learns from cases of participants of whom nothing is annotated and who are "
        "not held out, and there are none; import more images"
    )


def start_in_transaction(
    session: Session,
    settings: Settings,
    *,
    actor: str,
    final: bool = False,
    include_held_out: bool = False,
    pretrain: bool = False,
) -> Round:
    """Start a round within a transaction; its number of folds is fixed now."""
    number = rows.next_number(session)
    parent = _parent_of(session, final=final, pretrain=pretrain)
    kind = RoundKind.FINAL if final else RoundKind.FIRST if parent.round_number is None else RoundKind.CONTINUED
    row = Round(
        number=number,
        state=RoundState.QUEUED,
        profile=settings.training_profile,
        final=final,
        include_held_out=include_held_out,
        pretrain=pretrain,
        parent=parent.version,
        training=choose_training_values(settings, kind, number, has_parent=parent.round_number is not None),
    )
    session.add(row)
    session.flush()
    folds = row.training[FOLDS]
    for fold in range(folds if folds > 1 else 0):
        training.get_or_add(session, number, fold)
    job = enqueue(session, queue.TRAIN_ROUND, {"round": number}, key=str(number))
    row.job_id = job.id
    audit.record(
        session,
        actor,
        "round.start",
        str(number),
        profile=row.profile,
        final=final,
        include_held_out=include_held_out,
        pretrain=pretrain,
    )
    return row


def _parent_of(session: Session, *, final: bool, pretrain: bool) -> ModelVersion:
    """The version that a round starts from: one that was pretrained since the current one was promoted, else that.

    No version that has seen a participant may be the start of what is tested on that participant: a final round is
    cross-validated and starts from no earlier round, and none starts from a version that has seen those held out.
    """
    bootstrap = models.get(session, BOOTSTRAP)
    assert bootstrap is not None  # it is there from the first day
    if pretrain:
        return bootstrap  # earlier rounds have seen those whom its successor may be cross-validated on
    usual = models.newest_untainted(session)
    first_stage = pretraining.newest_version(session)
    if first_stage is not None and first_stage.created_at > (usual.promoted_at or usual.created_at):
        if not final:
            return first_stage
        seen = pretraining.participants_seen(session, first_stage.round_number or 0)
        if seen.isdisjoint(person.id for person in snapshots.participants(session)):
            return first_stage
    return bootstrap if final else usual


def forget_parent_that_saw_cases(session: Session, row: Round) -> str | None:
    """Let a final round start from elsewhere if its parent was pretrained on a participant of its snapshot.

    Returns
    -------
    What an admin should know, if anything changed.
    """
    parent = models.get(session, row.parent or BOOTSTRAP)
    if not row.final or parent is None or parent.round_number is None:
        return None
    seen = pretraining.participants_seen(session, parent.round_number)
    used = rows.participants_of(session, row.number)
    if seen.isdisjoint(used):
        return None
    row.parent = BOOTSTRAP
    return (
        f"it does not start from {parent.version}, which was pretrained on drafts of {len(seen & used)} participants who "
        "have been annotated since and are cross-validated now; pretrain again: mrseg-label rounds start --pretrain"
    )


def start_if_due(session: Session, settings: Settings) -> int | None:
    """Start a round within a transaction if ROUND_SIZE cases, or examinations, are newly annotated and no round is active.

    Returns
    -------
    The number of the round, or None if none was started.
    """
    if not settings.auto_round or settings.presegmentation == "off":
        return None
    is_due = count_towards_round(session, settings) >= settings.round_size
    if not is_due or rows.active(session) is not None or find_obstacle(session) is not None:
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
        jobs = jobs_of(session, row)
        for job in jobs:
            if job.state in job_rows.ACTIVE:
                request_cancel(job)
                fold = training.fold_of_job(session, job.id)
                if (
                    fold is not None and job.state is JobState.CANCELLED
                ):  # it waited; a running one ends with its process
                    training.end_fold(fold, FoldState.CANCELLED)
        session.flush()
        locked = rows.get(session, number, lock=True)
        if locked is not None and not any(job.state is JobState.RUNNING for job in jobs):
            end_round(session, locked, RoundState.CANCELLED, "cancelled by an admin", now())
        audit.record(session, actor, "round.cancel", str(number))


def retry(workspace: OpenedWorkspace, number: int, *, actor: str = LOCAL) -> None:
    """Retry a failed or cancelled round with the same snapshot, from its last checkpoint.

    A round that is done, but of which a fold failed, trains that fold and registers a version of all folds.

    Raises
    ------
    NotFound, Conflict
        There is no such round, it has not failed, or another round is active.
    """
    with workspace.catalog.begin() as session:
        row = _get(session, number)
        folds = training.folds(session, number)
        incomplete = row.state is RoundState.DONE and any(fold.state is not FoldState.DONE for fold in folds)
        if row.state not in (RoundState.FAILED, RoundState.CANCELLED) and not (incomplete and len(folds) > 1):
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


def jobs_of(session: Session, row: Round) -> list[Job]:
    """The jobs of a round that may be queued or running: its own, and those of its folds."""
    identifiers = [row.job_id, *(fold.job_id for fold in training.folds(session, row.number))]
    found = (job_rows.get(session, identifier) for identifier in identifiers if identifier)
    return [job for job in found if job is not None]


def _still_active(row: Round) -> str:
    return f"round {row.number} is {row.state}; wait until it ends, or cancel it"


def _get(session: Session, number: int) -> Round:
    row = rows.get(session, number)
    if row is None:
        raise NotFound(f"round {number} does not exist; list the rounds with: mrseg-label rounds list")
    return row
