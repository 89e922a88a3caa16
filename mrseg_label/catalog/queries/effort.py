"""What readers changed in drafts, summed by participant within groups: by reader, round, model version, station and sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, SQLColumnExpression, and_, case, func, or_, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import acquisitions, concepts
from mrseg_label.catalog.queries.annotations import newest_finals
from mrseg_label.catalog.tables import (
    BOOTSTRAP,
    Acquisition,
    Annotation,
    AnnotationStructure,
    ModelVersion,
)
from mrseg_label.catalog.types import IMPORT_AUTHOR, StructureState
from mrseg_label.scoring import MIN_REFERENCE_VOXELS


class Dimension(StrEnum):
    """By what effort can be grouped."""

    STRUCTURE = "structure"
    READER = "reader"
    ROUND = "round"
    MODEL_VERSION = "model_version"
    STATION = "station"
    SEQUENCE = "sequence"


class Outcome(StrEnum):
    """What became of a structure of the draft in the annotation; the last two are told apart by other cases of the station."""

    UNTOUCHED = "untouched"  # accepted exactly as it was
    CORRECTED = "corrected"
    DRAWN = "drawn"  # the draft had none of it
    REMOVED = "removed"  # the draft had it, and the reader says that it is not there
    ABSENT = "absent"  # in neither, and the reader says so
    NOT_JUDGED = "not_judged"  # the reader removed its segment, or left it out


@dataclass(frozen=True)
class EffortFilter:
    """Which effort is wanted; None does not restrict."""

    structure: str | None = None
    reader: str | None = None
    round: int | None = None
    model_version: str | None = None
    station: str | None = None
    sequence: str | None = None


@dataclass(frozen=True)
class Sum:
    """A sum of values, and how many there are."""

    total: float = 0.0
    count: int = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.total + other.total, self.count + other.count)


@dataclass(frozen=True)
class EffortSums:
    """Sums over the cases of one participant in one group.

    Attributes
    ----------
    cases, unchanged : number of cases, and of those whose draft was accepted as it was.
    dsc : of draft and annotation, of each case its mean over the structures that count.
    propagated_images : images that got the masks of these cases from another one; they are in no other figure.
    """

    cases: int = 0
    unchanged: int = 0
    propagated_images: int = 0
    edited_voxels: Sum = Sum()
    edited_ml: Sum = Sum()
    edits: Sum = Sum()
    surface_changed: Sum = Sum()
    seconds: Sum = Sum()
    dsc: Sum = Sum()

    def __add__(self, other: EffortSums) -> EffortSums:
        return EffortSums(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


_LACKS_FIGURES = (
    Annotation.effort["edited_voxels"].as_integer().is_not(None),
    Annotation.effort["edits"].as_integer().is_(None),
)
Key = tuple[Any, ...]  # values of the dimensions, in their order
ByParticipant = dict[Key, dict[str, EffortSums]]


def case_sums(session: Session, by: Sequence[Dimension], wanted: EffortFilter) -> ByParticipant:
    """Sum the effort of cases, by group and participant.

    A case counts with the annotation that is its mask, if a reader made it and it could be compared with the draft that it
    began from; without any draft it was drawn from nothing. ``by`` and ``wanted`` are without structures.
    """
    effort = Annotation.effort
    edited = effort["edited_voxels"].as_integer()
    query = of_cases(
        select(
            *_keys(by, Annotation.model_version),
            Acquisition.participant_id,
            func.count(),
            func.sum(case((and_(edited == 0, effort["draft"].as_string().is_not(None)), 1), else_=0)),
            func.sum(acquisitions.propagated_images()),
            *_sum(edited),
            *_sum(effort["edited_ml"].as_float()),
            *_sum(effort["edits"].as_integer()),
            *_sum(effort["surface_changed"].as_float()),
            *_sum(effort["sitting_seconds"].as_float()),
            *_sum(effort["mean_dsc"].as_float()),
        ),
        Annotation.model_version,
        wanted,
    )
    return _grouped(session, query, by)


def structure_sums(session: Session, by: Sequence[Dimension], wanted: EffortFilter) -> ByParticipant:
    """Sum the effort of single structures, by group and participant; ``by`` includes the structure.

    ``cases`` are those in which the structure was judged and is in the draft or the annotation. Of a mixed draft each structure
    counts for the version that it was taken from.
    """
    version = func.coalesce(AnnotationStructure.drafted_by, Annotation.model_version)
    edited = AnnotationStructure.edited_voxels
    ml_a_voxel = Annotation.effort["edited_ml"].as_float() / func.nullif(
        Annotation.effort["edited_voxels"].as_integer(), 0
    )
    there = or_(AnnotationStructure.voxels > 0, edited > 0)
    counted = case((AnnotationStructure.voxels >= MIN_REFERENCE_VOXELS, AnnotationStructure.dsc))
    query = of_cases(
        select(
            *_keys(by, version),
            Acquisition.participant_id,
            func.count(),
            func.sum(case((edited == 0, 1), else_=0)),
            func.sum(acquisitions.propagated_images()),
            *_sum(edited),
            *_sum(case((edited == 0, 0.0), else_=edited * ml_a_voxel)),
            *_sum(AnnotationStructure.edits),
            *_sum(AnnotationStructure.surface_changed),
            *_sum(case((edited < 0, 0.0))),  # nobody knows how long a reader looked at one structure
            *_sum(counted),
        )
        .select_from(Annotation)
        .join(AnnotationStructure, AnnotationStructure.annotation_id == Annotation.id),
        version,
        wanted,
    ).where(edited.is_not(None), there)
    return _grouped(session, query, by)


def outcomes(
    session: Session, by: Sequence[Dimension], wanted: EffortFilter
) -> dict[Key, dict[tuple[str, str, Outcome], int]]:
    """Count what became of structures, by group, and there by station, structure and outcome."""
    version = func.coalesce(AnnotationStructure.drafted_by, Annotation.model_version)
    edited, state = AnnotationStructure.edited_voxels, AnnotationStructure.state
    judged = [one for one in StructureState if one.judged]
    outcome = case(
        (state.not_in(judged), Outcome.NOT_JUDGED.value),
        (edited.is_(None), None),
        (and_(AnnotationStructure.voxels == 0, edited > 0), Outcome.REMOVED.value),
        (AnnotationStructure.voxels == 0, Outcome.ABSENT.value),
        (edited == 0, Outcome.UNTOUCHED.value),
        (state == StructureState.DRAWN, Outcome.DRAWN.value),
        else_=Outcome.CORRECTED.value,
    )
    query = of_cases(
        select(
            *_keys(by, version),
            Acquisition.station,
            AnnotationStructure.structure,
            outcome.label("outcome"),
            func.count(),
        )
        .select_from(Annotation)
        .join(AnnotationStructure, AnnotationStructure.annotation_id == Annotation.id),
        version,
        wanted,
    ).group_by(*_key_names(by), Acquisition.station, AnnotationStructure.structure, "outcome")
    found: dict[Key, dict[tuple[str, str, Outcome], int]] = {}
    for row in session.execute(query):
        *key, station, structure, what, count = row
        if what is not None:
            found.setdefault(tuple(key), {})[station, structure, Outcome(what)] = count
    return found


def presence(session: Session) -> Mapping[tuple[str, str], tuple[int, int]]:
    """In how many participants readers judged a structure at a station, and in how many of them it is there.

    By station and structure; only where the station is known.
    """
    newest = newest_finals()
    there = case((AnnotationStructure.voxels > 0, Acquisition.participant_id))
    query = (
        select(
            Acquisition.station,
            AnnotationStructure.structure,
            func.count(Acquisition.participant_id.distinct()),
            func.count(there.distinct()),
        )
        .join(Annotation, Annotation.acquisition_id == Acquisition.id)
        .join(newest, (newest.c.acquisition_id == Annotation.acquisition_id) & (newest.c.number == Annotation.number))
        .join(AnnotationStructure, AnnotationStructure.annotation_id == Annotation.id)
        .where(
            concepts.is_included(),
            Acquisition.station != "",
            AnnotationStructure.state.in_([one for one in StructureState if one.judged]),
        )
        .group_by(Acquisition.station, AnnotationStructure.structure)
    )
    return {(station, structure): (judged, present) for station, structure, judged, present in session.execute(query)}


def not_measured(session: Session, limit: int, after: str) -> Sequence[Annotation]:
    """Annotations whose effort an earlier version measured, without what was added since; by id, behind a given one."""
    query = select(Annotation).where(Annotation.id > after, *_LACKS_FIGURES)
    return session.scalars(query.order_by(Annotation.id).limit(limit)).all()


def count_not_measured(session: Session) -> int:
    """Number of annotations whose effort lacks what was added since it was measured."""
    return session.scalars(select(func.count()).select_from(Annotation).where(*_LACKS_FIGURES)).one()


def _keys(by: Sequence[Dimension], version: SQLColumnExpression[Any]) -> list[SQLColumnExpression[Any]]:
    """Columns of the dimensions under names of their own: by these they are grouped, since a value within an expression is
    another parameter each time that it is written, and PostgreSQL does not see that it is the same."""
    columns = _columns(version)
    return [columns[one].label(name) for one, name in zip(by, _key_names(by), strict=True)]


def _key_names(by: Sequence[Dimension]) -> list[str]:
    return [f"group_by_{one}" for one in by]


def _columns(version: SQLColumnExpression[Any]) -> dict[Dimension, SQLColumnExpression[Any]]:
    return {
        Dimension.STRUCTURE: AnnotationStructure.structure.expression,
        Dimension.READER: Annotation.author.expression,
        Dimension.ROUND: case((version == BOOTSTRAP, 0), else_=ModelVersion.round_number),
        Dimension.MODEL_VERSION: version,
        Dimension.STATION: Acquisition.station.expression,
        Dimension.SEQUENCE: Acquisition.sequence.expression,
    }


def of_cases(query: Select[Any], version: SQLColumnExpression[Any], wanted: EffortFilter) -> Select[Any]:
    """Restrict a query of annotations to masks that readers made, of included cases, and to what is wanted."""
    newest = newest_finals()
    effort = Annotation.effort
    query = (
        query.join(
            newest, (newest.c.acquisition_id == Annotation.acquisition_id) & (newest.c.number == Annotation.number)
        )
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .outerjoin(ModelVersion, ModelVersion.version == version)
        .where(
            concepts.is_included(),
            Annotation.author != IMPORT_AUTHOR,
            effort["edited_voxels"].as_integer().is_not(None),
            # The draft that it began from could be compared, or there was none.
            or_(Annotation.presegmentation_id.is_(None), effort["draft"].as_string().is_not(None)),
        )
    )
    columns = _columns(version)
    chosen = ((columns[one], getattr(wanted, one.value)) for one in Dimension)
    return query.where(*(column == value for column, value in chosen if value is not None))


def _sum(column: SQLColumnExpression[Any]) -> tuple[SQLColumnExpression[Any], SQLColumnExpression[Any]]:
    return func.sum(column), func.count(column)


def _grouped(session: Session, query: Select[Any], by: Sequence[Dimension]) -> ByParticipant:
    keys = len(by)
    found: ByParticipant = {}
    for row in session.execute(query.group_by(*_key_names(by), Acquisition.participant_id)):
        participant, cases, unchanged, propagated, *sums = row[keys:]
        pairs = [Sum(float(sums[k] or 0.0), int(sums[k + 1])) for k in range(0, len(sums), 2)]
        one = EffortSums(cases, int(unchanged or 0), int(propagated or 0), *pairs)
        found.setdefault(tuple(row[:keys]), {})[participant] = one
    return found
