"""The audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import AuditEvent


def record(session: Session, actor: str, action: str, subject: str, **detail: Any) -> None:
    """Record who does what, in the transaction that does it."""
    session.add(AuditEvent(actor=actor, action=action, subject=subject, detail=detail))


def page(
    session: Session, limit: int, below: int | None = None, actor: str | None = None, action: str | None = None
) -> Sequence[AuditEvent]:
    """Events, newest first; only those with an id below the given one, by an actor, of an action."""
    query = select(AuditEvent).order_by(AuditEvent.id.desc())
    if below is not None:
        query = query.where(AuditEvent.id < below)
    if actor is not None:
        query = query.where(AuditEvent.actor == actor)
    if action is not None:
        query = query.where(AuditEvent.action == action)
    return session.scalars(query.limit(limit)).all()
