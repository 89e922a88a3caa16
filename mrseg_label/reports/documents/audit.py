"""The audit trail."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.catalog.tables import AuditEvent
from mrseg_label.reports.documents.base import JsonObject, Moment


class AuditOut(BaseModel):
    """Who did what, when."""

    number: int
    at: Moment
    actor: str
    action: str
    subject: str = Field(description="id or name of what it was done to")
    detail: JsonObject

    @classmethod
    def of(cls, row: AuditEvent) -> AuditOut:
        """From its row."""
        return cls(number=row.id, at=row.at, actor=row.actor, action=row.action, subject=row.subject, detail=row.detail)
