"""Assignments: cases reserved for readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.queries.examinations import LISTED, ListedImage
from mrseg_label.catalog.queries.paging import newest_first
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Assignment, Examination, Participant
from mrseg_label.catalog.types import AssignmentOutcome, Position

_LAST_ASSIGNED = 20  # cases by whose strategies the next ones are expected to be assigned


class OpenExamination(NamedTuple):
    """An open assignment and the examination that its reader opens."""

    ticket: str
    draft_withheld: bool
    examination: ListedImage


@dataclass(frozen=True)
class AssignmentFilter:
    """Which assignments are listed; None does not restrict.

    Attributes
    ----------
    reader : name of an account or, without sign-in, of a client.
    is_open : only those that have neither ended nor expired, or only the others.
    outcome : how they ended; those whose time is over have expired, also before anything has recorded it.
    """

    reader: str | None = None
    participant: str | None = None  # code
    is_open: bool | None = None
    outcome: AssignmentOutcome | None = None

    def conditions(self, moment: datetime) -> list[ColumnElement[bool]]:
        """Translate the filter into SQL conditions."""
        conditions: list[ColumnElement[bool]] = []
        if self.reader is not None:
            conditions.append(func.coalesce(Assignment.account, Assignment.client) == self.reader)
        if self.participant is not None:
            conditions.append(Participant.code == self.participant)
        if self.is_open is not None:
            opened = concepts.is_open(Assignment, moment)
            conditions.append(opened if self.is_open else ~opened)
        if self.outcome is not None:
            over = and_(Assignment.ended_at.is_(None), Assignment.expires_at <= moment)
            ended = Assignment.outcome == self.outcome
            conditions.append(or_(ended, over) if self.outcome is AssignmentOutcome.EXPIRED else ended)
        return conditions


def get(session: Session, assignment_id: str) -> Assignment | None:
    """An assignment by id."""
    return session.get(Assignment, assignment_id)


def with_case(session: Session, assignment_id: str) -> tuple[Assignment, Acquisition] | None:
    """An assignment with its case."""
    query = select(Assignment, Acquisition).join(Acquisition, Acquisition.id == Assignment.acquisition_id)
    found = session.execute(query.where(Assignment.id == assignment_id)).unique().one_or_none()
    return None if found is None else (found[0], found[1])


def page(
    session: Session, wanted: AssignmentFilter, moment: datetime, limit: int, after: Position | None = None
) -> Sequence[tuple[Assignment, Acquisition]]:
    """Assignments with their cases, newest first."""
    query: Select[Any] = select(Assignment, Acquisition).join(  # type: ignore[assignment]
        Acquisition, Acquisition.id == Assignment.acquisition_id
    )
    query = query.join(Participant, Participant.id == Acquisition.participant_id).where(*wanted.conditions(moment))
    query = newest_first(query, Assignment.created_at, Assignment.id, after).limit(limit)
    return [(assignment, case) for assignment, case in session.execute(query).unique()]


def count(session: Session, wanted: AssignmentFilter, moment: datetime) -> int:
    """How many assignments there are of the kind that is wanted."""
    query = (
        select(func.count())
        .select_from(Assignment)
        .join(Acquisition, Acquisition.id == Assignment.acquisition_id)
        .join(Participant, Participant.id == Acquisition.participant_id)
    )
    return session.scalars(query.where(*wanted.conditions(moment))).one()


def of_whom(signed_in: bool) -> ColumnElement[bool]:
    """The condition that an assignment is a reader's, whose name is a parameter (:func:`named`): by account, else by client."""
    if signed_in:
        return Assignment.account == bindparam("name")
    return and_(Assignment.account.is_(None), Assignment.client == bindparam("name"))


def named(reader: Reader, moment: datetime) -> dict[str, Any]:
    """The parameters of a statement that is made once: the reader, and the moment."""
    return {"name": reader.client if reader.account is None else reader.account, "moment": moment}


def belongs_to(assignment: Assignment, reader: Reader) -> bool:
    """Whether an assignment is this reader's; the same as :func:`of_whom` in Python."""
    if reader.account is not None:
        return assignment.account == reader.account
    return assignment.account is None and assignment.client == reader.client


def by_ticket(session: Session, ticket: str) -> Assignment | None:
    """The assignment of a ticket."""
    return session.scalars(select(Assignment).where(Assignment.ticket == ticket)).one_or_none()


def newest(session: Session, acquisition_id: str, reader: Reader) -> Assignment | None:
    """The assignment under which this reader got the acquisition last; one that has not ended comes before others."""
    values = {"acquisition": acquisition_id, "name": reader.client if reader.account is None else reader.account}
    return session.scalars(_newest(reader.account is not None), values).one_or_none()


@cache
def _newest(signed_in: bool) -> Select[Assignment]:
    query = select(Assignment).where(Assignment.acquisition_id == bindparam("acquisition"), of_whom(signed_in))
    return query.order_by(Assignment.ended_at.is_(None).desc(), Assignment.created_at.desc()).limit(1)


def open_of_reader(session: Session, acquisition_id: str, reader: Reader, moment: datetime) -> Assignment | None:
    """The open assignment under which this reader has the acquisition, if they have it."""
    assignment = newest(session, acquisition_id, reader)
    return assignment if assignment is not None and assignment.is_open(moment) else None


def open_of(session: Session, acquisition_id: str, moment: datetime) -> Assignment | None:
    """The open assignment of an acquisition, second readings and reviews left out."""
    query = select(Assignment).where(
        Assignment.acquisition_id == acquisition_id, concepts.is_open(Assignment, moment), ~Assignment.second_reading
    )
    return session.scalars(query).one_or_none()


def all_open_of_reader(session: Session, reader: Reader, moment: datetime) -> Sequence[Assignment]:
    """All open assignments of a reader, oldest first."""
    return session.scalars(_all_open(reader.account is not None), named(reader, moment)).all()


@cache
def _all_open(signed_in: bool) -> Select[Assignment]:
    query = select(Assignment).where(concepts.is_open(Assignment, concepts.MOMENT), of_whom(signed_in))
    return query.order_by(Assignment.created_at, Assignment.id)


def open_examinations(session: Session, account: str | None, moment: datetime) -> Sequence[OpenExamination]:
    """Open assignments, of an account or of everybody, with the examination that is opened; oldest first."""
    query = (
        select(Assignment.ticket, Assignment.draft_withheld, *LISTED)
        .join(Acquisition, Acquisition.id == Assignment.acquisition_id)
        .join(Examination, Examination.id == Acquisition.primary_examination_id)
        .where(concepts.is_open(Assignment, moment))
    )
    if account is not None:
        query = query.where(Assignment.account == account)
    ordered = session.execute(query.order_by(Assignment.created_at, Assignment.id))
    return [OpenExamination(ticket, bool(withheld), ListedImage._make(image)) for ticket, withheld, *image in ordered]


def requested(session: Session, reader: Reader, moment: datetime) -> Assignment | None:
    """The oldest open assignment of a usable case that this reader requested and has not yet fetched."""
    return session.scalars(_requested(reader.account is not None), named(reader, moment)).one_or_none()


@cache
def _requested(signed_in: bool) -> Select[Assignment]:
    query = _all_open(signed_in).join(Acquisition, Acquisition.id == Assignment.acquisition_id)
    wanted = query.where(Assignment.requested, concepts.is_usable()).limit(1)
    return wanted.with_for_update(skip_locked=True, of=Assignment)


def left_open(session: Session, reader: Reader, moment: datetime) -> Sequence[tuple[Assignment, Examination]]:
    """Open assignments of usable cases that this reader has fetched, with the examination; oldest first."""
    found = session.execute(_left_open(reader.account is not None), named(reader, moment)).unique()
    return [(assignment, examination) for assignment, examination in found]


@cache
def _left_open(signed_in: bool) -> Select[Assignment, Examination]:
    open_cases = concepts.is_open(Assignment, concepts.MOMENT), of_whom(signed_in)
    return (
        select(Assignment, Examination)
        .join(Acquisition, Acquisition.id == Assignment.acquisition_id)
        .join(Examination, Examination.id == Acquisition.primary_examination_id)
        .where(*open_cases, ~Assignment.requested, concepts.is_usable())
        .order_by(Assignment.created_at, Assignment.id)
    )


def strategies_in_use(session: Session) -> list[str]:
    """The strategies by which the last cases were assigned, each once, the newest first; empty before the first."""
    query = select(Assignment.strategy).where(Assignment.strategy.is_not(None))
    newest = query.order_by(Assignment.created_at.desc(), Assignment.id).limit(_LAST_ASSIGNED)
    return list(dict.fromkeys(strategy for strategy in session.scalars(newest) if strategy))


def returned_or_expired(session: Session, account: str) -> Sequence[str]:
    """Acquisitions that this account was assigned and did not submit."""
    return session.scalars(_given_back(), {"account": account}).all()


@cache
def _given_back() -> Select[str]:
    over = Assignment.outcome.in_((AssignmentOutcome.RETURNED, AssignmentOutcome.EXPIRED))
    of_account = Assignment.account == bindparam("account")
    return select(Assignment.acquisition_id).where(of_account, over).distinct()


def end_times(session: Session, acquisition_ids: Sequence[str], moment: datetime) -> dict[str, datetime]:
    """Those of these acquisitions that are assigned now, with the moment at which the last assignment ends."""
    query = (
        select(Assignment.acquisition_id, func.max(Assignment.expires_at))
        .where(Assignment.acquisition_id.in_(acquisition_ids), concepts.is_open(Assignment, moment))
        .where(Assignment.blind.is_(None))
        .group_by(Assignment.acquisition_id)
    )
    return dict(session.execute(query).all())


def readers_of(session: Session, acquisition_id: str, moment: datetime) -> list[str]:
    """Names of those who have a case now, be it for a second reading or a review."""
    query = select(func.coalesce(Assignment.account, Assignment.client))
    own = query.where(Assignment.acquisition_id == acquisition_id, concepts.is_open(Assignment, moment))
    return sorted(set(session.scalars(own)))


def reserved_cases(session: Session, moment: datetime) -> list[str]:
    """Ids of the acquisitions that were assigned to readers who have not opened them yet, in the order of opening."""
    query = select(Assignment.acquisition_id).where(
        concepts.is_open(Assignment, moment), Assignment.requested, Assignment.assigned_by.is_not(None)
    )
    return list(dict.fromkeys(session.scalars(query.order_by(Assignment.created_at, Assignment.id))))


def first_end(session: Session, moment: datetime) -> datetime | None:
    """When the first of the cases that are assigned now returns to the queue unless it is submitted, if there is any."""
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
    if session.scalars(_overdue(), {"moment": moment}).first() is not None:
        ended = {"ended_at": Assignment.expires_at, "outcome": AssignmentOutcome.EXPIRED}
        over = and_(Assignment.ended_at.is_(None), Assignment.expires_at <= moment)
        session.execute(update(Assignment).where(over).values(ended))


@cache
def _overdue() -> Select[str]:
    return select(Assignment.id).where(Assignment.ended_at.is_(None), Assignment.expires_at <= concepts.MOMENT).limit(1)


def return_all_of_account(session: Session, account: str, moment: datetime) -> None:
    """Return the cases of an account to the queue, and end the tickets of those that it submitted."""
    submitted = and_(Assignment.outcome == AssignmentOutcome.SUBMITTED, Assignment.expires_at > moment)
    session.execute(update(Assignment).where(Assignment.account == account, submitted).values(expires_at=moment))
    _return(session, moment, Assignment.account == account)


def return_all_of_case(session: Session, acquisition_id: str, moment: datetime) -> None:
    """End the assignments of a case, whoever has it."""
    _return(session, moment, Assignment.acquisition_id == acquisition_id)


def end_reviews(session: Session, annotation_id: str, moment: datetime) -> None:
    """End the assignments of those who look at an annotation to review it."""
    _return(session, moment, Assignment.annotation_id == annotation_id, Assignment.second_reading.is_(True))


def _return(session: Session, moment: datetime, *conditions: ColumnElement[bool]) -> None:
    returned = {"ended_at": moment, "outcome": AssignmentOutcome.RETURNED}
    session.execute(update(Assignment).where(concepts.is_open(Assignment, moment), *conditions).values(returned))
