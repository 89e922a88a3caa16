"""What is known of each mask that stands for its case, to compare it with the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.queries.doubts import MaskKind, is_newest_draft, texts
from mrseg_label.catalog.queries.stations import session_of_key
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    AnnotationStructure,
    Evaluation,
    Examination,
    MaskShapes,
    ModelVersion,
    Presegmentation,
)
from mrseg_label.catalog.types import IMPORT_AUTHOR, ModelStatus, StructureState

MOST_DRAFTS = 5000
_PER_QUERY = 500  # databases limit the number of values in a query


@dataclass(frozen=True)
class Mask:
    """An annotation that stands for its case, the newest second reading of one, or the newest draft of a case that waits.

    Attributes
    ----------
    model_version : of the draft, or of the draft that the reader corrected.
    imported : it came with an import, and no reader drew it.
    voxel_ml : volume of a voxel, millilitres.
    edited_voxels, seconds : what the reader changed of the draft, and the time from assignment to submission; None if unknown.
    unchanged : the draft was accepted as it was.
    doubts : what the audit doubts, in words.
    voxels : by structure that was judged; zero means absent; empty for a draft.
    kind, path, digest : what it is, and its file in the workspace.
    examination, geometry : whose grid it is on (:meth:`mrseg_label.imaging.geometry.Geometry.to_json`).
    case, participant, session : whose it is; the session as its import named it.
    is_final : it is no second reading.
    shapes : by structure (:class:`mrseg_label.imaging.shapes.Shape`, as JSON values); None until they were measured.
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
    kind: MaskKind = MaskKind.ANNOTATION
    path: str = ""
    digest: str = ""
    examination: str = ""
    geometry: Mapping[str, Any] = field(default_factory=dict)
    case: str = ""
    participant: str = ""
    session: str = ""
    is_final: bool = True
    shapes: Mapping[str, Mapping[str, Any]] | None = None

    @property
    def key(self) -> tuple[MaskKind, str]:
        """What it is, and its id."""
        return self.kind, self.id


def annotated(session: Session) -> list[Mask]:
    """Every annotation of an included case that is in place, second readings too, with the voxels of its structures."""
    columns = (Annotation.id, Annotation.model_version, Annotation.author, Annotation.client, Annotation.effort,
               Annotation.seconds, Annotation.report, Annotation.path, Annotation.digest, Annotation.is_final,
               *_OF_CASE)  # fmt: skip
    query: Select[Any] = (
        select(*columns)
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .join(Examination, Examination.id == Annotation.examination_id)
        .where(concepts.is_included(), concepts.is_in_place())
        .order_by(Annotation.created_at, Annotation.id)
    )
    found = {row.id: _annotation(row) for row in session.execute(query)}
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


def drafted(session: Session) -> list[Mask]:
    """The newest draft of every included case that is not annotated; of more than MOST_DRAFTS those that were made last."""
    columns = (Presegmentation.id, Presegmentation.model_version, Presegmentation.details, Presegmentation.path,
               Presegmentation.digest, *_OF_CASE)  # fmt: skip
    query: Select[Any] = (
        select(*columns)
        .join(Acquisition, Acquisition.id == Presegmentation.acquisition_id)
        .join(Examination, Examination.id == Presegmentation.examination_id)
        .where(concepts.is_usable(), ~concepts.is_annotated(), is_newest_draft())
        .order_by(Presegmentation.created_at.desc(), Presegmentation.id)
        .limit(MOST_DRAFTS)
    )
    return [_draft(row) for row in session.execute(query)]


def shapes(session: Session, digests: Collection[str]) -> dict[str, dict[str, Any]]:
    """What was measured of the structures of mask files, by digest."""
    found: dict[str, dict[str, Any]] = {}
    for part in _parts(digests):
        query = select(MaskShapes.digest, MaskShapes.structures).where(MaskShapes.digest.in_(part))
        found |= dict(session.execute(query).all())
    return found


def store_shapes(session: Session, digest: str, structures: Mapping[str, Any], moment: datetime) -> None:
    """Keep what was measured of the structures of a mask file."""
    session.merge(MaskShapes(digest=digest, structures=dict(structures), created_at=moment))


def newest_tested_version(session: Session) -> str | None:
    """The newest model version that was tested on held-out cases; None if none was."""
    tested = select(Evaluation.model_version).distinct()
    query = select(ModelVersion.version).where(
        ModelVersion.version.in_(tested),
        ModelVersion.status != ModelStatus.FAILED,
        ModelVersion.round_number.is_not(None),
    )
    return session.scalars(query.order_by(ModelVersion.created_at.desc()).limit(1)).one_or_none()


_OF_CASE = (Acquisition.id.label("case"), Acquisition.participant_id, Acquisition.key, Acquisition.station,
            Examination.id.label("examination"), Examination.geometry)  # fmt: skip


def _annotation(row: Any) -> Mask:
    effort = row.effort or {}
    seconds = effort.get("sitting_seconds")
    return Mask(
        id=row.id,
        model_version=row.model_version if effort.get("draft") else None,
        imported=IMPORT_AUTHOR in (row.author, row.client),
        edited_voxels=effort.get("edited_voxels"),
        seconds=row.seconds if seconds is None else seconds,
        unchanged=bool(effort.get("accepted_unchanged")),
        doubts=tuple(texts(row.report)),
        is_final=row.is_final,
        **_of_case(row),
    )


def _draft(row: Any) -> Mask:
    return Mask(
        id=row.id,
        model_version=row.model_version,
        imported=False,
        edited_voxels=None,
        seconds=None,
        unchanged=False,
        doubts=tuple(texts(row.details)),
        kind=MaskKind.DRAFT,
        **_of_case(row),
    )


def _of_case(row: Any) -> dict[str, Any]:
    x, y, z = row.geometry["spacing_mm"]
    return {
        "station": row.station,
        "voxel_ml": x * y * z / 1000,
        "path": row.path,
        "digest": row.digest,
        "examination": row.examination,
        "geometry": row.geometry,
        "case": row.case,
        "participant": row.participant_id,
        "session": session_of_key(row.key),
    }


def _parts(values: Iterable[str]) -> Iterable[Sequence[str]]:
    ordered = sorted(set(values))
    return (ordered[start : start + _PER_QUERY] for start in range(0, len(ordered), _PER_QUERY))
