"""Model versions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import BOOTSTRAP, ModelVersion
from mrseg_label.catalog.types import ModelStatus
from mrseg_label.clock import now


def ensure_bootstrap(session: Session) -> None:
    """The version that stands for TotalSegmentator: current until a round promotes a model."""
    if session.get(ModelVersion, BOOTSTRAP) is None:
        session.add(ModelVersion(version=BOOTSTRAP, status=ModelStatus.CURRENT, promoted_at=now()))


def get(session: Session, version: str) -> ModelVersion | None:
    """A version by name."""
    return session.get(ModelVersion, version)


def current(session: Session) -> ModelVersion:
    """The version that makes drafts now."""
    return session.scalars(select(ModelVersion).where(ModelVersion.status == ModelStatus.CURRENT)).one()


def listing(session: Session) -> Sequence[ModelVersion]:
    """All versions, newest first."""
    return session.scalars(select(ModelVersion).order_by(ModelVersion.created_at.desc(), ModelVersion.version.desc())).all()
