"""How much correction each source of drafts would have needed on annotated cases, and which cases a model was trained on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.queries.annotations import newest_finals
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    AnnotationStructure,
    ModelVersion,
    Presegmentation,
    RoundCase,
    RoundDraft,
    SourceScore,
)
from mrseg_label.catalog.types import CaseRole, StructureState


@dataclass(frozen=True)
class ScoredAnnotation:
    """The mask of an annotated case, the draft that it began as, and what was measured of some sources on it."""

    annotation: Annotation
    acquisition: Acquisition
    presegmentation: Presegmentation | None
    scores: tuple[SourceScore, ...]


def scored(session: Session, sources: Collection[str], limit: int) -> list[ScoredAnnotation]:
    """The newest masks of annotated cases that any of these sources was measured on, newest first."""
    newest = newest_finals()
    measured = select(SourceScore.annotation_id).where(SourceScore.source.in_(sources))
    query = (
        select(Annotation, Acquisition, Presegmentation)
        .join(newest, (newest.c.acquisition_id == Annotation.acquisition_id) & (newest.c.number == Annotation.number))
        .join(Acquisition, Acquisition.id == Annotation.acquisition_id)
        .outerjoin(Presegmentation, Presegmentation.id == Annotation.presegmentation_id)
        .where(Annotation.id.in_(measured), concepts.is_included())
        .order_by(Annotation.created_at.desc(), Annotation.id)
        .limit(limit)
    )
    rows = [(annotation, case, draft) for annotation, case, draft in session.execute(query).unique()]
    found: dict[str, list[SourceScore]] = {}
    ids = [annotation.id for annotation, _, _ in rows]
    of_these = select(SourceScore).where(SourceScore.annotation_id.in_(ids), SourceScore.source.in_(sources))
    for score in session.scalars(of_these.order_by(SourceScore.source)):
        found.setdefault(score.annotation_id, []).append(score)
    return [ScoredAnnotation(one, case, draft, tuple(found.get(one.id, ()))) for one, case, draft in rows]


def known(session: Session, annotation_ids: Collection[str]) -> set[tuple[str, str]]:
    """The pairs of source and annotation that were measured, of these annotations."""
    query = select(SourceScore.source, SourceScore.annotation_id).where(SourceScore.annotation_id.in_(annotation_ids))
    return {(source, annotation) for source, annotation in session.execute(query)}


def trained_on(session: Session, versions: Collection[str]) -> dict[str, frozenset[str]]:
    """Ids of the participants that each of these versions was trained on, itself or where its weights came from."""
    lineages = {version: _lineage(session, version) for version in versions}
    numbers = {number for rounds in lineages.values() for number in rounds}
    participants: dict[int, set[str]] = {}
    queries = (
        select(RoundCase.round_number, Acquisition.participant_id)
        .join(Acquisition, Acquisition.id == RoundCase.acquisition_id)
        .where(RoundCase.round_number.in_(numbers), RoundCase.role == CaseRole.TRAINING),
        select(RoundDraft.round_number, Acquisition.participant_id)
        .join(Acquisition, Acquisition.id == RoundDraft.acquisition_id)
        .where(RoundDraft.round_number.in_(numbers)),
    )
    for query in queries:
        for number, participant in session.execute(query.distinct()):
            participants.setdefault(number, set()).add(participant)
    return {
        version: frozenset().union(*(participants.get(number, set()) for number in rounds))
        for version, rounds in lineages.items()
    }


def judged_in_training(session: Session, version: str) -> frozenset[str]:
    """Structures that a reader judged, as present or absent, in a case that a version was trained on.

    A model that was taught that a structure is not there knows as much of it as one that was shown it.
    """
    query = (
        select(AnnotationStructure.structure)
        .join(RoundCase, RoundCase.annotation_id == AnnotationStructure.annotation_id)
        .where(RoundCase.round_number.in_(_lineage(session, version)), RoundCase.role == CaseRole.TRAINING)
        .where(AnnotationStructure.state.in_([state for state in StructureState if state.judged]))
    )
    return frozenset(session.scalars(query.distinct()))


def _lineage(session: Session, version: str) -> Sequence[int]:
    """Numbers of the rounds that a version and those before it come from."""
    rounds: list[int] = []
    seen: set[str] = set()
    following: str | None = version
    while following is not None and following not in seen:
        seen.add(following)
        row = session.get(ModelVersion, following)
        if row is None:
            break
        if row.round_number is not None:
            rounds.append(row.round_number)
        following = row.parent
    return rounds
