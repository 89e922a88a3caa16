"""Notifications, and how their channels do."""

from __future__ import annotations

from pydantic import BaseModel, Field

from mrseg_label.catalog.tables import Notification
from mrseg_label.catalog.types import AttentionKind, Channel
from mrseg_label.reports.documents.base import Moment


class NotificationOut(BaseModel):
    """That something needed attention. Its message says nothing of a patient."""

    id: str
    kind: AttentionKind
    message: str
    round: int | None = Field(description="number of the round that it is about")
    created: Moment
    ended: Moment | None = Field(description="when it no longer needed attention; null: it still does")

    @classmethod
    def of(cls, row: Notification) -> NotificationOut:
        """Fill the document from its row."""
        return cls(
            id=row.id,
            kind=row.kind,
            message=row.message,
            round=row.round_number,
            created=row.created_at,
            ended=row.ended_at,
        )


class ChannelOut(BaseModel):
    """A channel through which notifications are sent."""

    channel: Channel
    target: str = Field(description="host of the webhook, or the e-mail addresses")
    waiting: int = Field(description="notifications that are still to be sent")
    last_sent: Moment | None
    problem: str | None = Field(description="why the newest that was not sent failed")
