"""Assignments: cases reserved for readers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Assignment, Examination
from mrseg_label.catalog.types import AssignmentOutcome


def of_reader(reader: Reader) -> ColumnElement[bool]:
    """The condition that an assignment is this reader's: by account, else by the client's name."""
    if reader.account is not None:
        return Assignment.account == reader.account
    return and_(Assignment.account.is_(None), Assignment.client == reader.client)


def by_ticket(session: Session, ticket: str) -> Assignment | None:
    """The assignment of a ticket."""
    return session.scalars(select(Assignment).where(Assignment.ticket == ticket)).one_or_none()


def newest(session: Session, acquisition_id: str, reader: Reader) -> Assignment | None:
    """The assignment under which this reader got the acquisition last, open or ended."""
    query = select(Assignment).where(Assignment.acquisition_id == acquisition_id, of_reader(reader))
    ordered = query.order_by(Assignment.ended_at.is_(None).desc(), Assignment.created_at.desc())
    return session.scalars(ordered.limit(1)).one_or_none()


def open_of(session: Session, acquisition_id: str) -> Assignment | None:
    """The open assignment of an acquisition, second readings and reviews left out."""
    query = select(Assignment).where(
        Assignment.acquisition_id == acquisition_id, Assignment.ended_at.is_(None), ~Assignment.second_reading
    )
    return session.scalars(query).one_or_none()


def open_of_reader(session: Session, reader: Reader) -> Sequence[Assignment]:
    """Open assignments of a reader, oldest first."""
    query = select(Assignment).where(Assignment.ended_at.is_(None), of_reader(reader))
    return session.scalars(query.order_by(Assignment.created_at, Assignment.id)).all()


def open_examinations(session: Session, account: str | None) -> Sequence[tuple[Assignment, Examination]]:
    """Open assignments, of an account or of everybody, with the examination that is opened; oldest first."""
    query = (
        select(Assignment, Examination)
        .join(Acquisition, Acquisition.id == Assignment.acquisition_id)
        .join(Examination, Examination.id == Acquisition.primary_examination_id)
        .where(Assignment.ended_at.is_(None))
    )
    if account is not None:
        query = query.where(Assignment.account == account)
    ordered = query.order_by(Assignment.created_at, Assignment.id)
    return [(assignment, examination) for assignment, examination in session.execute(ordered).unique()]


def requested(session: Session, reader: Reader) -> Assignment | None:
    """The oldest open assignment that this reader requested and has not yet fetched."""
    query = select(Assignment).where(Assignment.ended_at.is_(None), Assignment.requested, of_reader(reader))
    query = query.order_by(Assignment.created_at, Assignment.id).limit(1).with_for_update(skip_locked=True)
    return session.scalars(query).one_or_none()


def given_up(session: Session, account: str) -> Sequence[str]:
    """Acquisitions that this account was assigned and did not submit."""
    over = Assignment.outcome.in_((AssignmentOutcome.RETURNED, AssignmentOutcome.EXPIRED))
    return session.scalars(
        select(Assignment.acquisition_id).where(Assignment.account == account, over).distinct()
    ).all()


def ends_of(session: Session, acquisition_ids: Sequence[str], moment: datetime) -> dict[str, datetime]:
    """Which of these acquisitions a reader has now, with the end of the assignment."""
    query = select(Assignment.acquisition_id, Assignment.expires_at).where(
        Assignment.acquisition_id.in_(acquisition_ids), concepts.is_open(Assignment, moment)
    )
    return dict(session.execute(query).all())


def first_end(session: Session, moment: datetime) -> datetime | None:
    """When the first case that is assigned now would return to the queue, if there is any."""
    query = (
        select(func.min(Assignment.expires_at))
        .join(Acquisition, Acquisition.id == Assignment.acquisition_id)
        .where(
            concepts.is_open(Assignment, moment),
            ~Assignment.second_reading,
            concepts.is_included(),
            ~concepts.is_annotated(),
        )
    )
    return session.scalars(query).one()


def expire(session: Session, moment: datetime) -> None:
    """End the assignments whose time is over."""
    over = and_(Assignment.ended_at.is_(None), Assignment.expires_at <= moment)
    session.execute(
        update(Assignment).where(over).values(ended_at=Assignment.expires_at, outcome=AssignmentOutcome.EXPIRED)
    )


def return_all_of_account(session: Session, account: str, moment: datetime) -> None:
    """Return the cases of an account to the queue, and end the tickets of those that it submitted."""
    own = and_(Assignment.account == account, Assignment.expires_at > moment)
    session.execute(
        update(Assignment).where(own, Assignment.outcome == AssignmentOutcome.SUBMITTED).values(expires_at=moment)
    )
    session.execute(update(Assignment).where(own, Assignment.ended_at.is_(None)).values(_returned(moment)))


def return_all_of_case(session: Session, acquisition_id: str, moment: datetime) -> None:
    """End the assignments of a case, whoever has it."""
    held = and_(Assignment.acquisition_id == acquisition_id, Assignment.ended_at.is_(None))
    session.execute(update(Assignment).where(held).values(_returned(moment)))


def end_reviews(session: Session, annotation_id: str, moment: datetime) -> None:
    """End the assignments of those who look at an annotation to review it."""
    reviewing = and_(
        Assignment.annotation_id == annotation_id, Assignment.second_reading, Assignment.ended_at.is_(None)
    )
    session.execute(update(Assignment).where(reviewing).values(_returned(moment)))


def _returned(moment: datetime) -> dict[str, object]:
    return {"ended_at": moment, "outcome": AssignmentOutcome.RETURNED}
