"""Delete participants on request: the one exception to the rule that an annotation is kept for ever."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import assignments as assignment_rows
from mrseg_label.catalog.queries import audit, deleted, erasure, mentions, participants
from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.queries import rounds as round_rows
from mrseg_label.catalog.rewriting import rewrite
from mrseg_label.catalog.tables import Acquisition, DeletedParticipant, UnfinishedDeletion
from mrseg_label.catalog.types import LOCAL, JobState, RoundState
from mrseg_label.errors import Conflict
from mrseg_label.jobs import request_cancel
from mrseg_label.jobs.round_jobs import end_round
from mrseg_label.maintenance.deletion import files
from mrseg_label.maintenance.deletion.finding import (
    Found,
    codes_of,
    find_obstacles,
    find_participants,
    take_stock,
)
from mrseg_label.maintenance.deletion.plan import Deletion, advise, blocks, describe, plan
from mrseg_label.maintenance.deletion.tombstones import Entry, write_lists
from mrseg_label.maintenance.deletion.traces import Traces
from mrseg_label.maintenance.downgrading import is_at_work
from mrseg_label.rounds import service as rounds

ACTION = "participant.delete"
_POLL_SECONDS = 1.0
_SHOWN_SOURCES = 20
log = logging.getLogger("mrseg_label.maintenance")


def delete(
    workspace: OpenedWorkspace,
    codes: Sequence[str],
    *,
    actor: str = LOCAL,
    cancel: bool = False,
    wait_seconds: float = 0.0,
) -> Deletion:
    """Delete participants everywhere in the workspace; a deletion that was interrupted is finished first.

    Parameters
    ----------
    codes : of participants, or patient ids; of those whom nobody here has, later imports are refused.
    cancel : cancel rounds and jobs that work with them, and end the assignments of their cases.
    wait_seconds : how long to wait until nothing works with them.

    Raises
    ------
    Conflict
        A round trains on them, a job works with them or a reader has one of their cases; nothing was deleted. Or the
        database is in use and is not written anew; the same call again does only that.
    """
    finish(workspace)
    deadline = time.monotonic() + wait_seconds
    while True:
        if cancel:
            _cancel(workspace, codes, actor)
        with workspace.catalog.read() as session:
            found = find_participants(session, workspace, codes)
            obstacles = find_obstacles(session, workspace, take_stock(session, found.participants, codes))
        if not blocks(obstacles, cancel=cancel):
            break
        if time.monotonic() >= deadline:
            raise Conflict(advise(obstacles, cancel=cancel))
        time.sleep(_POLL_SECONDS)
    planned = _delete_rows(workspace, codes, actor, cancel=cancel)
    finish(workspace)
    lists, missed = write_lists(workspace)
    return replace(
        planned,
        applied=True,
        problem=None,
        scratch=tuple(files.young_scratch(workspace)),
        lists=tuple(lists),
        lists_missed=tuple(missed),
    )


def finish(workspace: OpenedWorkspace) -> int:
    """Finish deletions whose rows are gone; killed at any moment, it can be called again.

    Returns
    -------
    How many there were.

    Raises
    ------
    Conflict
        A training works with cases of theirs, or the database is in use.
    """
    with workspace.catalog.read() as session:
        waiting = [(row.id, row.actor, row.traces, row.counts) for row in deleted.unfinished(session)]
        at_work = is_at_work(workspace.catalog, session)
    for identifier, actor, found, counts in waiting:
        traces = Traces.from_json(found)
        files.remove_files(workspace, traces, at_work=at_work)
        files.remove_pictures(workspace)
        mentions.clean_mentions(workspace.catalog, traces)
        write_lists(workspace)
        if not counts.get("recorded"):
            _record(workspace, identifier, actor, counts)
        # Now nothing is looked for any more; if others use the database, writing it anew is what is left to do.
        with workspace.catalog.begin() as session:
            if (row := session.get(UnfinishedDeletion, identifier)) is not None:
                row.traces = Traces().to_json()
        rewrite(workspace.catalog)
        with workspace.catalog.begin() as session:
            deleted.finish(session, identifier)
        log.info("deleted %s participants on request", counts.get("participants", 0))
    return len(waiting)


def delete_again(workspace: OpenedWorkspace, entries: Sequence[Entry], *, actor: str = LOCAL) -> int:
    """Delete from a restored backup whoever was deleted since; returns how many that were.

    Parameters
    ----------
    entries : the list of deleted participants.
    """
    finish(workspace)
    with workspace.catalog.read() as session:
        here = deleted.still_here(session, [(entry.salt, entry.participant) for entry in entries])
    if here:
        codes = [person.code for person in here]
        _end_what_was_running(workspace, codes)
        _delete_rows(workspace, codes, actor, cancel=True)
    with workspace.catalog.begin() as session:
        for entry in entries:
            row = DeletedParticipant(
                salt=entry.salt, participant_hash=entry.participant, code_hash=entry.code, models=[]
            )
            deleted.add(session, row)
    finish(workspace)
    write_lists(workspace)
    return len(here)


def delete_listed(
    workspace: OpenedWorkspace, entries: Sequence[Entry], *, apply: bool = False, actor: str = LOCAL
) -> Deletion:
    """Delete again whoever is on a list of deleted participants, in a copy that was restored without it."""
    with workspace.catalog.read() as session:
        here = deleted.still_here(session, [(entry.salt, entry.participant) for entry in entries])
        codes = [person.code for person in here]
    planned = plan(workspace, codes)
    if apply:
        delete_again(workspace, entries, actor=actor)
    return replace(planned, applied=apply)


def readmit(workspace: OpenedWorkspace, code: str, *, actor: str = LOCAL) -> bool:
    """Let a participant be imported again; returns whether they had been deleted."""
    with workspace.catalog.begin() as session:
        found = deleted.forget_code(session, code)
        if found:
            audit.record(session, actor, "participant.readmit", "participants")
    write_lists(workspace)
    return bool(found)


def _end_what_was_running(workspace: OpenedWorkspace, codes: Sequence[str]) -> None:
    """End rounds and jobs that were running when a backup was made: nothing runs in a workspace that is being restored."""
    with workspace.catalog.begin() as session:
        moment = workspace.catalog.now(session)
        found = find_participants(session, workspace, codes)
        holdings = take_stock(session, found.participants, codes)
        for number in find_obstacles(session, workspace, holdings).rounds:
            row = round_rows.get(session, number, lock=True)
            if row is None:
                continue
            for job in rounds.jobs_of(session, row):
                job.state, job.lease_token, job.finished_at = JobState.CANCELLED, None, moment
            end_round(session, row, RoundState.CANCELLED, "participants of it were deleted on request", moment)
        for job in holdings.jobs:
            job.lease_expires_at = moment


def _cancel(workspace: OpenedWorkspace, codes: Sequence[str], actor: str) -> None:
    """Cancel what works with the participants; it ends within seconds, when its processes have."""
    with workspace.catalog.read() as session:
        found = find_participants(session, workspace, codes)
        holdings = take_stock(session, found.participants, codes)
        obstacles = find_obstacles(session, workspace, holdings)
    for number in obstacles.rounds:
        rounds.cancel(workspace, number, actor=actor)
    with workspace.catalog.begin() as session:
        for identifier in obstacles.jobs:
            job = job_rows.get(session, identifier)
            if job is not None and job.state in job_rows.ACTIVE:
                request_cancel(job)
        moment = workspace.catalog.now(session)
        for case in holdings.rows.ids(Acquisition):
            assignment_rows.return_all_of_case(session, case, moment)


def _delete_rows(workspace: OpenedWorkspace, codes: Sequence[str], actor: str, *, cancel: bool) -> Deletion:
    """Delete all rows, and write down what else is to be removed, in one transaction."""
    with workspace.catalog.read() as session:  # what takes long on a large catalogue, while others can write
        before = take_stock(session, find_participants(session, workspace, codes).participants, codes)
    try:
        with workspace.catalog.begin() as session:
            participants.lock_imports(session)
            found = find_participants(session, workspace, codes)
            holdings = take_stock(session, found.participants, codes, before)
            planned = describe(session, workspace, found, holdings)
            if blocks(planned.obstacles, cancel=cancel):
                raise Conflict(advise(planned.obstacles, cancel=cancel))
            _remember(session, workspace, found, planned.trained_on)
            if found.participants:
                counts = dict(planned.counts)
                named = {"trained_on": list(planned.trained_on), "descended": list(planned.descended)}
                session.add(
                    UnfinishedDeletion(actor=actor, traces=holdings.traces.to_json(), counts={**counts, **named})
                )
                erasure.delete_jobs(session, [job.id for job in holdings.jobs])
                erasure.clean_audit(session, holdings.traces.ids, holdings.traces.names)
                erasure.delete_belongings(session, holdings.rows)
            elif found.unknown:
                audit.record(session, actor, ACTION, "participants", participants=0, announced=len(found.unknown))
    except IntegrityError as error:  # PostgreSQL: somebody submitted or assigned a case of theirs at the same moment
        raise Conflict(
            "nothing was deleted: somebody worked with a case at this moment; call the same command again"
        ) from error
    return planned


def _remember(session: Session, workspace: OpenedWorkspace, found: Found, models: Sequence[str]) -> None:
    salt = deleted.salt_of(session)
    for person in found.participants:
        mark = deleted.participant_hash(salt, person.id)
        row = DeletedParticipant(
            salt=salt, participant_hash=mark, code_hash=deleted.code_hash(salt, person.code), models=list(models)
        )
        deleted.add(session, row)
    for code in found.unknown:
        for one in codes_of(workspace, code):
            deleted.add(session, DeletedParticipant(salt=salt, code_hash=deleted.code_hash(salt, one), models=[]))


def _record(workspace: OpenedWorkspace, identifier: str, actor: str, counts: dict[str, object]) -> None:
    with workspace.catalog.begin() as session:
        row = session.get(UnfinishedDeletion, identifier)
        if row is not None:
            detail = {key.replace("-", "_"): value for key, value in counts.items()}
            audit.record(session, actor, ACTION, "participants", **detail)
            row.counts = {**counts, "recorded": True}
