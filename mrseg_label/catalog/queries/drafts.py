"""Drafts, and which acquisitions want one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import Acquisition, Examination, Job, Lease, ModelVersion, Participant, Presegmentation
from mrseg_label.catalog.types import JobState


def examination(session: Session, examination_id: str) -> Examination | None:
    """An examination by id."""
    return session.get(Examination, examination_id)


def get(session: Session, draft_id: str) -> Presegmentation | None:
    """A draft by id."""
    return session.get(Presegmentation, draft_id)


def by(session: Session, acquisition_id: str, model_version: str) -> Presegmentation | None:
    """The draft that this model version made of the acquisition."""
    query = select(Presegmentation).where(
        Presegmentation.acquisition_id == acquisition_id, Presegmentation.model_version == model_version
    )
    return session.scalars(query.order_by(Presegmentation.created_at.desc()).limit(1)).one_or_none()


def newest(session: Session, acquisition_id: str) -> Presegmentation | None:
    """The draft by the model that was promoted last among those that made one."""
    query = (
        select(Presegmentation)
        .join(ModelVersion, ModelVersion.version == Presegmentation.model_version)
        .where(Presegmentation.acquisition_id == acquisition_id)
        .order_by((ModelVersion.status == "current").desc(), Presegmentation.created_at.desc())
        .limit(1)
    )
    return session.scalars(query).one_or_none()


def count_ready(session: Session, model_version: str) -> int:
    """Waiting acquisitions that nobody has been handed and that have a draft by this version, or one on its way."""
    waiting = _waiting().subquery()
    made = exists().where(
        Presegmentation.acquisition_id == waiting.c.id, Presegmentation.model_version == model_version
    )
    coming = exists().where(
        Job.kind == "draft",
        Job.key == waiting.c.id + ":" + model_version,
        Job.state.in_((JobState.QUEUED, JobState.RUNNING)),
    )
    return session.scalars(select(func.count()).select_from(waiting).where(made | coming)).one()


def without_draft(session: Session, model_version: str, limit: int) -> Sequence[str]:
    """Ids of waiting acquisitions without a draft by this version, in the order in which they are worth having.

    Those that readers will get first: an equal mix of stations and sequences, and within each the held-out
    participants before the others, as the balanced strategy hands them out.
    """
    made = exists().where(
        Presegmentation.acquisition_id == Acquisition.id, Presegmentation.model_version == model_version
    )
    place = func.row_number().over(
        partition_by=(Acquisition.station, Acquisition.sequence),
        order_by=(func.coalesce(Participant.held_out, False).desc(), Acquisition.shuffle),
    )
    ranked = _waiting(place.label("place")).where(~made).subquery()
    return session.scalars(select(ranked.c.id).order_by(ranked.c.place, ranked.c.station).limit(limit)).all()


def _waiting(*columns: Any) -> Select[Any]:
    open_lease = exists().where(Lease.acquisition_id == Acquisition.id, Lease.ended_at.is_(None))
    return (
        select(Acquisition.id, Acquisition.station, *columns)
        .join(Participant, Participant.id == Acquisition.participant_id)
        .where(Acquisition.annotated_at.is_(None), Acquisition.excluded_at.is_(None), ~open_lease)
    )


def primary_of(session: Session, acquisition_id: str) -> Examination | None:
    """The channel of an acquisition on which drafts are made."""
    query = (
        select(Examination)
        .join(Acquisition, Acquisition.id == Examination.acquisition_id)
        .where(Acquisition.id == acquisition_id, Examination.id == Acquisition.primary_examination_id)
    )
    return session.scalars(query).one_or_none()
