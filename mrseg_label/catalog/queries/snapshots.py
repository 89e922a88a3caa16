"""What the snapshot of a round would be made of now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, selectinload

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.queries.annotations import newest_finals
from mrseg_label.catalog.tables import Acquisition, Annotation, Participant, Presegmentation
from mrseg_label.catalog.types import AnnotationState

_IDS_PER_QUERY = 500  # databases limit the number of values in a query


def candidates(session: Session) -> Sequence[tuple[Annotation, Participant]]:
    """The mask of every annotated acquisition that is included, with its participant, in a fixed order."""
    newest = newest_finals()
    query = (
        select(Annotation, Participant)
        .join(newest, (newest.c.acquisition_id == Annotation.acquisition_id) & (newest.c.number == Annotation.number))
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .join(Participant, Participant.id == Acquisition.participant_id)
        .where(concepts.is_included(), concepts.is_annotated())
        .order_by(Participant.code, Acquisition.id)
    )
    return [(annotation, participant) for annotation, participant in session.execute(query).unique()]


def participants(session: Session) -> Sequence[Participant]:
    """The participants of :func:`candidates`; quicker, since no annotation is read."""
    annotated = select(Acquisition.participant_id).where(concepts.is_included(), concepts.is_annotated())
    return session.scalars(select(Participant).where(Participant.id.in_(annotated)).order_by(Participant.code)).all()


class Side(NamedTuple):
    """Whose case it is, and on which side they are."""

    participant: str
    held_out: bool | None


def fix_state(session: Session) -> None:
    """Read one state of the catalogue in a unit of work that begins; SQLite does so anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})


def sides(session: Session, acquisition_ids: Sequence[str]) -> dict[str, Side]:
    """The participant and the side of each of some acquisitions that are still annotated and included, by id."""
    query = (
        select(Acquisition.id, Participant.id, Participant.held_out)
        .join(Participant, Participant.id == Acquisition.participant_id)
        .where(concepts.is_included(), concepts.is_annotated())
    )
    found: dict[str, Side] = {}
    for ids in _parts(acquisition_ids):
        rows = session.execute(query.where(Acquisition.id.in_(ids)))
        found |= {one: Side(participant, held_out) for one, participant, held_out in rows}
    return found


def are_accepted(session: Session, annotation_ids: Sequence[str]) -> bool:
    """Whether some annotations are all there and accepted: not withdrawn."""
    return _has_all(session, annotation_ids, Annotation.id, Annotation.state == AnnotationState.ACCEPTED)


def are_drafted(session: Session, presegmentation_ids: Sequence[str]) -> bool:
    """Whether some pre-segmentations are all there."""
    return _has_all(session, presegmentation_ids, Presegmentation.id)


def _has_all(session: Session, ids: Sequence[str], key: Any, *conditions: ColumnElement[bool]) -> bool:
    query = select(func.count()).where(*conditions)
    return all(session.scalar(query.where(key.in_(part))) == len(part) for part in _parts(ids))


def acquisitions(session: Session, acquisition_ids: Sequence[str]) -> dict[str, Acquisition]:
    """Some acquisitions by id, each with its examinations read."""
    found: dict[str, Acquisition] = {}
    for ids in _parts(acquisition_ids):
        query = select(Acquisition).where(Acquisition.id.in_(ids)).options(selectinload(Acquisition.examinations))
        found |= {row.id: row for row in session.scalars(query).unique()}
    return found


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _IDS_PER_QUERY):
        yield ids[start : start + _IDS_PER_QUERY]
