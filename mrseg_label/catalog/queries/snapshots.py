"""What the snapshot of a round would be made of now."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.queries.annotations import newest_finals
from mrseg_label.catalog.tables import Acquisition, Annotation, Participant

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


def acquisitions(session: Session, acquisition_ids: Sequence[str]) -> dict[str, Acquisition]:
    """Some acquisitions by id, each with its examinations read."""
    found: dict[str, Acquisition] = {}
    for start in range(0, len(acquisition_ids), _IDS_PER_QUERY):
        these = Acquisition.id.in_(acquisition_ids[start : start + _IDS_PER_QUERY])
        query = select(Acquisition).where(these).options(selectinload(Acquisition.examinations))
        found |= {row.id: row for row in session.scalars(query).unique()}
    return found
