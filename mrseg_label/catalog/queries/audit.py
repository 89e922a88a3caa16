"""The audit trail."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import AuditEvent


def record(session: Session, actor: str, action: str, subject: str, **detail: Any) -> None:
    """Record who does what, in the transaction that does it."""
    session.add(AuditEvent(actor=actor, action=action, subject=subject, detail=detail))


def page(
    session: Session,
    limit: int,
    below: int | None = None,
    actor: str | None = None,
    actions: Collection[str] | None = None,
    subjects: Collection[str] | None = None,
) -> Sequence[AuditEvent]:
    """Events, newest first; only those with a number below the given one, of an actor, of these actions or subjects."""
    query = select(AuditEvent).order_by(AuditEvent.id.desc())
    if below is not None:
        query = query.where(AuditEvent.id < below)
    if actor is not None:
        query = query.where(AuditEvent.actor == actor)
    if actions is not None:
        query = query.where(AuditEvent.action.in_(actions))
    if subjects is not None:
        query = query.where(AuditEvent.subject.in_(subjects))
    return session.scalars(query.limit(limit)).all()
