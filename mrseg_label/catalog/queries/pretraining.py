"""Cases that nobody corrected, the drafts that a pretraining learned from, and who was seen by it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    ModelVersion,
    Participant,
    Presegmentation,
    Round,
    RoundDraft,
)
from mrseg_label.catalog.types import ModelStatus


def uncorrected(session: Session) -> Sequence[Acquisition]:
    """Usable acquisitions of participants of whom nothing was ever annotated and who are not held out."""
    other = aliased(Acquisition)
    annotated = exists().where(Annotation.acquisition_id == other.id, other.participant_id == Participant.id)
    query = (
        select(Acquisition)
        .join(Participant, Participant.id == Acquisition.participant_id)
        .where(concepts.is_usable(), Participant.held_out.is_(False), ~annotated)
        .order_by(Participant.code, Acquisition.id)
    )
    return session.scalars(query).unique().all()


def drafts(session: Session, number: int) -> list[tuple[Presegmentation, Acquisition]]:
    """The drafts in the snapshot of a pretraining, with their acquisitions, in a fixed order."""
    query = (
        select(Presegmentation, Acquisition)
        .join(RoundDraft, RoundDraft.presegmentation_id == Presegmentation.id)
        .join(Acquisition, Acquisition.id == RoundDraft.acquisition_id)
        .where(RoundDraft.round_number == number)
        .order_by(RoundDraft.acquisition_id)
    )
    return [(draft, acquisition) for draft, acquisition in session.execute(query).unique()]


def newest_version(session: Session) -> ModelVersion | None:
    """The version that was pretrained last and is neither damaged nor failed, if there is one."""
    query = (
        select(ModelVersion)
        .join(Round, Round.number == ModelVersion.round_number)
        .where(Round.pretrain, ModelVersion.status != ModelStatus.FAILED, ModelVersion.problem.is_(None))
        .order_by(ModelVersion.created_at.desc())
        .limit(1)
    )
    return session.scalars(query).one_or_none()


def participants_seen(session: Session, number: int) -> set[str]:
    """Ids of the participants in the snapshot of a pretraining."""
    query = (
        select(Acquisition.participant_id)
        .join(RoundDraft, RoundDraft.acquisition_id == Acquisition.id)
        .where(RoundDraft.round_number == number)
    )
    return set(session.scalars(query))
