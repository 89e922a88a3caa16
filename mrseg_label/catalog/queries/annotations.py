"""Revisions: the history of an acquisition's masks."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import Review, Revision
from mrseg_label.catalog.types import RevisionState, Verdict


def get(session: Session, revision_id: str) -> Revision | None:
    """A revision by id."""
    return session.get(Revision, revision_id)


def history(session: Session, acquisition_id: str) -> Sequence[Revision]:
    """Every revision of an acquisition, newest first."""
    return session.scalars(
        select(Revision).where(Revision.acquisition_id == acquisition_id).order_by(Revision.number.desc())
    ).all()


def next_number(session: Session, acquisition_id: str) -> int:
    """The number of an acquisition's next revision, from 1."""
    return (
        session.scalars(select(func.max(Revision.number)).where(Revision.acquisition_id == acquisition_id)).one() or 0
    ) + 1


def final(session: Session, acquisition_id: str) -> Revision | None:
    """The revision that is the acquisition's mask: the newest accepted one that is not a further reading."""
    query = select(Revision).where(
        Revision.acquisition_id == acquisition_id, Revision.state == RevisionState.ACCEPTED, Revision.is_final
    )
    return session.scalars(query.order_by(Revision.number.desc()).limit(1)).one_or_none()


def newest_by(session: Session, acquisition_id: str, author: str) -> Revision | None:
    """The last revision of an acquisition that this author submitted."""
    query = select(Revision).where(Revision.acquisition_id == acquisition_id, Revision.author == author)
    return session.scalars(query.order_by(Revision.number.desc()).limit(1)).one_or_none()


def under_review(session: Session, acquisition_id: str) -> Revision | None:
    """The newest revision that waits for a second reader and would become the acquisition's mask."""
    query = select(Revision).where(
        Revision.acquisition_id == acquisition_id, Revision.state == RevisionState.SUBMITTED, Revision.is_final
    )
    return session.scalars(query.order_by(Revision.number.desc()).limit(1)).one_or_none()


def submission_before(session: Session, revision: Revision) -> Revision | None:
    """The last submission of any case by the same author before this one."""
    query = select(Revision).where(
        Revision.author == revision.author, Revision.created_at < revision.created_at, Revision.id != revision.id
    )
    return session.scalars(query.order_by(Revision.created_at.desc()).limit(1)).one_or_none()


def reviews(session: Session, revision_id: str) -> Sequence[Review]:
    """What was said of a revision, in order."""
    return session.scalars(
        select(Review).where(Review.revision_id == revision_id).order_by(Review.created_at, Review.id)
    ).all()


def reviews_of(session: Session, revision_ids: Sequence[str]) -> dict[str, list[Review]]:
    """What was said of each of these revisions, in order."""
    query = select(Review).where(Review.revision_id.in_(revision_ids)).order_by(Review.created_at, Review.id)
    said: dict[str, list[Review]] = {}
    for row in session.scalars(query):
        said.setdefault(row.revision_id, []).append(row)
    return said


def rejection(session: Session, revision_id: str) -> str:
    """Why a second reader sent a revision back; empty where none did."""
    query = select(Review.comment).where(Review.revision_id == revision_id, Review.verdict == Verdict.REJECTED)
    return session.scalars(query.order_by(Review.created_at.desc(), Review.id).limit(1)).one_or_none() or ""


def newest(session: Session, acquisition_id: str) -> Revision | None:
    """The last revision of an acquisition, whatever its state."""
    query = select(Revision).where(Revision.acquisition_id == acquisition_id).order_by(Revision.number.desc()).limit(1)
    return session.scalars(query).one_or_none()
