"""Pre-segmentations, and the acquisitions that need one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, delete, exists, func, select
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.queries.jobs import ACTIVE, is_put_aside
from mrseg_label.catalog.tables import Acquisition, Job, ModelVersion, Participant, Presegmentation
from mrseg_label.catalog.types import JobKind, ModelStatus


def get(session: Session, presegmentation_id: str) -> Presegmentation | None:
    """A pre-segmentation by id."""
    return session.get(Presegmentation, presegmentation_id)


def by_model(session: Session, acquisition_id: str, model_version: str) -> Presegmentation | None:
    """The pre-segmentation that this model version made of the acquisition."""
    query = select(Presegmentation).where(
        Presegmentation.acquisition_id == acquisition_id, Presegmentation.model_version == model_version
    )
    return session.scalars(query.order_by(Presegmentation.created_at.desc()).limit(1)).one_or_none()


def newest_by_another(session: Session, acquisition_id: str, model_version: str) -> Presegmentation | None:
    """The newest pre-segmentation of the acquisition by another model version than this one."""
    query = select(Presegmentation).where(
        Presegmentation.acquisition_id == acquisition_id, Presegmentation.model_version != model_version
    )
    return session.scalars(query.order_by(Presegmentation.created_at.desc()).limit(1)).one_or_none()


def best(session: Session, acquisition_id: str) -> Presegmentation | None:
    """The current model's pre-segmentation if it made one, else the newest."""
    query = (
        select(Presegmentation)
        .join(ModelVersion, ModelVersion.version == Presegmentation.model_version)
        .where(Presegmentation.acquisition_id == acquisition_id)
        .order_by((ModelVersion.status == ModelStatus.CURRENT).desc(), Presegmentation.created_at.desc())
        .limit(1)
    )
    return session.scalars(query).one_or_none()


def delete_of(session: Session, acquisition_id: str) -> None:
    """Delete the pre-segmentations of an acquisition that nobody was assigned; they are made again when needed."""
    session.execute(delete(Presegmentation).where(Presegmentation.acquisition_id == acquisition_id))


def job_key(acquisition_id: str, model_version: str) -> str:
    """The key of the job that makes the pre-segmentation of an acquisition by a model version."""
    return f"{acquisition_id}:{model_version}"


def count_ready(session: Session, model_version: str, moment: datetime) -> int:
    """How many waiting acquisitions have a pre-segmentation by this version, or a job that makes one."""
    waiting = select(Acquisition.id).where(concepts.is_waiting(moment)).subquery()
    made = exists().where(
        Presegmentation.acquisition_id == waiting.c.id, Presegmentation.model_version == model_version
    )
    # Read once, and not for each acquisition: no index leads to a key that is put together here.
    keys = select(Job.key).where(Job.kind == JobKind.PRESEGMENT, Job.state.in_(ACTIVE))
    coming = (waiting.c.id + job_key("", model_version)).in_(keys)
    return session.scalars(select(func.count()).select_from(waiting).where(made | coming)).one()


def waiting_without(session: Session, model_version: str, moment: datetime, limit: int) -> Sequence[str]:
    """Ids of waiting acquisitions without a pre-segmentation by this version, in about the order of assignment.

    Those whose pre-segmentation was put aside, because making it killed the worker too often, are left out.
    As the balanced strategy does, it mixes stations and sequences equally, and takes held-out participants first.
    """
    made = exists().where(
        Presegmentation.acquisition_id == Acquisition.id, Presegmentation.model_version == model_version
    )
    killed = select(Job.key).where(Job.kind == JobKind.PRESEGMENT, is_put_aside())
    put_aside = (Acquisition.id + job_key("", model_version)).in_(killed)
    place = func.row_number().over(
        partition_by=(Acquisition.station, Acquisition.sequence),
        order_by=(func.coalesce(Participant.held_out, False).desc(), Acquisition.shuffle),
    )
    ranked = (
        select(Acquisition.id, Acquisition.station, place.label("place"))
        .join(Participant, Participant.id == Acquisition.participant_id)
        .where(concepts.is_waiting(moment), ~made, ~put_aside)
        .subquery()
    )
    return session.scalars(select(ranked.c.id).order_by(ranked.c.place, ranked.c.station).limit(limit)).all()


def waiting_with_two(session: Session, moment: datetime, limit: int) -> list[tuple[str, str, str]]:
    """Waiting acquisitions with two or more pre-segmentations: id, path of the newest, path of the one before."""
    place = func.row_number().over(
        partition_by=Presegmentation.acquisition_id, order_by=(Presegmentation.created_at.desc(), Presegmentation.id)
    )
    ranked = select(Presegmentation.acquisition_id, Presegmentation.path, place.label("place")).subquery()
    newer, older = aliased(ranked), aliased(ranked)
    query = (
        select(Acquisition.id, newer.c.path, older.c.path)
        .join(newer, and_(newer.c.acquisition_id == Acquisition.id, newer.c.place == 1))
        .join(older, and_(older.c.acquisition_id == Acquisition.id, older.c.place == 2))
        .where(concepts.is_waiting(moment))
        .order_by(Acquisition.shuffle, Acquisition.id)
        .limit(limit)
    )
    return [(acquisition_id, new, old) for acquisition_id, new, old in session.execute(query)]
