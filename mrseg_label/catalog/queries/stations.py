"""The stations of one session of a participant, from head to foot, and what is exported of each."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import acquisitions, concepts
from mrseg_label.catalog.tables import Acquisition, Annotation, Examination, Participant
from mrseg_label.catalog.types import AnnotationState

_PER_QUERY = 500  # databases limit the number of values in a query


@dataclass(frozen=True)
class Station:
    """An acquisition with its place in the body.

    Attributes
    ----------
    number : from 1 at the head; acquisitions of one station share it.
    session : as its import named it; mostly empty.
    channels : all examinations of the acquisition.
    superior_mm : height of the centre of its field of view, RAS; the higher, the nearer to the head.
    """

    acquisition: Acquisition
    number: int
    session: str
    channels: Sequence[Examination]
    superior_mm: float


def session_of_key(key: str) -> str:
    """The session in the key of an acquisition (``[participant, session, station, number]``)."""
    try:
        parts = json.loads(key)
    except ValueError:
        return key
    return str(parts[1]) if isinstance(parts, list) and len(parts) > 1 else key


def of_participant(session: Session, participant_id: str, *, every: bool = False) -> list[Station]:
    """All acquisitions of a participant that have an image, by session and then from head to foot.

    Parameters
    ----------
    every : those that are excluded too.
    """
    groups: dict[str, list[tuple[float, Acquisition, Sequence[Examination]]]] = {}
    for acquisition in acquisitions.of_participant(session, participant_id):
        channels = acquisitions.channels(session, acquisition.id)
        if not channels or not (every or acquisition.excluded_at is None):
            continue
        height = _superior_mm(
            next((one for one in channels if one.id == acquisition.primary_examination_id), channels[0])
        )
        groups.setdefault(session_of_key(acquisition.key), []).append((height, acquisition, channels))
    found = []
    for name, group in sorted(groups.items()):
        numbers: dict[str, int] = {}
        for height, acquisition, channels in sorted(group, key=lambda one: (-one[0], one[1].station, one[1].id)):
            place = acquisition.station or acquisition.id
            number = numbers.setdefault(place, len(numbers) + 1)
            found.append(Station(acquisition, number, name, channels, height))
    return found


def of_session(session: Session, examination: Examination, *, every: bool = False) -> list[Station]:
    """The stations of the session that an examination is of, from head to foot; ``every`` as in :func:`of_participant`."""
    name = session_of_key(examination.acquisition.key)
    found = of_participant(session, examination.acquisition.participant_id, every=every)
    return [one for one in found if one.session == name]


def participants_with_masks(
    session: Session, *, submitted: bool = False, codes: Collection[str] = ()
) -> Sequence[tuple[str, str, Sequence[str]]]:
    """Code and id of every participant with a mask, with the ids of the annotations, by code.

    The mask of an included case is its newest accepted annotation that is no second reading; with ``submitted`` the newest that
    nobody rejected, be it accepted or not.

    Parameters
    ----------
    codes : of these participants alone, where there are any.
    """
    states = (AnnotationState.ACCEPTED, AnnotationState.SUBMITTED) if submitted else (AnnotationState.ACCEPTED,)
    query = (
        select(Participant.code, Participant.id, Acquisition.id, Annotation.id)
        .join(Acquisition, Acquisition.participant_id == Participant.id)
        .join(Annotation, Annotation.acquisition_id == Acquisition.id)
        .where(concepts.is_included(), Annotation.is_final, Annotation.state.in_(states), concepts.counts(Annotation))
        .order_by(Participant.code, Acquisition.id, Annotation.number)
    )
    if not submitted:
        query = query.where(concepts.is_annotated())
    wanted = set(codes)
    if 0 < len(wanted) <= _PER_QUERY:
        query = query.where(Participant.code.in_(sorted(wanted)))
    found: dict[tuple[str, str], dict[str, str]] = {}
    for code, participant_id, acquisition_id, annotation_id in session.execute(query):
        if not wanted or code in wanted:
            found.setdefault((code, participant_id), {})[acquisition_id] = annotation_id  # the newest comes last
    return [(*who, list(masks.values())) for who, masks in found.items()]


def annotations_by_acquisition(session: Session, annotation_ids: Sequence[str]) -> dict[str, Annotation]:
    """These annotations, by acquisition."""
    found: dict[str, Annotation] = {}
    for start in range(0, len(annotation_ids), _PER_QUERY):
        query = select(Annotation).where(Annotation.id.in_(annotation_ids[start : start + _PER_QUERY]))
        found |= {row.acquisition_id: row for row in session.scalars(query)}
    return found


def _superior_mm(examination: Examination) -> float:
    """Height of the centre of an image, RAS mm."""
    row, shape = examination.geometry["affine"][2], examination.geometry["shape"]
    return float(row[3] + sum(row[axis] * (shape[axis] - 1) / 2 for axis in range(3)))
