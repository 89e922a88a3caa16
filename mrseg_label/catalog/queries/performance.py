"""Performance of each model version: effort of correcting its pre-segmentations, and DSC on held-out cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select, union_all
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.queries import held_out
from mrseg_label.catalog.queries.held_out import HeldOutScore
from mrseg_label.catalog.queries.rounds import case_counts
from mrseg_label.catalog.tables import Annotation, AnnotationStructure, ModelVersion
from mrseg_label.catalog.types import AnnotationState, CaseRole
from mrseg_label.scoring import MIN_REFERENCE_VOXELS


@dataclass(frozen=True)
class StructureEffort:
    """Effort of correcting one structure: the number of cases that judge it, and means over these.

    ``dsc`` is over the ``dsc_cases`` in which the structure counts (:mod:`mrseg_label.scoring`).
    """

    cases: int
    edited_voxels: float | None
    dsc: float | None
    dsc_cases: int


@dataclass
class VersionSums:
    """Measures of one model version.

    Attributes
    ----------
    presegmented_cases : annotated cases whose reader started from a pre-segmentation by this version.
    edited_voxels, edited_ml, seconds : means over these cases.
    presegmentation_dsc : of pre-segmentation and annotation, mean over those ``presegmentation_dsc_cases`` that have a
        structure that counts (:mod:`mrseg_label.scoring`).
    structures : the same by structure.
    held_out : on the held-out cases that it was evaluated on.
    training_cases : in the snapshot of its round.
    """

    presegmented_cases: int = 0
    unchanged_cases: int = 0
    presegmentation_dsc: float | None = None
    presegmentation_dsc_cases: int = 0
    edited_voxels: float | None = None
    edited_ml: float | None = None
    seconds: float | None = None
    structures: dict[str, StructureEffort] = field(default_factory=dict)
    held_out: HeldOutScore = field(default_factory=HeldOutScore)
    training_cases: int = 0


def sums_by_version(session: Session, versions: Sequence[ModelVersion]) -> dict[str, VersionSums]:
    """Measures of each of these versions, by name.

    A case counts for the version whose pre-segmentation its reader started from, with the annotation that is its
    mask, which is the one that a round would train on.
    """
    names = [row.version for row in versions]
    sums = effort_by_version(session, names)
    for name, score in held_out.scores_of(session, names).items():
        sums[name].held_out = score
    training = case_counts(session, [row.round_number for row in versions if row.round_number is not None])
    for row in versions:
        if row.round_number is not None:
            sums[row.version].training_cases = training.get(row.round_number, {}).get(CaseRole.TRAINING, 0)
    return sums


def effort_by_version(session: Session, names: Sequence[str]) -> dict[str, VersionSums]:
    """Measures of the readers' effort of each of these versions, by name; without those on held-out cases."""
    sums = {name: VersionSums() for name in names} | _effort(session, names)
    for name, structures in effort_by_structure(session, names).items():
        sums[name].structures = structures
    for name, cases, dsc in session.execute(_mean_dsc(names)):
        if name is not None:
            sums[name].presegmentation_dsc_cases, sums[name].presegmentation_dsc = cases, _float(dsc)
    return sums


def _is_compared_mask() -> ColumnElement[bool]:
    """An annotation is the mask of its case and was compared with a draft."""
    newer = aliased(Annotation)
    is_replaced = exists().where(
        newer.acquisition_id == Annotation.acquisition_id,
        newer.number > Annotation.number,
        newer.state == AnnotationState.ACCEPTED,
        newer.is_final,
    )
    # Its effort names the pre-segmentation it was compared with; NULL where there is none, or no effort yet.
    compared = Annotation.effort["draft"].as_string().is_not(None)
    return and_(Annotation.state == AnnotationState.ACCEPTED, Annotation.is_final, compared, ~is_replaced)


def _effort(session: Session, names: Sequence[str]) -> dict[str, VersionSums]:
    edited = Annotation.effort["edited_voxels"].as_integer()
    query = (
        select(
            Annotation.model_version,
            func.count(),
            func.sum(case((edited == 0, 1), else_=0)),
            func.avg(edited),
            func.avg(Annotation.effort["edited_ml"].as_float()),
            func.avg(Annotation.effort["sitting_seconds"].as_float()),
        )
        .where(Annotation.model_version.in_(names), _is_compared_mask())
        .group_by(Annotation.model_version)
    )
    return {
        name: VersionSums(
            presegmented_cases=cases,
            unchanged_cases=int(unchanged or 0),
            edited_voxels=_float(voxels),
            edited_ml=_float(volume),
            seconds=_float(seconds),
        )
        for name, cases, unchanged, voxels, volume, seconds in session.execute(query)
        if name is not None
    }


def effort_by_structure(session: Session, names: Sequence[str]) -> dict[str, dict[str, StructureEffort]]:
    """Effort of correcting the drafts of these versions, by version and structure."""
    found: dict[str, dict[str, StructureEffort]] = {name: {} for name in names}
    for name, structure, cases, edited, dsc, counted in session.execute(_structures(names)):
        if name is not None:
            found[name][structure] = StructureEffort(cases, _float(edited), _float(dsc), counted)
    return found


def _structures(names: Sequence[str]) -> Select[Any]:
    # Of a mixed draft each structure counts for the version that it was taken from. Two queries, each with an index.
    whole = _measured_structures(Annotation.model_version).where(
        AnnotationStructure.drafted_by.is_(None), Annotation.model_version.in_(names)
    )
    mixed = _measured_structures(AnnotationStructure.drafted_by).where(
        AnnotationStructure.drafted_by.in_(names), Annotation.model_version.is_not(None)
    )
    found = union_all(whole, mixed).subquery()
    return (
        select(
            found.c.version,
            found.c.structure,
            func.count(),
            func.avg(found.c.edited_voxels),
            func.avg(found.c.dsc),
            func.count(found.c.dsc),
        )
        .group_by(found.c.version, found.c.structure)
        .order_by(found.c.structure)
    )


def _measured_structures(version: Any) -> Select[Any]:
    return (
        select(
            version.label("version"),
            AnnotationStructure.structure,
            AnnotationStructure.edited_voxels,
            _counted_dsc().label("dsc"),
        )
        .join(Annotation, Annotation.id == AnnotationStructure.annotation_id)
        .where(_is_compared_mask(), or_(AnnotationStructure.dsc.is_not(None), AnnotationStructure.edited_voxels > 0))
    )


def _mean_dsc(names: Sequence[str]) -> Select[Any]:
    """Mean over cases of each case's mean over the structures that count, by version, with the number of cases."""
    case_means = (
        select(Annotation.model_version, func.avg(_counted_dsc()).label("dsc"))
        .join(AnnotationStructure, AnnotationStructure.annotation_id == Annotation.id)
        .where(Annotation.model_version.in_(names), _is_compared_mask())
        .group_by(Annotation.id, Annotation.model_version)
        .subquery()
    )
    query = select(case_means.c.model_version, func.count(case_means.c.dsc), func.avg(case_means.c.dsc))
    return query.group_by(case_means.c.model_version)


def _counted_dsc() -> ColumnElement[float | None]:
    """The DSC of a structure where it counts, else NULL; the annotation is the reference."""
    return case((AnnotationStructure.voxels >= MIN_REFERENCE_VOXELS, AnnotationStructure.dsc))


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
