"""Drafts and annotations that the audit of sides and directions doubts, and images that an import suspects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, select
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.channel_types import Misregistration
from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.queries.paging import newest_first
from mrseg_label.catalog.tables import Acquisition, Annotation, Examination, Presegmentation
from mrseg_label.catalog.types import Position, SwapState

DOUBTS = "doubts"  # key of Presegmentation.details and of Annotation.report


def texts(stored: Mapping[str, Any] | None) -> list[str]:
    """The doubts in words that are stored in ``Presegmentation.details`` or ``Annotation.report``."""
    return [str(doubt["text"]) for doubt in (stored or {}).get(DOUBTS, ())]


class MaskKind(StrEnum):
    """What a doubtful mask is."""

    DRAFT = "draft"
    ANNOTATION = "annotation"
    CHANNEL = "channel"  # no mask, but an image that gets none propagated until somebody decides


@dataclass(frozen=True)
class DoubtfulMask:
    """A mask with the doubts about it.

    Attributes
    ----------
    author : the model version of a draft, the reader of an annotation; empty for an image.
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
    if kind in (None, MaskKind.CHANNEL):
        for suspected in (
            Examination.swap == SwapState.SUSPECTED,
            Examination.misregistration == Misregistration.SUSPECTED,
        ):
            rows = newest_first(_channels(suspected), Examination.created_at, Examination.id, after).limit(limit)
            known = {one.id for one in found}
            found += [_channel(row) for row in session.scalars(rows).unique() if row.id not in known]
    return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)[:limit]


def _channels(suspected: ColumnElement[bool]) -> Select[Examination]:
    query = select(Examination).join(Acquisition, Acquisition.id == Examination.acquisition_id)
    return query.where(suspected, concepts.is_included())


def _channel(row: Examination) -> DoubtfulMask:
    doubts = []
    if row.swap is SwapState.SUSPECTED:
        doubts.append(_told(row, "look swapped", "fat and water may be exchanged in it"))
    if row.misregistration is Misregistration.SUSPECTED:
        doubts.append(
            _told(row, "seems to lie elsewhere", "it may lie elsewhere than the other images of its acquisition")
        )
    found = [{"axis": None, "structure": "", "other": None, "text": text} for text in doubts]
    return DoubtfulMask(MaskKind.CHANNEL, row.id, row.acquisition, "", row.created_at, found)


def _told(row: Examination, words: str, otherwise: str) -> str:
    """What the import said of it; another where it was suspected with an image that came later."""
    return next((str(warning) for warning in row.warnings if words in str(warning)), otherwise)


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
