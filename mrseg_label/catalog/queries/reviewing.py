"""What reviewers see of a case in Slicer: the annotation under the tag ``final``, those under ``version_N``, and remarks.

``final`` is the newest submitted annotation of the case, whatever its review says. A reviewer's version is ``final``
too once it is accepted. What was withdrawn has no tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, delete, exists, func, or_, select
from sqlalchemy.orm import Session, aliased, lazyload, load_only, raiseload
from sqlalchemy.orm.interfaces import ORMOption

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.tables import Acquisition, Annotation, Assignment, Remark, Review, ShownLabel
from mrseg_label.catalog.types import AnnotationState, Verdict

_LISTED = (
    Annotation.acquisition_id,
    Annotation.examination_id,
    Annotation.number,
    Annotation.state,
    Annotation.author,
    Annotation.version,
    Annotation.model_version,
    Annotation.assignment_id,
    Annotation.digest,
    Annotation.report,
    Annotation.created_at,
)
FINAL = 0  # in the place of the N of a version


def final(session: Session, acquisition_id: str) -> Annotation | None:
    """The annotation that reviewers see under ``final``; a version that is not accepted only where there is no other."""
    query = select(Annotation).where(Annotation.acquisition_id == acquisition_id, _stands())
    ordered = query.order_by(concepts.counts(Annotation).desc(), Annotation.number.desc())
    return session.scalars(ordered.limit(1)).one_or_none()


def finals(session: Session, acquisition_ids: Sequence[str]) -> dict[str, Annotation]:
    """The annotation that reviewers see under ``final``, of each of these acquisitions that has one, as in :func:`listed_of`."""
    return {identifier: final_among(rows) for identifier, rows in listed_of(session, acquisition_ids).items()}


def final_among(rows: Sequence[Annotation]) -> Annotation:
    """Of the annotations of a case that were not withdrawn the one under ``final``; :func:`final` in Python."""
    return max(rows, key=lambda row: (row.counts, row.number))


def version(session: Session, acquisition_id: str, number: int) -> Annotation | None:
    """The newest annotation that a reviewer saved under ``version_N``."""
    query = select(Annotation).where(
        Annotation.acquisition_id == acquisition_id, Annotation.version == number, _stands()
    )
    return session.scalars(query.order_by(Annotation.number.desc()).limit(1)).one_or_none()


def of_acquisitions(session: Session, acquisition_ids: Sequence[str]) -> dict[str, list[Annotation]]:
    """The annotations of each acquisition that were not withdrawn, oldest first, without their structures."""
    return _by_acquisition(session, acquisition_ids, lazyload(Annotation.structures))


def listed_of(session: Session, acquisition_ids: Sequence[str]) -> dict[str, list[Annotation]]:
    """The same annotations as :func:`of_acquisitions`, with what describes them in a list alone."""
    return _by_acquisition(
        session, acquisition_ids, load_only(*_LISTED, raiseload=True), raiseload(Annotation.structures)
    )


def _by_acquisition(
    session: Session, acquisition_ids: Sequence[str], *options: ORMOption
) -> dict[str, list[Annotation]]:
    query = select(Annotation).where(Annotation.acquisition_id.in_(acquisition_ids), _stands())
    query = query.order_by(Annotation.number).options(*options)
    found: dict[str, list[Annotation]] = {}
    for row in session.scalars(query):
        found.setdefault(row.acquisition_id, []).append(row)
    return found


def awaiting(session: Session, limit: int) -> Sequence[str]:
    """Ids of the acquisitions with an annotation that awaits review and that no newer one replaces, the oldest first."""
    newer = aliased(Annotation)
    is_replaced = exists().where(
        newer.acquisition_id == Annotation.acquisition_id, newer.number > Annotation.number, concepts.counts(newer)
    )
    query = (
        _usable_cases()
        .where(Annotation.state == AnnotationState.SUBMITTED, or_(Annotation.version.is_not(None), ~is_replaced))
        .group_by(Annotation.acquisition_id)
        .order_by(func.min(Annotation.created_at), Annotation.acquisition_id)
    )
    return session.scalars(query.limit(limit)).all()


def decided_last(session: Session, limit: int) -> Sequence[str]:
    """Ids of the acquisitions about which was decided last in a review; one may occur several times."""
    query = _usable_cases().join(Review, Review.annotation_id == Annotation.id)
    query = query.where(Review.verdict != Verdict.WITHDRAWN).order_by(Review.created_at.desc())
    return session.scalars(query.limit(limit)).all()


def accepted_last(session: Session, limit: int) -> Sequence[str]:
    """Ids of the acquisitions whose annotations were submitted last and are accepted, also where no review is required."""
    query = _usable_cases().where(Annotation.state == AnnotationState.ACCEPTED)
    return session.scalars(query.order_by(Annotation.created_at.desc()).limit(limit)).all()


def remarks_of(session: Session, annotation_ids: Sequence[str]) -> dict[str, list[Remark]]:
    """The remarks about each of these annotations, oldest first."""
    query = select(Remark).where(Remark.annotation_id.in_(annotation_ids)).order_by(Remark.created_at, Remark.id)
    found: dict[str, list[Remark]] = {}
    for row in session.scalars(query):
        found.setdefault(row.annotation_id, []).append(row)
    return found


def shown(session: Session, reviewer: str, acquisition_id: str, tag: int) -> Annotation | None:
    """The annotation that a reviewer was sent last under a tag, unless a decision followed or it was withdrawn."""
    row = session.get(ShownLabel, (reviewer, acquisition_id, tag))
    if row is None:
        return None
    return session.scalars(select(Annotation).where(Annotation.id == row.annotation_id, _stands())).one_or_none()


def note_shown(session: Session, reviewer: str, tag: int, annotation: Annotation) -> None:
    """Note which annotation a reviewer was sent under a tag."""
    key = {"reviewer": reviewer, "acquisition_id": annotation.acquisition_id, "version": tag}
    session.merge(ShownLabel(**key, annotation_id=annotation.id))


def forget_shown(session: Session, reviewer: str, acquisition_id: str, tag: int) -> None:
    """Forget what a reviewer was sent under a tag: the next decision is about the newest annotation."""
    session.execute(
        delete(ShownLabel).where(
            ShownLabel.reviewer == reviewer,
            ShownLabel.acquisition_id == acquisition_id,
            ShownLabel.version == tag,
        )
    )


def read_apart(session: Session, account: str, moment: datetime) -> dict[str, str | None]:
    """Acquisitions that an account reads a second time or reviews now, with the one annotation that it may see there."""
    query = select(Assignment.acquisition_id, Assignment.annotation_id).where(
        Assignment.account == account, Assignment.second_reading, concepts.is_open(Assignment, moment)
    )
    return dict(session.execute(query).all())


def _stands() -> ColumnElement[bool]:
    """Submitted, accepted, or rejected by a reviewer; not withdrawn."""
    return or_(Annotation.state != AnnotationState.REJECTED, concepts.is_rejected_by_reviewer(Annotation))


def _usable_cases() -> Select[str]:
    return (
        select(Annotation.acquisition_id)
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .where(concepts.is_usable())
    )
