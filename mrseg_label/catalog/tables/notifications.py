"""Tables of notifications: what needed attention, to whom it was sent, and which process sends."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from mrseg_label.catalog.tables.base import Base
from mrseg_label.catalog.types import AttentionKind, Channel, Coded
from mrseg_label.clock import now
from mrseg_label.ids import new_id


class Notification(Base):
    """That something needed attention, once for each occurrence. Its message says nothing of a patient."""

    __tablename__ = "notifications"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("nt"))
    kind: Mapped[AttentionKind] = mapped_column(Coded(AttentionKind))
    occurrence: Mapped[str]  # what it is about; while it stays the same, nothing new has happened
    message: Mapped[str] = mapped_column(Text)
    round_number: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
    ended_at: Mapped[datetime | None]  # when it no longer needed attention
    deliveries: Mapped[list[Delivery]] = relationship(lazy="selectin", order_by="Delivery.channel")
    __table_args__ = (
        Index(
            "uq_notifications_open",
            "kind",
            "occurrence",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )


class Delivery(Base):
    """A notification on its way through a channel. An attempt is counted before it is made."""

    __tablename__ = "deliveries"
    notification_id: Mapped[str] = mapped_column(ForeignKey("notifications.id"), primary_key=True)
    channel: Mapped[Channel] = mapped_column(Coded(Channel), primary_key=True)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)  # of the last attempt


class Lease(Base):
    """Which process does what only one of them may do, and until when unless it says so again."""

    __tablename__ = "leases"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str]
    expires_at: Mapped[datetime]
