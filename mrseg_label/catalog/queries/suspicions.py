"""Masks that somebody should look at: what is compared to find them, and those that were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, delete, func, or_, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import concepts, dismissals
from mrseg_label.catalog.queries.doubts import MaskKind, is_newest_draft
from mrseg_label.catalog.tables import Acquisition, Annotation, Dismissal, Job, Presegmentation, SuspiciousMask
from mrseg_label.catalog.types import JobState

Place = tuple[float, str]  # of the last row of a page: its score, and its id


class SuspicionKind(StrEnum):
    """Why somebody should look at a mask."""

    DOUBT = "doubt"  # the audit doubts its left and right, head and foot or front and back
    POSITION = "position"  # a structure lies elsewhere than in others of its station, or two are exchanged
    VOLUME = "volume"  # a structure is far larger or smaller than in others of its station
    EMPTY = "empty"  # a structure is absent that nearly all others of its station have
    STRAY = "stray"  # a part of a structure lies apart from the rest
    NEIGHBOUR = "neighbour"  # the mask of a neighbouring station has the structure elsewhere
    SEAM = "seam"  # the mask of a neighbouring station has it up to the edge, and this one does not go on with it
    MODEL = "model"  # a model agrees far less with it than with others
    EDITS = "edits"  # far fewer or far more voxels were changed than of other drafts of the same model
    UNCHANGED = "unchanged"  # the draft was accepted unchanged, within seconds


@dataclass(frozen=True)
class Reason:
    """Why somebody should look at a mask.

    Attributes
    ----------
    structure : empty for the whole mask.
    text : in words, with what it was compared with.
    score : how much it says that something is wrong, from 0 to 1.
    """

    kind: SuspicionKind
    structure: str
    text: str
    score: float

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return asdict(self) | {"kind": self.kind.value, "score": round(self.score, 3)}


@dataclass(frozen=True)
class Found:
    """A mask to look at, with its case and the reasons.

    Attributes
    ----------
    author : the reader of an annotation, the model version of a draft.
    """

    kind: MaskKind
    id: str
    case: Acquisition
    author: str
    created_at: datetime
    reasons: Sequence[dict[str, Any]]
    score: float
    dismissal: Dismissal | None = None


def replace(session: Session, found: Mapping[tuple[MaskKind, str], Sequence[Reason]], moment: datetime) -> None:
    """Replace everything that was found by the reasons of each of these masks, given by what they are and their ids."""
    before = dict(session.execute(select(SuspiciousMask.mask_id, SuspiciousMask.found_at)).all())
    session.execute(delete(SuspiciousMask))
    session.add_all(
        SuspiciousMask(
            mask_id=identifier,
            mask=kind,
            kinds=",".join(("", *sorted({one.kind.value for one in reasons}), "")),
            reasons=[one.to_json() for one in sorted(reasons, key=lambda one: -one.score)],
            score=total_score(reasons),
            found_at=before.get(identifier, moment),
        )
        for (kind, identifier), reasons in found.items()
    )
    dismissals.end_where_new(session, {mask: [one.to_json() for one in some] for (_, mask), some in found.items()})


def total_score(reasons: Sequence[Reason]) -> float:
    """How suspicious a mask is, from 0 to 1: as if each reason were wrong independently of the others."""
    innocent = 1.0
    for one in reasons:
        innocent *= 1.0 - min(one.score, 0.999)
    return round(1.0 - innocent, 6)


def get(session: Session, mask_id: str) -> Found | None:
    """A mask to look at that still stands for its case, dismissed or not."""
    row = session.execute(_found().where(SuspiciousMask.mask_id == mask_id)).unique().one_or_none()
    return None if row is None else _row(*row)


def page(
    session: Session, kind: SuspicionKind | None, limit: int, after: Place | None = None, *, dismissed: bool = False
) -> Sequence[Found]:
    """Masks to look at that still stand for their case, or those of them that were dismissed, the most suspicious first."""
    query = _found().where(_is_dismissed(dismissed))
    if kind is not None:
        query = query.where(SuspiciousMask.kinds.contains(f",{kind.value},", autoescape=True))
    if after is not None:
        score, last = after
        query = query.where(
            or_(SuspiciousMask.score < score, and_(SuspiciousMask.score == score, SuspiciousMask.mask_id < last))
        )
    query = query.order_by(SuspiciousMask.score.desc(), SuspiciousMask.mask_id.desc()).limit(limit)
    return [_row(*values) for values in session.execute(query)]


def counts(session: Session) -> dict[str, int]:
    """How many masks are listed for each reason; under the empty name all of them."""
    columns = [func.sum(case((SuspiciousMask.kinds.contains(f",{kind.value},", autoescape=True), 1), else_=0)) for kind in SuspicionKind]  # fmt: skip
    query = _found().where(_is_dismissed(False)).with_only_columns(func.count(SuspiciousMask.mask_id), *columns)
    total, *found = session.execute(query).one()
    return {"": int(total or 0)} | {kind.value: int(number or 0) for kind, number in zip(SuspicionKind, found, strict=True)}  # fmt: skip


def count_dismissed(session: Session) -> int:
    """How many masks to look at were dismissed."""
    query = _found().where(_is_dismissed(True)).with_only_columns(func.count(SuspiciousMask.mask_id))
    return int(session.scalars(query).one())


def count_disputed(session: Session) -> int:
    """How many annotations a model disagrees with, of those that are in place."""
    query = _found().where(_is_dismissed(False)).with_only_columns(func.count(SuspiciousMask.mask_id))
    return session.scalars(
        query.where(SuspiciousMask.kinds.contains(f",{SuspicionKind.MODEL.value},", autoescape=True))
    ).one()


def is_followed(session: Session, job_id: str) -> bool:
    """Whether a job of the same kind was enqueued after this one, and will do or has done the same work later."""
    job = session.get_one(Job, job_id)
    alive = (JobState.QUEUED, JobState.RUNNING, JobState.DONE)
    query = select(Job.id).where(Job.kind == job.kind, Job.created_at > job.created_at, Job.state.in_(alive)).limit(1)
    return session.scalars(query).first() is not None


def _found() -> Select[Any]:
    """Rows whose mask is in place: an annotation that nothing replaced, or the newest draft of a case that waits."""
    query: Select[Any] = select(SuspiciousMask, Acquisition, Annotation, Presegmentation, Dismissal)  # type: ignore[assignment]
    return (
        query.outerjoin(Annotation, Annotation.id == SuspiciousMask.mask_id)
        .outerjoin(Presegmentation, Presegmentation.id == SuspiciousMask.mask_id)
        .outerjoin(Dismissal, Dismissal.mask_id == SuspiciousMask.mask_id)
        .join(
            Acquisition,
            Acquisition.id == func.coalesce(Annotation.acquisition_id, Presegmentation.acquisition_id),
        )
        .where(
            concepts.is_included(),
            or_(
                and_(SuspiciousMask.mask == MaskKind.ANNOTATION, concepts.is_in_place()),
                and_(SuspiciousMask.mask == MaskKind.DRAFT, ~concepts.is_annotated(), is_newest_draft()),
            ),
        )
    )


def _is_dismissed(wanted: bool) -> ColumnElement[bool]:
    return Dismissal.mask_id.is_not(None) if wanted else Dismissal.mask_id.is_(None)


def _row(
    row: SuspiciousMask,
    case: Acquisition,
    annotation: Annotation | None,
    draft: Presegmentation | None,
    dismissal: Dismissal | None,
) -> Found:
    if annotation is not None:
        author, created = annotation.author, annotation.created_at
    else:
        assert draft is not None
        author, created = draft.model_version, draft.created_at
    return Found(MaskKind(row.mask), row.mask_id, case, author, created, row.reasons, row.score, dismissal)
