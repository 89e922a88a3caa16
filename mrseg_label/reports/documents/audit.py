"""The audit trail."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.catalog.tables import AuditEvent
from mrseg_label.reports.documents.base import JsonObject, Moment


class AuditOut(BaseModel):
    """An event of the audit trail: who did what, and when."""

    number: int
    at: Moment
    actor: str
    action: str
    subject: str = Field(description="id or name of what was acted on")
    detail: JsonObject

    @classmethod
    def of(cls, row: AuditEvent) -> AuditOut:
        """Fill the document from its row."""
        return cls(number=row.id, at=row.at, actor=row.actor, action=row.action, subject=row.subject, detail=row.detail)
