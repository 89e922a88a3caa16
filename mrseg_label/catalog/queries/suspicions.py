"""What is compared to find annotations that somebody should look at, and those that were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.queries.doubts import texts
from mrseg_label.catalog.queries.paging import newest_first
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    AnnotationStructure,
    Evaluation,
    Examination,
    Job,
    ModelVersion,
    Suspicion,
)
from mrseg_label.catalog.types import IMPORT_AUTHOR, JobState, ModelStatus, Position, StructureState


class SuspicionKind(StrEnum):
    """Why somebody should look at an annotation."""

    DOUBT = "doubt"  # the audit doubts its left and right, head and foot or front and back
    VOLUME = "volume"  # a structure is far larger or smaller than in others of its station
    EMPTY = "empty"  # a structure is marked absent that nearly all others of its station have
    EDITS = "edits"  # far fewer or far more voxels were changed than of other drafts of the same model
    UNCHANGED = "unchanged"  # the draft was accepted unchanged, within seconds
    MODEL = "model"  # the newest model that was tested on it agrees far less with it than with others


@dataclass(frozen=True)
class Mask:
    """An annotation that stands for its case, or the newest second reading of it.

    Attributes
    ----------
    imported : it came with an import, and no reader drew it.
    voxel_ml : volume of a voxel, millilitres.
    voxels : by structure that was judged; zero means absent.
    edited_voxels, seconds : what the reader changed of the draft, and the time from assignment to submission; None if unknown.
    unchanged : the draft was accepted as it was.
    doubts : what the audit doubts, in words.
    """

    id: str
    station: str
    model_version: str | None
    imported: bool
    voxel_ml: float
    edited_voxels: int | None
    seconds: float | None
    unchanged: bool
    doubts: tuple[str, ...]
    voxels: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """An annotation to look at, with its case and the reasons."""

    annotation: Annotation
    case: Acquisition
    reasons: Sequence[dict[str, Any]]


def masks(session: Session) -> list[Mask]:
    """Every annotation of an included case that is in place, second readings too, with the voxels of its structures."""
    columns = (Annotation.id, Acquisition.station, Annotation.model_version, Annotation.author, Annotation.client,
               Examination.geometry, Annotation.effort, Annotation.seconds, Annotation.report)  # fmt: skip
    query: Select[Any] = (
        select(*columns)
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .join(Examination, Examination.id == Annotation.examination_id)
        .where(concepts.is_included(), concepts.is_in_place())
        .order_by(Annotation.created_at, Annotation.id)
    )
    found = {row.id: _mask(row) for row in session.execute(query)}
    states = [state for state in StructureState if state.judged]
    voxels = (
        select(AnnotationStructure.annotation_id, AnnotationStructure.structure, AnnotationStructure.voxels)
        .join(Annotation, Annotation.id == AnnotationStructure.annotation_id)
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .where(concepts.is_included(), concepts.is_in_place(), AnnotationStructure.state.in_(states))
    )
    for identifier, structure, count in session.execute(voxels):
        if identifier in found:
            found[identifier].voxels[structure] = count
    return list(found.values())


def newest_tested_version(session: Session) -> str | None:
    """The newest model version that was tested on held-out cases; None if none was."""
    tested = select(Evaluation.model_version).distinct()
    query = select(ModelVersion.version).where(
        ModelVersion.version.in_(tested),
        ModelVersion.status != ModelStatus.FAILED,
        ModelVersion.round_number.is_not(None),
    )
    return session.scalars(query.order_by(ModelVersion.created_at.desc()).limit(1)).one_or_none()


def replace(session: Session, reasons: Mapping[str, Sequence[dict[str, Any]]], moment: datetime) -> None:
    """Replace everything that was found by the reasons of each of these annotations."""
    before = dict(session.execute(select(Suspicion.annotation_id, Suspicion.found_at)).all())
    session.execute(delete(Suspicion))
    session.add_all(
        Suspicion(
            annotation_id=identifier,
            kinds=",".join(("", *sorted({str(one["kind"]) for one in found}), "")),
            reasons=list(found),
            found_at=before.get(identifier, moment),
        )
        for identifier, found in reasons.items()
    )


def page(session: Session, kind: SuspicionKind | None, limit: int, after: Position | None = None) -> Sequence[Found]:
    """Annotations to look at that are still in place, newest first."""
    query: Select[Any] = select(Annotation, Acquisition, Suspicion.reasons)
    query = (
        query.join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .join(Suspicion, Suspicion.annotation_id == Annotation.id)
        .where(concepts.is_included(), concepts.is_in_place())
    )
    if kind is not None:
        query = query.where(Suspicion.kinds.contains(f",{kind.value},", autoescape=True))
    query = newest_first(query, Annotation.created_at, Annotation.id, after).limit(limit)
    return [Found(annotation, case, reasons) for annotation, case, reasons in session.execute(query)]


def is_followed(session: Session, job_id: str) -> bool:
    """Whether a job of the same kind was enqueued after this one, and will do or has done the same work later."""
    job = session.get_one(Job, job_id)
    alive = (JobState.QUEUED, JobState.RUNNING, JobState.DONE)
    query = select(Job.id).where(Job.kind == job.kind, Job.created_at > job.created_at, Job.state.in_(alive)).limit(1)
    return session.scalars(query).first() is not None


def _mask(row: Any) -> Mask:
    effort = row.effort or {}
    seconds = effort.get("sitting_seconds")
    x, y, z = row.geometry["spacing_mm"]
    return Mask(
        id=row.id,
        station=row.station,
        model_version=row.model_version if effort.get("draft") else None,
        imported=IMPORT_AUTHOR in (row.author, row.client),
        voxel_ml=x * y * z / 1000,
        edited_voxels=effort.get("edited_voxels"),
        seconds=row.seconds if seconds is None else seconds,
        unchanged=bool(effort.get("accepted_unchanged")),
        doubts=tuple(texts(row.report)),
    )
