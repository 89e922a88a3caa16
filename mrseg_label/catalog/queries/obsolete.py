"""Rows that nothing needs any more and whose content can be made again: old drafts, finished jobs."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, delete, or_, select
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    Assignment,
    Base,
    Job,
    ModelVersion,
    Presegmentation,
    Round,
    RoundFold,
    RoundLog,
)
from mrseg_label.catalog.types import FoldState, JobKind, JobState, ModelStatus, RoundState

_PER_QUERY = 400
_DRAFT = re.compile(r"ps-[0-9a-z]{16}")
# They say of which masks, in which imports, nothing has to be done again.
_KEPT_KINDS = (JobKind.IMPORT_MASK,)


class OldDraft(NamedTuple):
    """A pre-segmentation that nothing needs any more."""

    id: str
    path: str


def old_drafts(
    session: Session, before: datetime, moment: datetime, only: Collection[str] | None = None
) -> list[OldDraft]:
    """Pre-segmentations of an earlier model than the current one that nothing needs any more.

    That is: the case has a newer one, is annotated or is excluded; nobody has the case; and no row of any table, no round
    and no measured effort refers to the pre-segmentation.

    Parameters
    ----------
    before : only those made before that moment.
    only : only those of these ids.
    """
    newer = aliased(Presegmentation)
    has_newer = (
        select(newer.id)
        .where(
            newer.acquisition_id == Presegmentation.acquisition_id,
            newer.examination_id == Presegmentation.examination_id,
            newer.created_at > Presegmentation.created_at,
        )
        .exists()
    )
    is_open = (
        select(Assignment.id)
        .where(Assignment.acquisition_id == Presegmentation.acquisition_id, concepts.is_open(Assignment, moment))
        .exists()
    )
    query = (
        select(Presegmentation.id, Presegmentation.path)
        .join(Acquisition, Acquisition.id == Presegmentation.acquisition_id)
        .join(ModelVersion, ModelVersion.version == Presegmentation.model_version)
        .where(
            Presegmentation.created_at < before,
            ModelVersion.status != ModelStatus.CURRENT,
            or_(has_newer, Acquisition.annotated_at.is_not(None), Acquisition.excluded_at.is_not(None)),
            ~is_open,
            *_without_references(),
        )
        .order_by(Presegmentation.id)
    )
    if only is not None:
        query = query.where(Presegmentation.id.in_(list(only)))
    found = [OldDraft(identifier, path) for identifier, path in session.execute(query)]
    mentioned = _mentioned_drafts(session) if found else set()
    return [draft for draft in found if draft.id not in mentioned]


def _without_references() -> list[ColumnElement[bool]]:
    """Conditions that no row of any table refers to a pre-segmentation."""
    target = Base.metadata.tables[Presegmentation.__tablename__].c.id
    return [
        ~select(reference.parent).where(reference.parent == Presegmentation.id).exists()
        for table in Base.metadata.sorted_tables
        for reference in table.foreign_keys
        if reference.column is target
    ]


def _mentioned_drafts(session: Session) -> set[str]:
    """Pre-segmentations that a snapshot fills masks from, or that an effort was measured against."""
    texts = [json.dumps(result) for result in session.scalars(select(Round.result))]
    texts += [str(effort.get("draft", "")) for effort in session.scalars(select(Annotation.effort)) if effort]
    return {draft for text in texts for draft in _DRAFT.findall(text)}


def delete_drafts(session: Session, identifiers: Sequence[str]) -> None:
    """Delete pre-segmentations."""
    session.execute(delete(Presegmentation).where(Presegmentation.id.in_(identifiers)))


def old_jobs(session: Session, before: datetime) -> list[str]:
    """Ids of jobs that were done or cancelled before a moment and that no round refers to."""
    ended = and_(
        Job.state.in_((JobState.DONE, JobState.CANCELLED)), Job.finished_at < before, Job.kind.not_in(_KEPT_KINDS)
    )
    of_rounds = [select(column).where(column == Job.id).exists() for column in (Round.job_id, RoundFold.job_id)]
    return list(session.scalars(select(Job.id).where(ended, *(~one for one in of_rounds))))


def delete_jobs(session: Session, identifiers: Sequence[str]) -> None:
    """Delete jobs that have ended."""
    for start in range(0, len(identifiers), _PER_QUERY):
        part = identifiers[start : start + _PER_QUERY]
        ended = Job.state.in_((JobState.DONE, JobState.CANCELLED))
        session.execute(delete(Job).where(Job.id.in_(part), ended).execution_options(synchronize_session=False))


def rounds_with_stored_log(session: Session, before: datetime) -> list[int]:
    """Numbers of rounds that are done, with all folds, since before a moment, and whose log is in the database too."""
    logged = select(RoundLog.id).where(RoundLog.round_number == Round.number).exists()
    incomplete = (
        select(RoundFold.fold).where(RoundFold.round_number == Round.number, RoundFold.state != FoldState.DONE).exists()
    )
    query = select(Round.number).where(Round.state == RoundState.DONE, Round.finished_at < before, logged, ~incomplete)
    return list(session.scalars(query.order_by(Round.number)))
