"""What model versions make of the images of annotations, compared with the annotations."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.queries import concepts, models
from mrseg_label.catalog.tables import Acquisition, Annotation, ModelAudit, ModelVersion, RoundCase
from mrseg_label.catalog.types import CaseRole


@dataclass(frozen=True)
class Audited:
    """What a version makes of the image of an annotation.

    Attributes
    ----------
    seen : whether the version was trained on the case, so that it agrees too well.
    structures : as :class:`mrseg_label.catalog.tables.quality.ModelAudit` has them.
    """

    seen: bool
    structures: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class AuditProgress:
    """How far the audit by a version is: the annotations it is to see, and those it has seen."""

    done: int
    total: int


def next_to_audit(session: Session, version: str) -> Annotation | None:
    """The newest annotation that stands for its case and that a version has not seen yet; None if it has seen all."""
    query = _annotations().where(~_is_audited(version))
    return session.scalars(query.order_by(Annotation.created_at.desc(), Annotation.id).limit(1)).one_or_none()


def progress(session: Session, version: str) -> AuditProgress:
    """How far the audit by a version is."""
    total, done = (
        session.scalars(query.with_only_columns(func.count(Annotation.id))).one()
        for query in (_annotations(), _annotations().where(_is_audited(version)))
    )
    return AuditProgress(done, total)


def store(session: Session, row: ModelAudit) -> None:
    """Keep what a version makes of the image of an annotation."""
    session.merge(row)


def current(session: Session) -> tuple[str, dict[str, Audited]] | None:
    """The current version with what it made of each annotation; None if it has seen none."""
    version = models.current(session)
    query = select(ModelAudit).where(ModelAudit.model_version == version.version, ModelAudit.problem.is_(None))
    rows = session.scalars(query).all()
    if not rows:
        return None
    seen = _trained_on(session, version, {row.annotation_id for row in rows})
    return version.version, {row.annotation_id: Audited(row.annotation_id in seen, row.structures) for row in rows}


def _annotations() -> Select[Any]:
    """Annotations that stand for their case, second readings too, of cases whose image can be segmented."""
    query: Select[Any] = select(Annotation)
    return query.join(Acquisition, Acquisition.id == Annotation.acquisition_id).where(
        concepts.is_usable(), concepts.is_in_place()
    )


def _is_audited(version: str) -> Any:
    row = aliased(ModelAudit)
    return exists().where(row.model_version == version, row.annotation_id == Annotation.id)


def _trained_on(session: Session, version: ModelVersion, annotation_ids: Collection[str]) -> set[str]:
    """Those of some annotations whose case a version or one that it started from was trained on."""
    rounds: list[int] = []
    row: ModelVersion | None = version
    while row is not None and row.round_number is not None and row.round_number not in rounds:
        rounds.append(row.round_number)
        row = models.get(session, row.parent) if row.parent else None
    trained = select(RoundCase.acquisition_id).where(
        RoundCase.round_number.in_(rounds), RoundCase.role == CaseRole.TRAINING
    )
    query = select(Annotation.id).where(Annotation.acquisition_id.in_(trained))
    return set(session.scalars(query)).intersection(annotation_ids)
