"""Lists in pages, newest first, and queries over several tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    Examination,
    ModelVersion,
    Participant,
    Presegmentation,
)
from mrseg_label.catalog.types import AnnotationState, Position


@dataclass(frozen=True)
class ExaminationFilter:
    """Which examinations are listed; None does not restrict."""

    station: str | None = None
    sequence: str | None = None
    annotated: bool | None = None
    excluded: bool | None = None

    def conditions(self) -> list[concepts.Condition]:
        """Translate the filter into SQL conditions."""
        conditions: list[concepts.Condition] = []
        if self.station is not None:
            conditions.append(Acquisition.station == self.station)
        if self.sequence is not None:
            conditions.append(Examination.sequence == self.sequence)
        if self.annotated is not None:
            conditions.append(concepts.is_annotated() if self.annotated else ~concepts.is_annotated())
        if self.excluded is not None:
            conditions.append(~concepts.is_included() if self.excluded else concepts.is_included())
        return conditions


def models(session: Session, limit: int, after: Position | None = None) -> Sequence[ModelVersion]:
    """Model versions, newest first."""
    query = _newest_first(select(ModelVersion), ModelVersion.created_at, ModelVersion.version, after)
    return session.scalars(query.limit(limit)).all()


def examinations(
    session: Session, wanted: ExaminationFilter, limit: int, after: Position | None = None
) -> Sequence[Examination]:
    """Examinations with their acquisition and participant, newest first."""
    query = (
        select(Examination)
        .join(Acquisition, Acquisition.id == Examination.acquisition_id)
        .join(Participant, Participant.id == Acquisition.participant_id)
        .where(*wanted.conditions())
    )
    query = _newest_first(query, Examination.created_at, Examination.id, after)
    return session.scalars(query.limit(limit)).unique().all()


def annotations_of_case(
    session: Session, acquisition_id: str, limit: int, below: int | None = None, author: str | None = None
) -> Sequence[Annotation]:
    """Annotations of an acquisition, newest first; only those of an author, or with a number below the given one."""
    query = select(Annotation).where(Annotation.acquisition_id == acquisition_id).order_by(Annotation.number.desc())
    if author is not None:
        query = query.where(Annotation.author == author)
    if below is not None:
        query = query.where(Annotation.number < below)
    return session.scalars(query.limit(limit)).all()


def all_annotations(
    session: Session, state: AnnotationState | None, author: str | None, limit: int, after: Position | None = None
) -> Sequence[Annotation]:
    """Annotations of all acquisitions, newest first."""
    query = select(Annotation)
    if state is not None:
        query = query.where(Annotation.state == state)
    if author is not None:
        query = query.where(Annotation.author == author)
    return session.scalars(_newest_first(query, Annotation.created_at, Annotation.id, after).limit(limit)).all()


def row_counts(session: Session) -> dict[str, int]:
    """How many participants, acquisitions, examinations and annotations there are."""
    tables = {
        "participants": Participant,
        "acquisitions": Acquisition,
        "examinations": Examination,
        "annotations": Annotation,
    }
    return {name: session.scalars(select(func.count()).select_from(table)).one() for name, table in tables.items()}


def stored_files(session: Session) -> Sequence[tuple[str, str]]:
    """Path and SHA-256 of every single stored file that a row points to: images, pre-segmentations, masks, uploads."""
    files: list[tuple[str, str]] = []
    for path, digest in (
        (Examination.path, Examination.digest),
        (Presegmentation.path, Presegmentation.digest),
        (Annotation.path, Annotation.digest),
        (Annotation.upload_path, Annotation.upload_digest),
    ):
        files.extend(session.execute(select(path, digest).order_by(path)))
    return list(dict.fromkeys(files))


def _newest_first(query: Select[Any], created: Any, identifier: Any, after: Position | None) -> Select[Any]:
    if after is not None:
        moment, last = after
        query = query.where(or_(created < moment, and_(created == moment, identifier < last)))
    return query.order_by(created.desc(), identifier.desc())
