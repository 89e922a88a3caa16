"""Job rows: claim, renew and finish are updates guarded by the lease token."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, or_, select, text, update
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.changes import UNTOLD
from mrseg_label.catalog.queries.paging import newest_first
from mrseg_label.catalog.tables import Job
from mrseg_label.catalog.types import JobKind, JobState, Position

ACTIVE = (JobState.QUEUED, JobState.RUNNING)
MAX_DEATHS = 3  # a job in which the process died so often is put aside


def get(session: Session, job_id: str) -> Job | None:
    """A job by id."""
    return session.get(Job, job_id)


def active(session: Session, kind: str, key: str, *, lock: bool = False) -> Job | None:
    """The queued or running job of that kind and key, if there is one; ``lock`` keeps it from being changed."""
    return session.scalars(_active(lock), {"kind": kind, "key": key}).one_or_none()


@cache
def _active(lock: bool) -> Select[Job]:
    query = _of_key().where(Job.state.in_(ACTIVE))
    return query.with_for_update() if lock else query


def _of_key() -> Select[Job]:
    return select(Job).where(Job.kind == bindparam("kind"), Job.key == bindparam("key"))


def active_keys(session: Session, kind: str, keys: Collection[str]) -> set[str]:
    """Those of these keys that have a queued or running job of that kind."""
    return set(session.scalars(select(Job.key).where(Job.kind == kind, Job.key.in_(keys), Job.state.in_(ACTIVE))))


def active_with_prefix(session: Session, prefix: str) -> Sequence[Job]:
    """Queued and running pre-segmentations whose keys begin so."""
    query = select(Job).where(Job.kind == JobKind.PRESEGMENT, Job.state.in_(ACTIVE))
    return session.scalars(query.where(Job.key.startswith(prefix, autoescape=True))).all()


def active_presegmentations(session: Session) -> Sequence[Job]:
    """Running pre-segmentations, and queued ones; these are locked, apart from those that another process has locked."""
    of_kind = select(Job).where(Job.kind == JobKind.PRESEGMENT)
    queued = of_kind.where(Job.state == JobState.QUEUED).with_for_update(skip_locked=True)
    running = of_kind.where(Job.state == JobState.RUNNING)
    return [*session.scalars(queued), *session.scalars(running)]


def newest(session: Session, kind: str, key: str) -> Job | None:
    """The job of that kind and key that was enqueued last, in any state."""
    return session.scalars(
        select(Job).where(Job.kind == kind, Job.key == key).order_by(Job.created_at.desc()).limit(1)
    ).one_or_none()


def list_in_states(session: Session, states: Sequence[JobState] = ACTIVE) -> Sequence[Job]:
    """All jobs in these states, oldest first."""
    return session.scalars(select(Job).where(Job.state.in_(states)).order_by(Job.created_at)).all()


def of_kind(session: Session, kind: str) -> Sequence[Job]:
    """All jobs of a kind, in any state."""
    return session.scalars(select(Job).where(Job.kind == kind)).all()


def newest_of_kind(session: Session, kind: str, limit: int) -> Sequence[Job]:
    """The newest jobs of a kind, newest first, in any state."""
    query = select(Job).where(Job.kind == kind).order_by(Job.created_at.desc(), Job.id.desc())
    return session.scalars(query.limit(limit)).all()


def refused_masks(session: Session, kind: str) -> list[tuple[str, str]]:
    """Examination and reason of each imported mask whose last job failed, whatever names its values had."""
    newest: dict[tuple[str, str], Job] = {}
    for job in session.scalars(select(Job).where(Job.kind == kind).order_by(Job.created_at, Job.id)):
        newest[job.payload["examination"], job.payload["digest"]] = job
    return [(examination, job.error or "") for (examination, _), job in newest.items() if job.state is JobState.FAILED]


def page(
    session: Session, limit: int, after: Position | None = None, states: Sequence[JobState] | None = None
) -> Sequence[Job]:
    """Jobs, newest first; only those in these states."""
    query = newest_first(select(Job), Job.created_at, Job.id, after)
    if states is not None:
        query = query.where(Job.state.in_(states))
    return session.scalars(query.limit(limit)).all()


def running(session: Session) -> Sequence[Job]:
    """Jobs that workers have claimed."""
    query = select(Job).where(Job.state == JobState.RUNNING)
    return session.scalars(query.with_for_update(skip_locked=True)).all()


def owned_by(session: Session, owner: str) -> Sequence[Job]:
    """Jobs that a worker has claimed."""
    return session.scalars(select(Job).where(Job.state == JobState.RUNNING, Job.owner == owner)).all()


def abandoned(session: Session, moment: datetime) -> Sequence[Job]:
    """Running jobs whose lease has expired, and queued ones that are to be cancelled; no other transaction gets them."""
    expired = and_(Job.state == JobState.RUNNING, Job.lease_expires_at < moment)
    query = select(Job).where(or_(expired, and_(Job.state == JobState.QUEUED, Job.cancel_requested)))
    return session.scalars(query.with_for_update(skip_locked=True)).all()


def next_claimable(session: Session, queues: Sequence[str], moment: datetime) -> Job | None:
    """The job that is done next: of those that killed no process, and have the highest priority, the oldest."""
    query = (
        select(Job)
        .where(_claimable(moment), Job.queue.in_(queues))
        .order_by(Job.deaths, Job.priority.desc(), Job.created_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return session.scalars(query).one_or_none()


def claimable(session: Session, moment: datetime) -> dict[str, int]:
    """How many jobs of each queue a worker could claim now, with those whose worker has lost its lease."""
    due: ColumnElement[bool] = or_(Job.not_before.is_(None), Job.not_before <= moment)
    waiting = and_(Job.state == JobState.QUEUED, ~Job.cancel_requested, due)
    expired = and_(Job.state == JobState.RUNNING, Job.lease_expires_at < moment)
    query = select(Job.queue, func.count()).where(or_(waiting, expired)).group_by(Job.queue)
    return dict(session.execute(query).all())


def is_due(session: Session, queue: str, moment: datetime, deaths: int | None = None) -> bool:
    """Whether a job of a queue could be claimed now; with ``deaths`` only one that killed no more processes."""
    query = select(Job.id).where(_claimable(moment), Job.queue == queue).limit(1)
    if deaths is not None:
        query = query.where(Job.deaths <= deaths)
    return session.scalars(query).one_or_none() is not None


def _claimable(moment: datetime) -> ColumnElement[bool]:
    due = or_(Job.not_before.is_(None), Job.not_before <= moment)
    return and_(Job.state == JobState.QUEUED, ~Job.cancel_requested, due)


def put_aside(session: Session, kind: str, key: str) -> Job | None:
    """The job of that kind and key that was put aside because it failed or its process died too often, if there is one."""
    return session.scalars(_put_aside(), {"kind": kind, "key": key}).one_or_none()


@cache
def _put_aside() -> Select[Job]:
    return _of_key().where(is_put_aside()).order_by(Job.created_at.desc()).limit(1)


def is_put_aside() -> ColumnElement[bool]:
    """Whether a job failed, or its process died, so often that only an admin has it tried again."""
    return and_(Job.state == JobState.FAILED, Job.put_aside)


def guarded_update(session: Session, job_id: str, token: str, **values: Any) -> bool:
    """Change a running job if the lease token is still valid; False if it is not."""
    held = and_(Job.id == job_id, Job.state == JobState.RUNNING, Job.lease_token == token)
    options = {"synchronize_session": False, UNTOLD: set(values) == {"lease_expires_at"}}
    change = update(Job).where(held).values(**values).execution_options(**options)
    done: int = session.execute(change).rowcount  # type: ignore[attr-defined]
    return done == 1


def cancel_requested(session: Session, job_id: str) -> bool:
    """Whether the job is to be cancelled."""
    return bool(session.scalars(select(Job.cancel_requested).where(Job.id == job_id)).one_or_none())


def failed(session: Session, limit: int, without_kind: str) -> Sequence[Job]:
    """Jobs that failed and that no later job made good, newest first, apart from those of one kind."""
    later = aliased(Job)
    made_good = (
        select(later.id)
        .where(
            later.kind == Job.kind,
            later.key == Job.key,
            later.created_at > Job.created_at,
            later.state.in_((*ACTIVE, JobState.DONE)),
        )
        .exists()
    )
    query = select(Job).where(Job.state == JobState.FAILED, Job.kind != without_kind, ~made_good)
    return session.scalars(query.order_by(Job.finished_at.desc(), Job.id).limit(limit)).all()


def queue_lengths(session: Session) -> dict[str, dict[str, int]]:
    """How many jobs of each queue are queued and running."""
    query = select(Job.queue, Job.state, func.count()).where(Job.state.in_(ACTIVE)).group_by(Job.queue, Job.state)
    lengths: dict[str, dict[str, int]] = {}
    for queue, state, count in session.execute(query):
        lengths.setdefault(queue, {"queued": 0, "running": 0})[str(state)] = count
    return lengths


@dataclass(frozen=True)
class KindCount:
    """How many jobs of a kind are in a state, and when the oldest was enqueued."""

    kind: str
    state: JobState
    jobs: int
    oldest: datetime


def counts_by_kind(session: Session) -> list[KindCount]:
    """Count queued, running and failed jobs by kind."""
    # As text: a partial index is not found by bound values.
    active_now = select(Job.kind, Job.state, Job.created_at).where(text("state IN ('queued', 'running')"))
    failed_ones = select(Job.kind, Job.state, Job.created_at).where(Job.state == JobState.FAILED)
    found = active_now.union_all(failed_ones).subquery()
    query = select(found.c.kind, found.c.state, func.count(), func.min(found.c.created_at))
    rows = session.execute(query.group_by(found.c.kind, found.c.state).order_by(found.c.kind, found.c.state))
    return [KindCount(*row) for row in rows]
