"""What the REST interface and the command line list: in pages, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import (
    Acquisition,
    Examination,
    Job,
    Lease,
    ModelVersion,
    Participant,
    Presegmentation,
    Revision,
    Round,
    RoundCase,
)
from mrseg_label.catalog.types import CaseRole, JobState, RevisionState

Position = tuple[datetime, str]  # of the last row of a page: when it was made, and its id


@dataclass(frozen=True)
class ExaminationFilter:
    """Which examinations are listed; None does not restrict."""

    station: str | None = None
    sequence: str | None = None
    annotated: bool | None = None
    excluded: bool | None = None


def models_page(session: Session, limit: int, after: Position | None = None) -> Sequence[ModelVersion]:
    """Model versions, newest first."""
    query = _newest_first(select(ModelVersion), ModelVersion.created_at, ModelVersion.version, after)
    return session.scalars(query.limit(limit)).all()


def rounds_page(session: Session, limit: int, below: int | None = None) -> Sequence[Round]:
    """Rounds, newest first; only those with a number below the given one."""
    query = select(Round).order_by(Round.number.desc())
    if below is not None:
        query = query.where(Round.number < below)
    return session.scalars(query.limit(limit)).all()


def examinations_page(
    session: Session, wanted: ExaminationFilter, limit: int, after: Position | None = None
) -> Sequence[Examination]:
    """Examinations with their acquisition and participant, newest first."""
    query = (
        select(Examination)
        .join(Acquisition, Acquisition.id == Examination.acquisition_id)
        .join(Participant, Participant.id == Acquisition.participant_id)
        .where(*_conditions(wanted))
    )
    query = _newest_first(query, Examination.created_at, Examination.id, after)
    return session.scalars(query.limit(limit)).unique().all()


def handed_out_until(session: Session, acquisition_ids: Sequence[str], moment: datetime) -> dict[str, datetime]:
    """Which of these acquisitions a reader has now, with the end of the lease."""
    query = select(Lease.acquisition_id, Lease.expires_at).where(
        Lease.acquisition_id.in_(acquisition_ids), Lease.ended_at.is_(None), Lease.expires_at > moment
    )
    return dict(session.execute(query).all())


def examination(session: Session, examination_id: str) -> Examination | None:
    """An examination by id, with its acquisition and participant."""
    return session.get(Examination, examination_id)


def revisions_page(
    session: Session, acquisition_id: str, limit: int, below: int | None = None, author: str | None = None
) -> Sequence[Revision]:
    """Revisions of an acquisition, newest first; only those of an author, or with a number below the given one."""
    query = select(Revision).where(Revision.acquisition_id == acquisition_id).order_by(Revision.number.desc())
    if author is not None:
        query = query.where(Revision.author == author)
    if below is not None:
        query = query.where(Revision.number < below)
    return session.scalars(query.limit(limit)).all()


def submissions_page(
    session: Session, state: RevisionState | None, author: str | None, limit: int, after: Position | None = None
) -> Sequence[Revision]:
    """Revisions of all acquisitions, newest first."""
    query = select(Revision)
    if state is not None:
        query = query.where(Revision.state == state)
    if author is not None:
        query = query.where(Revision.author == author)
    return session.scalars(_newest_first(query, Revision.created_at, Revision.id, after).limit(limit)).all()


def version_of_round(session: Session, numbers: Sequence[int]) -> dict[int, str]:
    """The model version that each of these rounds registered."""
    query = select(ModelVersion.round_number, ModelVersion.version).where(ModelVersion.round_number.in_(numbers))
    return {number: version for number, version in session.execute(query) if number is not None}


def case_counts(session: Session, numbers: Sequence[int]) -> dict[int, dict[CaseRole, int]]:
    """How many cases of each role are in the snapshots of these rounds."""
    query = (
        select(RoundCase.round_number, RoundCase.role, func.count())
        .where(RoundCase.round_number.in_(numbers))
        .group_by(RoundCase.round_number, RoundCase.role)
    )
    counts: dict[int, dict[CaseRole, int]] = {}
    for number, role, count in session.execute(query):
        counts.setdefault(number, {})[role] = count
    return counts


def queue_lengths(session: Session) -> dict[str, dict[str, int]]:
    """How many jobs of each queue wait and run."""
    query = (
        select(Job.queue, Job.state, func.count())
        .where(Job.state.in_((JobState.QUEUED, JobState.RUNNING)))
        .group_by(Job.queue, Job.state)
    )
    lengths: dict[str, dict[str, int]] = {}
    for queue, state, count in session.execute(query):
        lengths.setdefault(queue, {"queued": 0, "running": 0})[str(state)] = count
    return lengths


def table_counts(session: Session) -> dict[str, int]:
    """How many participants, acquisitions, examinations and revisions there are."""
    tables = {
        "participants": Participant,
        "acquisitions": Acquisition,
        "examinations": Examination,
        "revisions": Revision,
    }
    return {name: session.scalars(select(func.count()).select_from(table)).one() for name, table in tables.items()}


def stored_files(session: Session) -> Sequence[tuple[str, str]]:
    """Path and SHA-256 of every single stored file that a row hangs on: images, drafts, annotations, uploads."""
    files: list[tuple[str, str]] = []
    for path, digest in (
        (Examination.path, Examination.digest),
        (Presegmentation.path, Presegmentation.digest),
        (Revision.path, Revision.digest),
        (Revision.upload_path, Revision.upload_digest),
    ):
        files.extend(session.execute(select(path, digest).order_by(path)))
    return list(dict.fromkeys(files))


def _conditions(wanted: ExaminationFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.station is not None:
        conditions.append(Acquisition.station == wanted.station)
    if wanted.sequence is not None:
        conditions.append(Examination.sequence == wanted.sequence)
    if wanted.annotated is not None:
        conditions.append(
            Acquisition.annotated_at.is_not(None) if wanted.annotated else Acquisition.annotated_at.is_(None)
        )
    if wanted.excluded is not None:
        conditions.append(
            Acquisition.excluded_at.is_not(None) if wanted.excluded else Acquisition.excluded_at.is_(None)
        )
    return conditions


def _newest_first(query: Select[Any], created: Any, identifier: Any, after: Position | None) -> Select[Any]:
    if after is not None:
        moment, last = after
        query = query.where(or_(created < moment, and_(created == moment, identifier < last)))
    return query.order_by(created.desc(), identifier.desc())
