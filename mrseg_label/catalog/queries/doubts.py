"""Drafts and annotations that the audit of sides and directions doubts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, select
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.queries.paging import newest_first
from mrseg_label.catalog.tables import Acquisition, Annotation, Presegmentation
from mrseg_label.catalog.types import Position

DOUBTS = "doubts"  # key of Presegmentation.details and of Annotation.report


def texts(stored: Mapping[str, Any] | None) -> list[str]:
    """The doubts in words that are stored in ``Presegmentation.details`` or ``Annotation.report``."""
    return [str(doubt["text"]) for doubt in (stored or {}).get(DOUBTS, ())]


class MaskKind(StrEnum):
    """What a doubtful mask is."""

    DRAFT = "draft"
    ANNOTATION = "annotation"


@dataclass(frozen=True)
class DoubtfulMask:
    """A mask with the doubts about it.

    Attributes
    ----------
    author : the model version of a draft, the reader of an annotation.
    """

    kind: MaskKind
    id: str
    case: Acquisition
    author: str
    created_at: datetime
    doubts: Sequence[dict[str, Any]]


def page(session: Session, kind: MaskKind | None, limit: int, after: Position | None = None) -> Sequence[DoubtfulMask]:
    """Doubtful masks of included cases, newest first.

    A draft is listed if it is the newest of a case that is not annotated yet; an annotation if it was not rejected, and nothing
    newer takes its place.
    """
    found: list[DoubtfulMask] = []
    if kind in (None, MaskKind.DRAFT):
        query = newest_first(_drafts(), Presegmentation.created_at, Presegmentation.id, after).limit(limit)
        found += [
            DoubtfulMask(MaskKind.DRAFT, row.id, case, row.model_version, row.created_at, row.details[DOUBTS])
            for row, case in session.execute(query)
        ]
    if kind in (None, MaskKind.ANNOTATION):
        query = newest_first(_annotations(), Annotation.created_at, Annotation.id, after).limit(limit)
        found += [
            DoubtfulMask(MaskKind.ANNOTATION, row.id, case, row.author, row.created_at, row.report[DOUBTS])
            for row, case in session.execute(query).unique()
        ]
    return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)[:limit]


def is_newest_draft() -> ColumnElement[bool]:
    """No newer :class:`Presegmentation` of the same case takes its place."""
    newer = aliased(Presegmentation)
    return ~exists().where(
        newer.acquisition_id == Presegmentation.acquisition_id, newer.created_at > Presegmentation.created_at
    )


def _drafts() -> Select[Any]:
    query: Select[Any] = select(Presegmentation, Acquisition)  # type: ignore[assignment]
    return query.join(Acquisition, Acquisition.id == Presegmentation.acquisition_id).where(
        Presegmentation.details[DOUBTS].as_string().is_not(None),
        concepts.is_usable(),
        ~concepts.is_annotated(),
        is_newest_draft(),
    )


def _annotations() -> Select[Any]:
    query: Select[Any] = select(Annotation, Acquisition)  # type: ignore[assignment]
    return query.join(Acquisition, Acquisition.id == Annotation.acquisition_id).where(
        Annotation.report[DOUBTS].as_string().is_not(None), concepts.is_included(), concepts.is_in_place()
    )
