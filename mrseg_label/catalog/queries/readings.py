"""Readings beside the first: second readings, reviews, corrections of what was sent back."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.queries.worklist import first, held_by
from mrseg_label.catalog.tables import Acquisition, Lease, Review, Revision
from mrseg_label.catalog.types import RevisionState, Verdict


def asked_for(session: Session, client: str, user: str | None) -> Lease | None:
    """The oldest open lease that this reader asked for by name and was not yet given."""
    query = select(Lease).where(Lease.ended_at.is_(None), Lease.asked_for, held_by(user, client))
    query = query.order_by(Lease.created_at, Lease.id).limit(1).with_for_update(skip_locked=True)
    return session.scalars(query).one_or_none()


def sent_back(session: Session) -> list[tuple[Acquisition, Revision, datetime]]:
    """Cases whose last submission a second reader sent back and that nobody holds, the oldest first.

    With that submission, and when it was rejected.
    """
    later, lease = aliased(Revision), aliased(Lease)
    is_newest = ~exists().where(later.acquisition_id == Revision.acquisition_id, later.number > Revision.number)
    held = exists().where(
        lease.acquisition_id == Revision.acquisition_id,
        lease.ended_at.is_(None),
        lease.second_read != Revision.is_final,
    )
    query = (
        select(Acquisition, Revision, Review.created_at)
        .join(Revision, Revision.acquisition_id == Acquisition.id)
        .join(Review, Review.revision_id == Revision.id)
        .where(
            Review.verdict == Verdict.REJECTED,
            Revision.state == RevisionState.REJECTED,
            Acquisition.excluded_at.is_(None),
            is_newest,
            ~held,
        )
        .order_by(Review.created_at, Review.id)
    )
    return [(case, revision, at) for case, revision, at in session.execute(query).unique()]


def lock(session: Session, acquisition_id: str) -> bool:
    """Take a case for this transaction; False if another server process has it."""
    return first(session, select(Acquisition).where(Acquisition.id == acquisition_id), ()) is not None


def for_review(session: Session, reader: str, acquisition_id: str | None) -> Revision | None:
    """The oldest submission by another reader that waits for a review and that nobody reviews now."""
    lease = aliased(Lease)
    reviewed = exists().where(lease.revision_id == Revision.id, lease.ended_at.is_(None))
    query = (
        select(Revision)
        .join(Acquisition, Acquisition.id == Revision.acquisition_id)
        .where(
            Revision.state == RevisionState.SUBMITTED,
            Revision.author != reader,
            Acquisition.excluded_at.is_(None),
            Acquisition.primary_examination_id.is_not(None),
            ~reviewed,
        )
    )
    if acquisition_id is not None:
        query = query.where(Revision.acquisition_id == acquisition_id)
    query = query.order_by(Revision.created_at, Revision.id).limit(1).with_for_update(skip_locked=True, of=Revision)
    return session.scalars(query).one_or_none()


def for_second_read(session: Session, reader: str, acquisition_id: str | None) -> Acquisition | None:
    """An annotated case that this reader has not submitted and nobody reads a second time now.

    Those with the fewest readings first; or the named one if it is such a case.
    """
    read = exists().where(Revision.acquisition_id == Acquisition.id, Revision.author == reader)
    leased = exists().where(Lease.acquisition_id == Acquisition.id, Lease.ended_at.is_(None), Lease.second_read)
    readings = (
        select(func.count(Revision.author.distinct()))
        .where(Revision.acquisition_id == Acquisition.id)
        .correlate(Acquisition)
        .scalar_subquery()
    )
    query = select(Acquisition).where(
        Acquisition.annotated_at.is_not(None),
        Acquisition.excluded_at.is_(None),
        Acquisition.primary_examination_id.is_not(None),
        ~read,
        ~leased,
    )
    if acquisition_id is not None:
        query = query.where(Acquisition.id == acquisition_id)
    return first(session, query.order_by(readings, Acquisition.shuffle, Acquisition.id), ())
