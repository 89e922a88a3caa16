"""Model versions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries.paging import newest_first
from mrseg_label.catalog.tables import BOOTSTRAP, Evaluation, ModelVersion, Round
from mrseg_label.catalog.types import ModelStatus, Position
from mrseg_label.clock import now


def ensure_bootstrap(session: Session) -> None:
    """Add the version that stands for the bootstrap sources, current until a model is promoted, unless it is there."""
    if session.get(ModelVersion, BOOTSTRAP) is None:
        session.add(ModelVersion(version=BOOTSTRAP, status=ModelStatus.CURRENT, promoted_at=now()))


def get(session: Session, version: str) -> ModelVersion | None:
    """A version by name."""
    return session.get(ModelVersion, version)


def current(session: Session) -> ModelVersion:
    """The version that makes pre-segmentations now."""
    return session.scalars(_current()).one()


@cache
def _current() -> Select[ModelVersion]:
    return select(ModelVersion).where(ModelVersion.status == ModelStatus.CURRENT)


def promoted(session: Session) -> Sequence[ModelVersion]:
    """The current version, then those that were current before, the one that was promoted last first."""
    query = (
        select(ModelVersion)
        .where(ModelVersion.status.in_((ModelStatus.CURRENT, ModelStatus.RETIRED)))
        .order_by((ModelVersion.status == ModelStatus.CURRENT).desc(), ModelVersion.promoted_at.desc())
    )
    return session.scalars(query).all()


def page(session: Session, limit: int, after: Position | None = None) -> Sequence[ModelVersion]:
    """Versions, newest first."""
    query = newest_first(select(ModelVersion), ModelVersion.created_at, ModelVersion.version, after)
    return session.scalars(query.limit(limit)).all()


def list_all(session: Session) -> Sequence[ModelVersion]:
    """All versions, newest first."""
    query = newest_first(select(ModelVersion), ModelVersion.created_at, ModelVersion.version, None)
    return session.scalars(query).all()


def saw_held_out(session: Session, version: str) -> bool:
    """Whether a version was trained on held-out participants too, so that it cannot be tested on them."""
    query = select(Round.include_held_out).join(ModelVersion, ModelVersion.round_number == Round.number)
    return bool(session.scalars(query.where(ModelVersion.version == version)).one_or_none())


def newest_untainted(session: Session) -> ModelVersion:
    """The version that was promoted last of those that have not seen held-out participants."""
    query = (
        select(ModelVersion)
        .outerjoin(Round, Round.number == ModelVersion.round_number)
        .where(ModelVersion.promoted_at.is_not(None), or_(Round.number.is_(None), ~Round.include_held_out))
        .order_by((ModelVersion.status == ModelStatus.CURRENT).desc(), ModelVersion.promoted_at.desc())
        .limit(1)
    )
    return session.scalars(query).one()


def previously_promoted(session: Session, version: ModelVersion) -> ModelVersion | None:
    """The retired version that was promoted last before this one was, if there is one."""
    query = (
        select(ModelVersion)
        .where(ModelVersion.status == ModelStatus.RETIRED, ModelVersion.promoted_at < version.promoted_at)
        .order_by(ModelVersion.promoted_at.desc())
        .limit(1)
    )
    return session.scalars(query).one_or_none()


def with_weights(session: Session, digest: str) -> ModelVersion | None:
    """The version with these weights, if there is one."""
    return session.scalars(select(ModelVersion).where(ModelVersion.weights_digest == digest).limit(1)).one_or_none()


def evaluations(session: Session, version: str) -> Sequence[Evaluation]:
    """The evaluations of a version on examinations of held-out cases, in a fixed order."""
    return session.scalars(
        select(Evaluation)
        .where(Evaluation.model_version == version)
        .order_by(Evaluation.annotation_id, Evaluation.examination_id)
    ).all()


def evaluation(session: Session, model_version: str, annotation_id: str, examination_id: str) -> Evaluation | None:
    """The evaluation of a version on an examination and its annotation, if there is one."""
    return session.get(Evaluation, (model_version, annotation_id, examination_id))
