"""Readings of cases that several readers annotated, what their readers had seen before, and how far masks agree."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select, tuple_
from sqlalchemy.orm import Session, lazyload

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    AnnotationStructure,
    Assignment,
    AuditEvent,
    MaskAgreement,
    Review,
)
from mrseg_label.catalog.types import AnnotationState, StructureState

Pair = tuple[str, str]
_DOWNLOADED = "downloaded"  # audit action; its subject is the name of the file
_VALUES_PER_QUERY = 400  # databases limit the number of values in a query


@dataclass(frozen=True)
class Reading:
    """An annotation of a case that more than one reader annotated.

    Attributes
    ----------
    rejected : by a reviewer, or withdrawn.
    started_from : keys of the decoding report: of those that were not drawn from a draft.
    """

    id: str
    acquisition_id: str
    examination_id: str
    number: int
    author: str
    client: str
    rejected: bool
    presegmentation_id: str | None
    digest: str
    path: str
    created_at: datetime
    report: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Sight:
    """A reader got to see a mask of a case at a moment."""

    reader: str
    annotation_id: str
    at: datetime


def of_cases_with_several_readers(session: Session) -> list[Reading]:
    """Every annotation of the included cases that at least two names annotated, by case and number."""
    several = (
        select(Annotation.acquisition_id)
        .group_by(Annotation.acquisition_id)
        .having(func.count(Annotation.author.distinct()) > 1)
    )
    blind = select(Assignment.id).where(Assignment.blind.is_not(None))
    query = select(Annotation).options(lazyload(Annotation.structures))
    # Gold and repeated cases are reported apart, and readers must not find their number among their own figures.
    query = query.where(or_(Annotation.assignment_id.is_(None), Annotation.assignment_id.not_in(blind)))
    query = query.join(Acquisition, Acquisition.id == Annotation.acquisition_id).where(concepts.is_included())
    query = query.where(Annotation.acquisition_id.in_(several))
    return [
        Reading(
            id=row.id,
            acquisition_id=row.acquisition_id,
            examination_id=row.examination_id,
            number=row.number,
            author=row.author,
            client=row.client,
            rejected=row.state is AnnotationState.REJECTED,
            presegmentation_id=row.presegmentation_id,
            digest=row.digest,
            path=row.path,
            created_at=row.created_at,
            report=row.report,
        )
        for row in session.scalars(query.order_by(Annotation.acquisition_id, Annotation.number))
    ]


def sights(session: Session, annotation_ids: Collection[str]) -> list[Sight]:
    """Who was given one of these annotations to start from or to review, decided about it, or downloaded its mask."""
    found: list[Sight] = []
    reader = func.coalesce(Assignment.account, Assignment.client)
    for part in _parts(annotation_ids):
        queries: list[Any] = [
            select(reader, Assignment.annotation_id, Assignment.created_at).where(Assignment.annotation_id.in_(part)),
            select(Review.reviewer, Review.annotation_id, Review.created_at).where(Review.annotation_id.in_(part)),
        ]
        for query in queries:
            found += [Sight(*row) for row in session.execute(query)]
        files = {f"{identifier}.nii.gz": identifier for identifier in part}
        downloads = select(AuditEvent.actor, AuditEvent.subject, AuditEvent.at).where(
            AuditEvent.action == _DOWNLOADED, AuditEvent.subject.in_(files)
        )
        found += [Sight(actor, files[subject], at) for actor, subject, at in session.execute(downloads)]
    return found


def judged(session: Session, annotation_ids: Collection[str]) -> dict[str, set[str]]:
    """Names of the structures that the reader judged, by annotation."""
    states = [state for state in StructureState if state.judged]
    found: dict[str, set[str]] = {}
    for part in _parts(annotation_ids):
        query = select(AnnotationStructure.annotation_id, AnnotationStructure.structure).where(
            AnnotationStructure.annotation_id.in_(part), AnnotationStructure.state.in_(states)
        )
        for identifier, structure in session.execute(query):
            found.setdefault(identifier, set()).add(structure)
    return found


def agreements(session: Session, pairs: Iterable[Pair]) -> dict[Pair, dict[str, Any]]:
    """The stored measures of pairs of digests, the smaller digest first, where they were measured."""
    found: dict[Pair, dict[str, Any]] = {}
    columns = MaskAgreement.first_digest, MaskAgreement.second_digest
    for part in _parts(set(pairs)):
        query = select(*columns, MaskAgreement.structures).where(tuple_(*columns).in_(part))
        found |= {(first, second): structures for first, second, structures in session.execute(query)}
    return found


def store(session: Session, pair: Pair, structures: dict[str, Any], moment: datetime) -> None:
    """Keep the measures of a pair of digests."""
    first, second = pair
    session.merge(MaskAgreement(first_digest=first, second_digest=second, structures=structures, created_at=moment))


def ordered(first: str, second: str) -> Pair:
    """A pair of digests as it is stored."""
    return (first, second) if first <= second else (second, first)


def _parts(values: Collection[Any]) -> Iterable[Sequence[Any]]:
    known = sorted(values)
    return (known[start : start + _VALUES_PER_QUERY] for start in range(0, len(known), _VALUES_PER_QUERY))
