"""Performance of each model version: effort of correcting its pre-segmentations, and DSC on held-out cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, case, func, or_, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries.annotations import newest_finals
from mrseg_label.catalog.queries.rounds import case_counts
from mrseg_label.catalog.tables import Annotation, AnnotationStructure, Evaluation, ModelVersion
from mrseg_label.catalog.types import CaseRole


@dataclass(frozen=True)
class StructureEffort:
    """Effort of correcting one structure: the number of cases that judge it, and means over these."""

    cases: int
    edited_voxels: float | None
    dsc: float | None


@dataclass
class VersionSums:
    """Measures of one model version.

    Attributes
    ----------
    drafted_cases : annotated cases whose reader started from a pre-segmentation by this version.
    presegmentation_dsc, edited_voxels, edited_ml, seconds : means over these cases; DSC of pre-segmentation and annotation.
    structures : the same by structure.
    held_out_cases, held_out_dsc : number of held-out cases that it was evaluated on, and mean DSC over these.
    held_out_structures : mean DSC by structure.
    training_cases : in the snapshot of its round.
    """

    presegmented_cases: int = 0
    unchanged_cases: int = 0
    presegmentation_dsc: float | None = None
    edited_voxels: float | None = None
    edited_ml: float | None = None
    seconds: float | None = None
    structures: dict[str, StructureEffort] = field(default_factory=dict)
    held_out_cases: int = 0
    held_out_dsc: float | None = None
    held_out_structures: dict[str, float] = field(default_factory=dict)
    training_cases: int = 0


def sums_by_version(session: Session, versions: Sequence[ModelVersion]) -> dict[str, VersionSums]:
    """Measures of each of these versions, by name.

    A case counts for the version whose pre-segmentation its reader started from, with the annotation that is its
    mask, which is the one that a round would train on.
    """
    names = [row.version for row in versions]
    sums = {name: VersionSums() for name in names} | _effort(session, names)
    for name, structure, cases, edited, dsc in session.execute(_structures(names)):
        if name is not None:
            sums[name].structures[structure] = StructureEffort(cases, _float(edited), _float(dsc))
    for name in names:
        _held_out(session, name, sums[name])
    training = case_counts(session, [row.round_number for row in versions if row.round_number is not None])
    for row in versions:
        if row.round_number is not None:
            sums[row.version].training_cases = training.get(row.round_number, {}).get(CaseRole.TRAINING, 0)
    return sums


def _compared_masks(names: Sequence[str]) -> Select[Any]:
    newest = newest_finals()
    return (
        select(Annotation.id)
        .join(newest, (newest.c.acquisition_id == Annotation.acquisition_id) & (newest.c.number == Annotation.number))
        # Its effort names the pre-segmentation it was compared with; NULL where there is none, or no effort yet.
        .where(Annotation.model_version.in_(names), Annotation.effort["draft"].as_string().is_not(None))
    )


def _effort(session: Session, names: Sequence[str]) -> dict[str, VersionSums]:
    edited = Annotation.effort["edited_voxels"].as_integer()
    query = (
        select(
            Annotation.model_version,
            func.count(),
            func.sum(case((edited == 0, 1), else_=0)),
            func.avg(Annotation.effort["mean_dsc"].as_float()),
            func.avg(edited),
            func.avg(Annotation.effort["edited_ml"].as_float()),
            func.avg(Annotation.effort["sitting_seconds"].as_float()),
        )
        .where(Annotation.id.in_(_compared_masks(names)))
        .group_by(Annotation.model_version)
    )
    return {
        name: VersionSums(
            presegmented_cases=cases,
            unchanged_cases=int(unchanged or 0),
            presegmentation_dsc=_float(dsc),
            edited_voxels=_float(voxels),
            edited_ml=_float(volume),
            seconds=_float(seconds),
        )
        for name, cases, unchanged, dsc, voxels, volume, seconds in session.execute(query)
        if name is not None
    }


def _structures(names: Sequence[str]) -> Select[Any]:
    return (
        select(
            Annotation.model_version,
            AnnotationStructure.structure,
            func.count(),
            func.avg(AnnotationStructure.edited_voxels),
            func.avg(AnnotationStructure.dsc),
        )
        .join(Annotation, Annotation.id == AnnotationStructure.annotation_id)
        .where(
            Annotation.id.in_(_compared_masks(names)),
            or_(AnnotationStructure.dsc.is_not(None), AnnotationStructure.edited_voxels > 0),
        )
        .group_by(Annotation.model_version, AnnotationStructure.structure)
        .order_by(AnnotationStructure.structure)
    )


def _held_out(session: Session, name: str, sums: VersionSums) -> None:
    rows = session.scalars(select(Evaluation).where(Evaluation.model_version == name)).all()
    means = [row.mean_dsc for row in rows if row.mean_dsc is not None]
    sums.held_out_cases = len(rows)
    sums.held_out_dsc = sum(means) / len(means) if means else None
    for structure in sorted({key for row in rows for key in row.dsc}):
        values = [row.dsc[structure] for row in rows if row.dsc.get(structure) is not None]
        if values:
            sums.held_out_structures[structure] = sum(values) / len(values)


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
