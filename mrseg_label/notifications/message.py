"""What a notification says outside of the server: one text for all channels, with nothing of a patient in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mrseg_label.catalog.tables import Notification
from mrseg_label.clock import iso

DASHBOARD = "/dashboard"


@dataclass(frozen=True)
class Message:
    """A notification as it is sent.

    Attributes
    ----------
    id : the same with every attempt, so that a receiver can tell one that it has had already.
    link : page of the dashboard; None unless PUBLIC_URL is set.
    """

    id: str
    kind: str
    text: str
    created: datetime
    round: int | None = None
    link: str | None = None

    @classmethod
    def of(cls, row: Notification, public_url: str | None) -> Message:
        """Make the message of a stored notification."""
        page = DASHBOARD if row.round_number is None else f"{DASHBOARD}/rounds/{row.round_number}"
        link = None if public_url is None else public_url.rstrip("/") + page
        return cls(row.id, str(row.kind), row.message, row.created_at, row.round_number, link)

    def document(self) -> dict[str, Any]:
        """Return the document that a webhook is sent."""
        data = {"id": self.id, "kind": self.kind, "message": self.text, "round": self.round, "link": self.link}
        return {"type": f"notification.{self.kind}", "timestamp": iso(self.created), "data": data}
