"""Annotations, and which of them is the mask of its acquisition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, Subquery, bindparam, func, insert, select
from sqlalchemy.orm import Session, lazyload

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.queries.paging import newest_first
from mrseg_label.catalog.tables import Acquisition, Annotation, AnnotationStructure
from mrseg_label.catalog.types import AnnotationState, Position, StructureState

# The newest such annotation is the acquisition's mask: accepted, and not a second reading.
_MAY_BE_MASK = (Annotation.state == AnnotationState.ACCEPTED, Annotation.is_final)
# In so many participants of a station readers must have judged a structure before it is taken to lie outside of it.
FEWEST_JUDGED = 5


@dataclass(frozen=True)
class MaskFilter:
    """Whose masks are wanted; None does not restrict.

    Attributes
    ----------
    model : the version whose pre-segmentation the reader started from.
    since, until : of the submission; until is not included.
    every_annotation : also annotations that are not the mask of their case.
    """

    model: str | None = None
    author: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    every_annotation: bool = False


def get(session: Session, annotation_id: str) -> Annotation | None:
    """An annotation by id."""
    return session.get(Annotation, annotation_id)


def next_number(session: Session, acquisition_id: str) -> int:
    """The number of an acquisition's next revision, from 1."""
    return (session.scalars(_newest_number(), {"acquisition": acquisition_id}).one() or 0) + 1


@cache
def _newest_number() -> Select[int]:
    return select(func.max(Annotation.number)).where(Annotation.acquisition_id == bindparam("acquisition"))


def all_of(session: Session, acquisition_id: str) -> Sequence[Annotation]:
    """All annotations of an acquisition, oldest first; their structures are read when they are asked for."""
    return session.scalars(_all_of(), {"acquisition": acquisition_id}).all()


@cache
def _all_of() -> Select[Annotation]:
    query = select(Annotation).where(Annotation.acquisition_id == bindparam("acquisition"))
    return query.order_by(Annotation.number).options(lazyload(Annotation.structures))


def add_structures(
    session: Session, annotation_id: str, states: Mapping[str, StructureState], voxels: Mapping[str, int]
) -> None:
    """Add the structures of a new annotation, as rows: there are dozens, and nothing is changed in them now."""
    session.flush()  # the annotation itself
    found = [
        {"annotation_id": annotation_id, "structure": name, "state": state, "voxels": voxels.get(name, 0)}
        for name, state in states.items()
    ]
    if found:
        session.execute(insert(AnnotationStructure), found)


def final(session: Session, acquisition_id: str) -> Annotation | None:
    """The annotation that is the acquisition's mask: the newest accepted one that is not a second reading."""
    return _newest(session, Annotation.acquisition_id == acquisition_id, *_MAY_BE_MASK)


def drawn_on(session: Session, acquisition_id: str) -> str | None:
    """The id of the image that the acquisition's mask was drawn on; None where it has no mask."""
    return session.scalar(_drawn_on(), {"acquisition": acquisition_id})


@cache
def _drawn_on() -> Select[str]:
    of_case = Annotation.acquisition_id == bindparam("acquisition")
    query = select(Annotation.examination_id).where(of_case, *_MAY_BE_MASK)
    return query.order_by(Annotation.number.desc()).limit(1)


def finals(session: Session, acquisition_ids: Sequence[str]) -> dict[str, Annotation]:
    """The annotation that is the mask of each of these acquisitions, where there is one."""
    query = (
        select(Annotation)
        .where(Annotation.acquisition_id.in_(acquisition_ids), *_MAY_BE_MASK)
        .order_by(Annotation.acquisition_id, Annotation.number)
    )
    return {annotation.acquisition_id: annotation for annotation in session.scalars(query)}


def newest_by(session: Session, acquisition_id: str, author: str) -> Annotation | None:
    """The last annotation of an acquisition that this author submitted."""
    return _newest(session, Annotation.acquisition_id == acquisition_id, Annotation.author == author)


def awaiting_review(session: Session, acquisition_id: str) -> Annotation | None:
    """The newest annotation that awaits review and would become the acquisition's mask, reviewers' versions left out."""
    return _newest(
        session,
        Annotation.acquisition_id == acquisition_id,
        Annotation.state == AnnotationState.SUBMITTED,
        Annotation.is_final,
        concepts.counts(Annotation),
    )


def newest_finals() -> Subquery:
    """Id and revision number of the mask of every acquisition that has one, as a subquery."""
    return (
        select(Annotation.acquisition_id, func.max(Annotation.number).label("number"))
        .where(*_MAY_BE_MASK)
        .group_by(Annotation.acquisition_id)
        .subquery()
    )


def annotated_examinations(session: Session) -> Sequence[tuple[str, int]]:
    """Id of the primary examination and revision number of every annotated case, in the order of import."""
    newest = newest_finals()
    query = (
        select(Acquisition.primary_examination_id, newest.c.number)
        .join(newest, newest.c.acquisition_id == Acquisition.id)
        .where(concepts.is_included())
        .order_by(Acquisition.created_at, Acquisition.id)
    )
    return [(identifier, number) for identifier, number in session.execute(query) if identifier]


def impossible_structures(session: Session, station: str) -> set[str]:
    """Names of the structures that cannot lie in a station: judged in enough participants, and present in none.

    Nothing is known of cases without a station.
    """
    if not station:
        return set()
    newest = newest_finals()
    judged = [state for state in StructureState if state.judged]
    query = (
        select(AnnotationStructure.structure)
        .join(Annotation, Annotation.id == AnnotationStructure.annotation_id)
        .join(newest, (newest.c.acquisition_id == Annotation.acquisition_id) & (newest.c.number == Annotation.number))
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .where(concepts.is_included(), Acquisition.station == station, AnnotationStructure.state.in_(judged))
        .group_by(AnnotationStructure.structure)
        .having(func.count(Acquisition.participant_id.distinct()) >= FEWEST_JUDGED)
        .having(func.max(AnnotationStructure.voxels) == 0)
    )
    return set(session.scalars(query))


def page_of_acquisition(
    session: Session,
    acquisition_id: str,
    limit: int,
    below: int | None = None,
    author: str | None = None,
    state: AnnotationState | None = None,
) -> Sequence[Annotation]:
    """Annotations of an acquisition, newest first; of an author, in a state, with a number below the given one."""
    query = select(Annotation).where(Annotation.acquisition_id == acquisition_id).order_by(Annotation.number.desc())
    if author is not None:
        query = query.where(Annotation.author == author)
    if state is not None:
        query = query.where(Annotation.state == state)
    if below is not None:
        query = query.where(Annotation.number < below)
    return session.scalars(query.limit(limit)).all()


def page(
    session: Session, state: AnnotationState | None, author: str | None, limit: int, after: Position | None = None
) -> Sequence[Annotation]:
    """Annotations of all acquisitions, newest first."""
    query = select(Annotation)
    if state is not None:
        query = query.where(Annotation.state == state)
    if author is not None:
        query = query.where(Annotation.author == author)
    return session.scalars(newest_first(query, Annotation.created_at, Annotation.id, after).limit(limit)).all()


def masks(
    session: Session, wanted: MaskFilter, limit: int, after: Position | None = None
) -> Sequence[tuple[Annotation, Acquisition]]:
    """Annotations whose masks are wanted, with their cases, newest first; of cases that are included."""
    query: Select[Any] = select(Annotation, Acquisition)  # type: ignore[assignment]
    query = query.join(Acquisition, Acquisition.id == Annotation.acquisition_id).where(concepts.is_included())
    if not wanted.every_annotation:
        newest = newest_finals()
        of_case = (newest.c.acquisition_id == Annotation.acquisition_id) & (newest.c.number == Annotation.number)
        query = query.join(newest, of_case)
    for column, value in ((Annotation.model_version, wanted.model), (Annotation.author, wanted.author)):
        if value is not None:
            query = query.where(column == value)
    if wanted.since is not None:
        query = query.where(Annotation.created_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(Annotation.created_at < wanted.until)
    query = newest_first(query, Annotation.created_at, Annotation.id, after).limit(limit)
    return [(annotation, case) for annotation, case in session.execute(query).unique()]


def _newest(session: Session, *conditions: Any) -> Annotation | None:
    query = select(Annotation).where(*conditions).order_by(Annotation.number.desc()).limit(1)
    return session.scalars(query).one_or_none()
