"""Leases, and which acquisitions wait for a reader."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.queries.rounds import by_a_reader
from mrseg_label.catalog.tables import (
    Acquisition,
    Alias,
    Examination,
    Lease,
    Participant,
    Presegmentation,
    Revision,
    RoundCase,
)
from mrseg_label.catalog.types import LeaseEnd, RevisionState

Group = tuple[str, str]  # station, sequence


def examination(session: Session, examination_id: str) -> Examination | None:
    """An examination by id."""
    return session.get(Examination, examination_id)


def by_alias(session: Session, name: str, client: str | None) -> Examination | None:
    """The image that a client uploaded under that name; with ``client`` None, the last that anyone did."""
    query = select(Examination).join(Alias, Alias.examination_id == Examination.id).where(Alias.name == name)
    if client is not None:
        query = query.where(Alias.client == client)
    return session.scalars(query.order_by(Alias.created_at.desc()).limit(1)).unique().one_or_none()


def by_ticket(session: Session, ticket: str) -> Lease | None:
    """The lease of a ticket."""
    return session.scalars(select(Lease).where(Lease.ticket == ticket)).one_or_none()


def expire(session: Session, moment: datetime) -> None:
    """End the leases whose time is over."""
    over = and_(Lease.ended_at.is_(None), Lease.expires_at <= moment)
    session.execute(update(Lease).where(over).values(ended_at=Lease.expires_at, ended=LeaseEnd.EXPIRED))


def open_lease(session: Session, acquisition_id: str) -> Lease | None:
    """The open lease of an acquisition, second reads left out."""
    query = select(Lease).where(Lease.acquisition_id == acquisition_id, Lease.ended_at.is_(None), ~Lease.second_read)
    return session.scalars(query).one_or_none()


def held_by(reader_user: str | None, reader_client: str) -> ColumnElement[bool]:
    """The condition that a lease is of this reader: the user of a signed-in one, else the client's name."""
    if reader_user is not None:
        return Lease.user == reader_user
    return and_(Lease.user.is_(None), Lease.client == reader_client)


def newest_lease(session: Session, acquisition_id: str, client: str, user: str | None) -> Lease | None:
    """The lease under which this reader was handed the acquisition last, open or ended."""
    query = select(Lease).where(Lease.acquisition_id == acquisition_id, held_by(user, client))
    return session.scalars(
        query.order_by(Lease.ended_at.is_(None).desc(), Lease.created_at.desc()).limit(1)
    ).one_or_none()


def open_leases(session: Session, client: str | None, user: str | None) -> Sequence[Lease]:
    """Open leases of a signed-in user, or of a client, or of everybody; oldest first."""
    query = select(Lease).where(Lease.ended_at.is_(None))
    if user is not None or client is not None:
        query = query.where(held_by(user, client or ""))
    return session.scalars(query.order_by(Lease.created_at, Lease.id)).all()


def given_up(session: Session, user: str) -> Sequence[str]:
    """Acquisitions that this user was handed and did not submit."""
    over = Lease.ended.in_((LeaseEnd.RELEASED, LeaseEnd.EXPIRED))
    return session.scalars(select(Lease.acquisition_id).where(Lease.user == user, over).distinct()).all()


def close_leases(session: Session, user: str, moment: datetime) -> None:
    """Take a reader's cases back, and end the tickets of those that were submitted."""
    mine = and_(Lease.user == user, Lease.expires_at > moment)
    session.execute(update(Lease).where(mine, Lease.ended == LeaseEnd.SUBMITTED).values(expires_at=moment))
    session.execute(
        update(Lease).where(mine, Lease.ended_at.is_(None)).values(ended_at=moment, ended=LeaseEnd.RELEASED)
    )


def end_leases(session: Session, acquisition_id: str, moment: datetime) -> None:
    """Take a case from all who hold it."""
    held = and_(Lease.acquisition_id == acquisition_id, Lease.ended_at.is_(None))
    session.execute(update(Lease).where(held).values(ended_at=moment, ended=LeaseEnd.RELEASED))


def end_reviews(session: Session, revision_id: str, moment: datetime) -> None:
    """End the leases of those who look at a submission to review it."""
    looking = and_(Lease.revision_id == revision_id, Lease.second_read, Lease.ended_at.is_(None))
    session.execute(update(Lease).where(looking).values(ended_at=moment, ended=LeaseEnd.RELEASED))


def open_examinations(session: Session, client: str | None, user: str | None) -> Sequence[tuple[Lease, Examination]]:
    """Open leases with the examination that was handed out, oldest first."""
    query = (
        select(Lease, Examination)
        .join(Acquisition, Acquisition.id == Lease.acquisition_id)
        .join(Examination, Examination.id == Acquisition.primary_examination_id)
        .where(Lease.ended_at.is_(None))
    )
    if user is not None or client is not None:
        query = query.where(held_by(user, client or ""))
    return [(lease, image) for lease, image in session.execute(query.order_by(Lease.created_at, Lease.id)).unique()]


def totals(session: Session) -> tuple[int, int]:
    """Acquisitions that are not excluded, and how many of them are annotated."""
    included = select(func.count()).select_from(Acquisition).where(Acquisition.excluded_at.is_(None))
    return session.scalars(included).one(), session.scalars(included.where(Acquisition.annotated_at.is_not(None))).one()


def first_free_at(session: Session) -> datetime | None:
    """When the first of the cases that readers hold now would come back to the queue, if there are any."""
    query = (
        select(func.min(Lease.expires_at))
        .join(Acquisition, Acquisition.id == Lease.acquisition_id)
        .where(
            Lease.ended_at.is_(None),
            ~Lease.second_read,
            Acquisition.annotated_at.is_(None),
            Acquisition.excluded_at.is_(None),
        )
    )
    return session.scalars(query).one()


def waiting() -> Select[Acquisition]:
    """Acquisitions that wait for a reader: not annotated, excluded, handed out or under review."""
    # Under names of their own, since callers join the same tables.
    lease, revision = aliased(Lease), aliased(Revision)
    leased = exists().where(lease.acquisition_id == Acquisition.id, lease.ended_at.is_(None), ~lease.second_read)
    in_review = exists().where(revision.acquisition_id == Acquisition.id, revision.state == RevisionState.SUBMITTED)
    return select(Acquisition).where(
        Acquisition.annotated_at.is_(None),
        Acquisition.excluded_at.is_(None),
        Acquisition.primary_examination_id.is_not(None),
        ~leased,
        ~in_review,
    )


def first(session: Session, query: Select[Acquisition], without: Collection[str]) -> Acquisition | None:
    """The first acquisition that a query finds, leaving some out and those that another process has just chosen."""
    if without:
        query = query.where(Acquisition.id.not_in(without))
    # Other server processes that choose at the same moment skip this row (PostgreSQL); SQLite has one writer anyway.
    query = query.limit(1).with_for_update(skip_locked=True, of=Acquisition)
    return session.scalars(query).unique().one_or_none()


def handed_out_by_group(session: Session) -> dict[Group, int]:
    """How many acquisitions of each station and sequence are annotated or in readers' hands."""
    leased = exists().where(Lease.acquisition_id == Acquisition.id, Lease.ended_at.is_(None))
    query = (
        select(Acquisition.station, Acquisition.sequence, func.count())
        .where(Acquisition.excluded_at.is_(None), or_(Acquisition.annotated_at.is_not(None), leased))
        .group_by(Acquisition.station, Acquisition.sequence)
    )
    return {(station, sequence): count for station, sequence, count in session.execute(query)}


def waiting_groups(session: Session, held_out: bool) -> Sequence[Group]:
    """Stations and sequences of which cases of held-out, or of other, participants wait."""
    query = (
        waiting()
        .join(Participant, Participant.id == Acquisition.participant_id)
        .where(Participant.held_out.is_(held_out))
    )
    groups = query.with_only_columns(Acquisition.station, Acquisition.sequence).distinct()
    return [(station, sequence) for station, sequence in session.execute(groups)]


def held_out_in_batch(session: Session) -> int:
    """Cases of held-out participants among those annotated since the last snapshot or in readers' hands."""
    leased = exists().where(Lease.acquisition_id == Acquisition.id, Lease.ended_at.is_(None))
    in_snapshot = exists().where(RoundCase.acquisition_id == Acquisition.id)
    fresh = and_(Acquisition.annotated_at.is_not(None), ~in_snapshot, by_a_reader())
    unread = and_(Acquisition.annotated_at.is_(None), leased)
    query = (
        select(func.count())
        .select_from(Acquisition)
        .join(Participant, Participant.id == Acquisition.participant_id)
        .where(Participant.held_out.is_(True), Acquisition.excluded_at.is_(None), or_(fresh, unread))
    )
    return session.scalars(query).one()


def first_in_group(session: Session, group: Group, held_out: bool, without: Collection[str]) -> Acquisition | None:
    """A waiting case of that station and sequence, in the order drawn at import."""
    query = (
        waiting()
        .join(Participant, Participant.id == Acquisition.participant_id)
        .where(Acquisition.station == group[0], Acquisition.sequence == group[1], Participant.held_out.is_(held_out))
        .order_by(Acquisition.shuffle, Acquisition.id)
    )
    return first(session, query, without)


def first_imported(session: Session, without: Collection[str]) -> Acquisition | None:
    """The waiting case that was imported first."""
    return first(session, waiting().order_by(Acquisition.created_at, Acquisition.id), without)


def first_shuffled(session: Session, without: Collection[str]) -> Acquisition | None:
    """The waiting case that comes first in the order drawn at import."""
    return first(session, waiting().order_by(Acquisition.shuffle, Acquisition.id), without)


def if_waiting(session: Session, acquisition_id: str, without: Collection[str]) -> Acquisition | None:
    """That acquisition if it waits for a reader."""
    return first(session, waiting().where(Acquisition.id == acquisition_id), without)


def waiting_with_two_drafts(session: Session, limit: int) -> list[tuple[str, str, str]]:
    """Waiting acquisitions with drafts by two models: id, path of the newest draft, path of the one before."""
    place = func.row_number().over(
        partition_by=Presegmentation.acquisition_id, order_by=(Presegmentation.created_at.desc(), Presegmentation.id)
    )
    drafts = select(Presegmentation.acquisition_id, Presegmentation.path, place.label("place")).subquery()
    newer, older = aliased(drafts), aliased(drafts)
    query = (
        waiting()
        .with_only_columns(Acquisition.id, newer.c.path, older.c.path)
        .join(newer, and_(newer.c.acquisition_id == Acquisition.id, newer.c.place == 1))
        .join(older, and_(older.c.acquisition_id == Acquisition.id, older.c.place == 2))
        .order_by(Acquisition.shuffle, Acquisition.id)
        .limit(limit)
    )
    return [(acquisition_id, new, old) for acquisition_id, new, old in session.execute(query)]
