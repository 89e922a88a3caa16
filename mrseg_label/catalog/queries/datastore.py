"""Listings that MONAI Label's datastore interface asks for."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import Acquisition, Revision
from mrseg_label.catalog.types import RevisionState


def final_revisions(session: Session, acquisition_ids: Sequence[str]) -> dict[str, Revision]:
    """The newest final accepted revision of each of these acquisitions that has one."""
    query = (
        select(Revision)
        .where(
            Revision.acquisition_id.in_(acquisition_ids), Revision.state == RevisionState.ACCEPTED, Revision.is_final
        )
        .order_by(Revision.acquisition_id, Revision.number)
    )
    return {revision.acquisition_id: revision for revision in session.scalars(query)}


def annotated(session: Session) -> Sequence[tuple[str, int]]:
    """Examination id and revision number of every annotated case, in the order of import."""
    query = (
        select(Acquisition.primary_examination_id, func.max(Revision.number))
        .join(Revision, Revision.acquisition_id == Acquisition.id)
        .where(Revision.state == RevisionState.ACCEPTED, Revision.is_final, Acquisition.excluded_at.is_(None))
        .group_by(Acquisition.id, Acquisition.primary_examination_id, Acquisition.created_at)
        .order_by(Acquisition.created_at, Acquisition.id)
    )
    return [(identifier, number) for identifier, number in session.execute(query) if identifier]


def primary_ids(session: Session, *, annotated: bool | None = None) -> Sequence[str]:
    """Ids of the examinations that readers open: all, or only those with (without) an annotation."""
    query = select(Acquisition.primary_examination_id).where(
        Acquisition.excluded_at.is_(None), Acquisition.primary_examination_id.is_not(None)
    )
    if annotated is not None:
        query = query.where(Acquisition.annotated_at.is_not(None) if annotated else Acquisition.annotated_at.is_(None))
    return [
        identifier
        for identifier in session.scalars(query.order_by(Acquisition.created_at, Acquisition.id))
        if identifier
    ]
