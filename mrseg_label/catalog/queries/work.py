"""Signs of a reader's work on cases, in the order of time."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, WorkSign
from mrseg_label.catalog.types import DEFAULT_CLIENT, Sign

_MOST_SIGNS = 20_000


def add(session: Session, reader: Reader, acquisition_id: str, sign: Sign, moment: datetime) -> None:
    """Note that a reader showed by a request that they work on a case."""
    session.add(WorkSign(reader=reader.name, acquisition_id=acquisition_id, sign=sign, at=moment))


def newest_of_reader(session: Session, reader: Reader) -> WorkSign | None:
    """The last sign of a reader's work on any case."""
    query = select(WorkSign).where(WorkSign.reader == reader.name).order_by(WorkSign.at.desc(), WorkSign.id.desc())
    return session.scalars(query.limit(1)).one_or_none()


def submitted_before(session: Session, annotation: Annotation) -> datetime | None:
    """When the author submitted the same case before, if they did."""
    query = select(Annotation.created_at).where(
        Annotation.acquisition_id == annotation.acquisition_id,
        Annotation.author == annotation.author,
        Annotation.created_at < annotation.created_at,
    )
    return session.scalars(query.order_by(Annotation.created_at.desc()).limit(1)).one_or_none()


def forget_case(session: Session, acquisition_id: str) -> None:
    """Remove the signs of work on a case that is about to be removed, since no reader has submitted anything of it."""
    session.execute(delete(WorkSign).where(WorkSign.acquisition_id == acquisition_id))


def signs_of(session: Session, annotation: Annotation, since: datetime) -> list[tuple[datetime, str, bool]]:
    """Moment and case of each sign of the author's work from a moment to the submission, and whether it is a submission.

    Several readers may share Slicer's default client name; under it only signs of the same case are known to be of one reader.
    """
    shown = select(WorkSign.at, WorkSign.acquisition_id).where(
        WorkSign.reader == annotation.author, WorkSign.at >= since, WorkSign.at < annotation.created_at
    )
    submitted = select(Annotation.created_at, Annotation.acquisition_id).where(
        Annotation.author == annotation.author,
        Annotation.created_at >= since,
        Annotation.created_at <= annotation.created_at,
        Annotation.id != annotation.id,
    )
    if annotation.author == DEFAULT_CLIENT:
        shown = shown.where(WorkSign.acquisition_id == annotation.acquisition_id)
        submitted = submitted.where(Annotation.acquisition_id == annotation.acquisition_id)
    newest_first = shown.order_by(WorkSign.at.desc(), WorkSign.id.desc()).limit(_MOST_SIGNS)
    found = [(at, case, False) for at, case in reversed(session.execute(newest_first).all())]
    found += [(at, case, True) for at, case in session.execute(submitted)]
    return [*sorted(found, key=lambda event: event[0]), (annotation.created_at, annotation.acquisition_id, True)]
