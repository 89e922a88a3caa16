"""Reviews: decisions about annotations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

from sqlalchemy import ColumnElement, Integer, Select, bindparam, exists, func, or_, select
from sqlalchemy.orm import Session, aliased, lazyload

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, Assignment, Review
from mrseg_label.catalog.types import AnnotationState, Verdict


class SentBack(NamedTuple):
    """A case with a rejected annotation that comes back to its author, or to the reader who was named at its rejection."""

    case: Acquisition
    annotation: Annotation
    rejected_at: datetime
    recipient: str


def of_annotation(session: Session, annotation_id: str) -> Sequence[Review]:
    """The reviews of an annotation, oldest first."""
    return of_annotations(session, [annotation_id]).get(annotation_id, [])


def of_annotations(session: Session, annotation_ids: Sequence[str]) -> dict[str, list[Review]]:
    """The reviews of each of these annotations, oldest first."""
    query = select(Review).where(Review.annotation_id.in_(annotation_ids)).order_by(Review.created_at, Review.id)
    found: dict[str, list[Review]] = {}
    for row in session.scalars(query):
        found.setdefault(row.annotation_id, []).append(row)
    return found


def reason_of_rejection(session: Session, annotation_id: str) -> str:
    """The comment with which a reviewer rejected an annotation; empty where none did, or where another decision followed."""
    query = select(Review).where(Review.annotation_id == annotation_id)
    newest = session.scalars(query.order_by(Review.created_at.desc(), Review.id).limit(1)).one_or_none()
    return newest.comment if newest is not None and newest.verdict is Verdict.REJECTED else ""


def sent_back(session: Session, moment: datetime) -> list[SentBack]:
    """Cases whose rejected annotation comes back to a reader and that nobody has now, the oldest rejection first."""
    return [SentBack(*row) for row in session.execute(_sent_back(), {"moment": moment}).unique()]


@cache
def _sent_back() -> Select[Acquisition, Annotation, datetime, str]:
    assignment = aliased(Assignment)
    is_assigned = exists().where(
        assignment.acquisition_id == Annotation.acquisition_id,
        concepts.is_open(assignment, concepts.MOMENT),
        assignment.second_reading != Annotation.is_final,  # a second reading is returned as one
        # A review of another annotation of the case hinders nobody from reading it again.
        or_(Annotation.is_final, assignment.annotation_id.is_(None), assignment.annotation_id == Annotation.id),
    )
    return (
        select(Acquisition, Annotation, Review.created_at, _recipient())
        .join(Annotation, Annotation.acquisition_id == Acquisition.id)
        .join(Review, Review.annotation_id == Annotation.id)
        .where(
            Review.verdict == Verdict.REJECTED,
            concepts.is_newest_review(Review),
            concepts.is_sent_back(),
            concepts.is_usable(),
            ~is_assigned,
        )
        .order_by(Review.created_at, Review.id)
    )


def came_back(session: Session, author: str | None, limit: int) -> list[tuple[Annotation, Review]]:
    """Rejected annotations that a reader (everybody: None) is to correct, the latest rejection first."""
    found = session.execute(_came_back(author is not None), {"author": author, "limit": limit})
    return [(annotation, review) for annotation, review in found]


@cache
def _came_back(of_author: bool) -> Select[Annotation, Review]:
    query = (
        select(Annotation, Review)
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .join(Review, Review.annotation_id == Annotation.id)
        .where(concepts.is_newest_review(Review), concepts.is_sent_back(), concepts.is_usable())
        .options(lazyload(Annotation.structures))
    )
    if of_author:
        query = query.where(_recipient() == bindparam("author"))
    return query.order_by(Review.created_at.desc(), Review.id).limit(bindparam("limit", type_=Integer()))


def _recipient() -> ColumnElement[str]:
    """Who is to correct a rejected annotation."""
    return func.coalesce(Review.recipient, Annotation.author)


def count_awaiting(session: Session) -> int:
    """Number of annotations of included cases that await review."""
    query = (
        select(func.count())
        .select_from(Annotation)
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .where(Annotation.state == AnnotationState.SUBMITTED, concepts.is_included())
    )
    return session.scalars(query).one()


def next_to_review(session: Session, moment: datetime, reader: Reader, acquisition_id: str | None) -> Annotation | None:
    """The oldest annotation by another reader that awaits review and that nobody reviews now; of one case or of any."""
    assignment = aliased(Assignment)
    is_reviewed = exists().where(assignment.annotation_id == Annotation.id, concepts.is_open(assignment, moment))
    query = (
        select(Annotation)
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .where(
            Annotation.state == AnnotationState.SUBMITTED,
            Annotation.author != reader.name,
            concepts.is_usable(),
            ~is_reviewed,
        )
    )
    if acquisition_id is not None:
        query = query.where(Annotation.acquisition_id == acquisition_id)
    ordered = query.order_by(Annotation.created_at, Annotation.id).limit(1)
    return session.scalars(ordered.with_for_update(skip_locked=True, of=Annotation)).one_or_none()
