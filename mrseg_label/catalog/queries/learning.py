"""What was measured of each model version on held-out cases, with all that it can be grouped by; and of drafts by region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries.effort import ByParticipant, EffortFilter, EffortSums, Sum, of_cases
from mrseg_label.catalog.tables import Acquisition, Annotation, AnnotationStructure, Evaluation, Examination
from mrseg_label.scoring import MIN_REFERENCE_VOXELS


@dataclass(frozen=True)
class HeldOutChannel:
    """What one version scored on one channel of a held-out case.

    Attributes
    ----------
    case : id of the annotation, which the channels of a case share.
    sequence : of the channel.
    propagated : whether the annotation was drawn on another channel of the case.
    began_from : the version whose draft the annotation was corrected from; None: it was drawn without a draft.
    dsc : by structure, of those that count.
    hd95_mm, nsd : of the same; HD95 is None where it is infinite. Both are None where an earlier version did not measure them.
    """

    case: str
    examination: str
    participant: str
    station: str
    sequence: str
    propagated: bool
    began_from: str | None
    dsc: Mapping[str, float]
    hd95_mm: Mapping[str, float | None] | None
    nsd: Mapping[str, float] | None


def held_out_channels(session: Session) -> dict[str, list[HeldOutChannel]]:
    """What each version scored on held-out cases, by version, in a fixed order."""
    query = (
        select(
            Evaluation.model_version, Evaluation.annotation_id, Evaluation.examination_id, Evaluation.dsc, Evaluation.surfaces,
            Acquisition.participant_id, Acquisition.station, Examination.sequence,
            Annotation.examination_id, Annotation.model_version,
        )
        .join(Annotation, Annotation.id == Evaluation.annotation_id)
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .join(Examination, Examination.id == Evaluation.examination_id)
        .order_by(Evaluation.model_version, Evaluation.annotation_id, Evaluation.examination_id)
    )  # fmt: skip
    found: dict[str, list[HeldOutChannel]] = {}
    for (
        version,
        case_id,
        examination,
        dsc,
        surfaces,
        participant,
        station,
        sequence,
        drawn_on,
        drafted,
    ) in session.execute(query):
        found.setdefault(version, []).append(
            HeldOutChannel(
                case=case_id,
                examination=examination,
                participant=participant,
                station=station,
                sequence=sequence,
                propagated=drawn_on != examination,
                began_from=drafted,
                dsc={name: value for name, value in dsc.items() if value is not None},
                hd95_mm=None if surfaces is None else surfaces["hd95_mm"],
                nsd=None if surfaces is None else surfaces["nsd"],
            )
        )
    return found


def origins_of_structures(session: Session) -> dict[tuple[str, str], str]:
    """The version that a structure of a mixed draft was taken from, by held-out annotation and structure."""
    evaluated = select(Evaluation.annotation_id).distinct()
    query = select(AnnotationStructure.annotation_id, AnnotationStructure.structure, AnnotationStructure.drafted_by)
    query = query.where(AnnotationStructure.drafted_by.is_not(None), AnnotationStructure.annotation_id.in_(evaluated))
    return {(annotation, structure): version for annotation, structure, version in session.execute(query) if version}


def region_sums(session: Session, regions: Mapping[str, Sequence[str]]) -> ByParticipant:
    """Sum the effort of the structures of each region, by (version, region) and participant.

    Of each case its changed millilitres and edits in the region, and the mean DSC over the region's structures that count.

    Parameters
    ----------
    regions : names of the structures of each.
    """
    version = func.coalesce(AnnotationStructure.drafted_by, Annotation.model_version)
    region = case(*((AnnotationStructure.structure.in_(names), name) for name, names in regions.items()))
    edited = AnnotationStructure.edited_voxels
    ml_a_voxel = Annotation.effort["edited_ml"].as_float() / func.nullif(
        Annotation.effort["edited_voxels"].as_integer(), 0
    )
    in_case: Any = (
        of_cases(
            select(
                version.label("of_version"),
                region.label("of_region"),
                Acquisition.participant_id.label("of_participant"),
                func.sum(edited).label("voxels"),
                func.sum(case((edited == 0, 0.0), else_=edited * ml_a_voxel)).label("ml"),
                func.sum(AnnotationStructure.edits).label("edits"),
                func.avg(AnnotationStructure.surface_changed).label("surface"),
                func.avg(case((AnnotationStructure.voxels >= MIN_REFERENCE_VOXELS, AnnotationStructure.dsc))).label(
                    "dsc"
                ),
            )
            .select_from(Annotation)
            .join(AnnotationStructure, AnnotationStructure.annotation_id == Annotation.id),
            version,
            EffortFilter(),
        )
        .where(edited.is_not(None), or_(AnnotationStructure.voxels > 0, edited > 0))
        .group_by(Annotation.id, "of_version", "of_region", Acquisition.participant_id)
        .subquery()
    )
    columns = in_case.c
    figures = (columns.voxels, columns.ml, columns.edits, columns.surface, columns.dsc)
    query = select(
        columns.of_version,
        columns.of_region,
        columns.of_participant,
        func.count(),
        func.sum(case((columns.voxels == 0, 1), else_=0)),
        *(part for one in figures for part in (func.sum(one), func.count(one))),
    ).group_by(columns.of_version, columns.of_region, columns.of_participant)
    found: ByParticipant = {}
    for by_version, name, participant, cases, unchanged, *sums in session.execute(query):
        voxels, ml, edits, surface, dsc = (Sum(float(sums[k] or 0.0), int(sums[k + 1])) for k in range(0, len(sums), 2))
        one = EffortSums(cases, int(unchanged), 0, voxels, ml, edits, surface, Sum(), dsc)
        found.setdefault((by_version, name), {})[participant] = one
    return found
