"""Pre-segmentations, and the acquisitions that need one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, String, bindparam, delete, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries.jobs import is_put_aside
from mrseg_label.catalog.tables import Acquisition, Examination, Job, ModelVersion, Presegmentation
from mrseg_label.catalog.types import JobKind, ModelStatus

_IDS_PER_QUERY = 500  # databases limit the number of values in a query


def get(session: Session, presegmentation_id: str) -> Presegmentation | None:
    """A pre-segmentation by id."""
    return session.get(Presegmentation, presegmentation_id)


def by_model(session: Session, acquisition_id: str, model_version: str) -> Presegmentation | None:
    """The pre-segmentation that this model version made of the acquisition."""
    return session.scalars(_by_model(), {"acquisition": acquisition_id, "version": model_version}).one_or_none()


@cache
def _by_model() -> Select[Presegmentation]:
    query = select(Presegmentation).where(
        Presegmentation.acquisition_id == bindparam("acquisition"),
        Presegmentation.model_version == bindparam("version"),
    )
    return query.order_by(Presegmentation.created_at.desc()).limit(1)


def lacking_version(session: Session, acquisition_id: str) -> str | None:
    """The current model version, if the acquisition has no pre-segmentation by it and none of its jobs was put aside."""
    return session.scalars(_lacking_version(), {"acquisition": acquisition_id}).one_or_none()


@cache
def _lacking_version() -> Select[str]:
    acquisition, version = bindparam("acquisition", type_=String()), ModelVersion.version
    made = select(Presegmentation.id).where(
        Presegmentation.acquisition_id == acquisition, Presegmentation.model_version == version
    )
    key = acquisition.concat(":").concat(version)  # job_key()
    put_aside = select(Job.id).where(Job.kind == JobKind.PRESEGMENT, Job.key == key, is_put_aside())
    return select(version).where(ModelVersion.status == ModelStatus.CURRENT, ~made.exists(), ~put_aside.exists())


def newest_by_another(session: Session, acquisition_id: str, model_version: str) -> Presegmentation | None:
    """The newest pre-segmentation of the acquisition by another model version than this one."""
    query = select(Presegmentation).where(
        Presegmentation.acquisition_id == acquisition_id, Presegmentation.model_version != model_version
    )
    return session.scalars(query.order_by(Presegmentation.created_at.desc()).limit(1)).one_or_none()


def of_acquisition(session: Session, acquisition_id: str, limit: int) -> list[Presegmentation]:
    """Pre-segmentations of an acquisition, newest first."""
    query = select(Presegmentation).where(Presegmentation.acquisition_id == acquisition_id)
    return list(session.scalars(query.order_by(Presegmentation.created_at.desc(), Presegmentation.id).limit(limit)))


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


def best_of(session: Session, acquisition_ids: Sequence[str]) -> dict[str, Presegmentation]:
    """The same as :func:`best`, of each of these acquisitions that has one."""
    found: dict[str, Presegmentation] = {}
    for start in range(0, len(acquisition_ids), _IDS_PER_QUERY):
        query = (
            select(Presegmentation)
            .join(ModelVersion, ModelVersion.version == Presegmentation.model_version)
            .where(Presegmentation.acquisition_id.in_(acquisition_ids[start : start + _IDS_PER_QUERY]))
            .order_by((ModelVersion.status == ModelStatus.CURRENT), Presegmentation.created_at)
        )
        found |= {row.acquisition_id: row for row in session.scalars(query)}  # the last one is the best
    return found


def details_at(session: Session, station: str, limit: int) -> list[tuple[str, dict[str, Any]]]:
    """The details of the newest drafts at a station, with the sequence of the image that was segmented."""
    query = (
        select(Examination.sequence, Presegmentation.details)
        .join(Examination, Examination.id == Presegmentation.examination_id)
        .join(Acquisition, Acquisition.id == Presegmentation.acquisition_id)
        .where(Acquisition.station == station)
        .order_by(Presegmentation.created_at.desc(), Presegmentation.id)
        .limit(limit)
    )
    return [(sequence, details or {}) for sequence, details in session.execute(query)]


def delete_of(session: Session, acquisition_id: str) -> None:
    """Delete the pre-segmentations of an acquisition that nobody was assigned; they are made again when needed."""
    session.execute(delete(Presegmentation).where(Presegmentation.acquisition_id == acquisition_id))


def job_key(acquisition_id: str, model_version: str) -> str:
    """The key of the job that makes the pre-segmentation of an acquisition by a model version."""
    return f"{acquisition_id}:{model_version}"


def lacking(session: Session, acquisition_ids: Sequence[str], model_version: str) -> list[str]:
    """Those of some acquisitions without a pre-segmentation by this version, in their order.

    Those whose pre-segmentation was put aside, because making it failed or killed the worker too often, are left out.
    """
    settled: set[str] = set()
    for start in range(0, len(acquisition_ids), _IDS_PER_QUERY):
        ids = acquisition_ids[start : start + _IDS_PER_QUERY]
        made = select(Presegmentation.acquisition_id).where(
            Presegmentation.acquisition_id.in_(ids), Presegmentation.model_version == model_version
        )
        settled.update(session.scalars(made))
        keys = {job_key(acquisition_id, model_version): acquisition_id for acquisition_id in ids}
        put_aside = select(Job.key).where(Job.kind == JobKind.PRESEGMENT, Job.key.in_(keys), is_put_aside())
        settled.update(keys[key] for key in session.scalars(put_aside))
    return [acquisition_id for acquisition_id in acquisition_ids if acquisition_id not in settled]
