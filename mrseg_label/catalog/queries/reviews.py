"""Reviews: decisions about annotations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, Assignment, Review
from mrseg_label.catalog.types import AnnotationState, Verdict


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
    """Why a reviewer sent an annotation back; empty where none did."""
    query = select(Review.comment).where(Review.annotation_id == annotation_id, Review.verdict == Verdict.REJECTED)
    return session.scalars(query.order_by(Review.created_at.desc(), Review.id).limit(1)).one_or_none() or ""


def sent_back(session: Session) -> list[tuple[Acquisition, Annotation, datetime]]:
    """Cases whose last annotation was rejected and that nobody has now, the oldest rejection first.

    With that annotation, and when it was rejected.
    """
    later, assignment = aliased(Annotation), aliased(Assignment)
    is_newest = ~exists().where(later.acquisition_id == Annotation.acquisition_id, later.number > Annotation.number)
    held = exists().where(
        assignment.acquisition_id == Annotation.acquisition_id,
        assignment.ended_at.is_(None),
        assignment.second_reading != Annotation.is_final,
    )
    query = (
        select(Acquisition, Annotation, Review.created_at)
        .join(Annotation, Annotation.acquisition_id == Acquisition.id)
        .join(Review, Review.annotation_id == Annotation.id)
        .where(
            Review.verdict == Verdict.REJECTED,
            Annotation.state == AnnotationState.REJECTED,
            concepts.is_included(),
            is_newest,
            ~held,
        )
        .order_by(Review.created_at, Review.id)
    )
    return [(case, annotation, at) for case, annotation, at in session.execute(query).unique()]


def next_to_review(session: Session, reader: Reader, acquisition_id: str | None) -> Annotation | None:
    """The oldest annotation by another reader that awaits review and that nobody reviews now."""
    assignment = aliased(Assignment)
    reviewed = exists().where(assignment.annotation_id == Annotation.id, assignment.ended_at.is_(None))
    query = (
        select(Annotation)
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .where(
            Annotation.state == AnnotationState.SUBMITTED,
            Annotation.author != reader.name,
            concepts.is_included(),
            Acquisition.primary_examination_id.is_not(None),
            ~reviewed,
        )
    )
    if acquisition_id is not None:
        query = query.where(Annotation.acquisition_id == acquisition_id)
    ordered = query.order_by(Annotation.created_at, Annotation.id).limit(1)
    return session.scalars(ordered.with_for_update(skip_locked=True, of=Annotation)).one_or_none()
