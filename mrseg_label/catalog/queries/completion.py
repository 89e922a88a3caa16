"""The first names of a table that begin with some letters, for completion at a command line."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from mrseg_label.catalog.tables import Account, Annotation, Examination, Job, ModelVersion, Round
from mrseg_label.catalog.types import JobState

_LAST = "\U0010ffff"  # behind every other character


def examinations(session: Session, start: str, limit: int) -> list[tuple[str, str]]:
    """Ids of examinations, each with its sequence."""
    return _names(session, Examination.id, Examination.sequence, start, limit)


def annotation_ids(session: Session, start: str, limit: int) -> list[tuple[str, str]]:
    """Ids of annotations, each with its author."""
    return _names(session, Annotation.id, Annotation.author, start, limit)


def versions(session: Session, start: str, limit: int) -> list[tuple[str, str]]:
    """Names of model versions, each with its status."""
    return _names(session, ModelVersion.version, ModelVersion.status, start, limit)


def accounts(session: Session, start: str, limit: int) -> list[tuple[str, str]]:
    """Names of accounts, each with its role."""
    return _names(session, Account.name, Account.role, start, limit)


def rounds(session: Session, start: str, limit: int) -> list[tuple[str, str]]:
    """Numbers of rounds, each with its state, newest first."""
    query = select(Round.number, Round.state).order_by(Round.number.desc())
    found = [(str(number), str(state)) for number, state in session.execute(query)]
    return [(number, state) for number, state in found if number.startswith(start)][:limit]


def failed_jobs(session: Session, start: str, limit: int) -> list[tuple[str, str]]:
    """Ids of jobs that can be retried, each with its kind."""
    ended = (JobState.FAILED, JobState.CANCELLED)
    query = select(Job.id, Job.kind).where(Job.state.in_(ended), Job.id >= start, Job.id < start + _LAST)
    return [(identifier, kind) for identifier, kind in session.execute(query.order_by(Job.id).limit(limit))]


def _names(
    session: Session, name: InstrumentedAttribute[str], note: InstrumentedAttribute[str], start: str, limit: int
) -> list[tuple[str, str]]:
    # A range, which finds its rows by the primary key; LIKE would read all of them.
    query = select(name, note).where(name >= start, name < start + _LAST).order_by(name).limit(limit)
    return [(found, str(about)) for found, about in session.execute(query)]
