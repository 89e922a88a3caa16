"""The audit trail."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import AuditEvent


def record(session: Session, actor: str, action: str, subject: str, **detail: Any) -> None:
    """Write down who does what, in the transaction that does it."""
    session.add(AuditEvent(actor=actor, action=action, subject=subject, detail=detail))
