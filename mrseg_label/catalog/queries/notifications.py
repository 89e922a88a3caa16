"""Notifications and their deliveries, and the lease of the process that sends them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries.paging import newest_first
from mrseg_label.catalog.tables import Delivery, Lease, Notification
from mrseg_label.catalog.types import AttentionKind, Channel, Position


def get(session: Session, notification_id: str) -> Notification | None:
    """A notification by id."""
    return session.get(Notification, notification_id)


def page(
    session: Session, limit: int, after: Position | None = None, kinds: Sequence[AttentionKind] | None = None
) -> Sequence[Notification]:
    """Notifications, newest first; only those of these kinds."""
    query = newest_first(select(Notification), Notification.created_at, Notification.id, after)
    if kinds is not None:
        query = query.where(Notification.kind.in_(kinds))
    return session.scalars(query.limit(limit)).all()


def open_ones(session: Session) -> Sequence[Notification]:
    """Those of what still needs attention."""
    return session.scalars(select(Notification).where(Notification.ended_at.is_(None))).all()


def newest_of(session: Session, kind: AttentionKind) -> datetime | None:
    """When the newest notification of a kind was made; None before the first."""
    return session.scalars(select(func.max(Notification.created_at)).where(Notification.kind == kind)).one()


def due(session: Session, channels: Sequence[Channel], moment: datetime) -> Sequence[Delivery]:
    """What is to be sent through these channels now, the longest due first."""
    waiting = (Delivery.sent_at.is_(None), Delivery.given_up_at.is_(None), Delivery.channel.in_(channels))
    query = select(Delivery).where(*waiting, Delivery.due_at <= moment)
    return session.scalars(query.order_by(Delivery.due_at).limit(20)).all()


def of_channel(session: Session, channel: Channel) -> tuple[int, datetime | None, Delivery | None]:
    """How many notifications wait for a channel, when it last sent one, and the newest that failed and was not sent."""
    mine = select(Delivery).where(Delivery.channel == channel)
    waiting = (
        select(func.count())
        .select_from(Delivery)
        .where(Delivery.channel == channel, Delivery.sent_at.is_(None), Delivery.given_up_at.is_(None))
    )
    sent = select(func.max(Delivery.sent_at)).where(Delivery.channel == channel)
    failed = (
        mine.where(Delivery.sent_at.is_(None), Delivery.error.is_not(None)).order_by(Delivery.due_at.desc()).limit(1)
    )
    return session.scalars(waiting).one(), session.scalars(sent).one(), session.scalars(failed).one_or_none()


def take_lease(session: Session, name: str, holder: str, moment: datetime, until: datetime) -> bool:
    """Take a lease, or keep it; False where another process has it."""
    change = (
        update(Lease)
        .where(Lease.name == name, or_(Lease.holder == holder, Lease.expires_at < moment))
        .values(holder=holder, expires_at=until)
    )
    if session.execute(change).rowcount:  # type: ignore[attr-defined]
        return True
    if session.get(Lease, name) is not None:
        return False
    session.add(Lease(name=name, holder=holder, expires_at=until))
    session.flush()
    return True


def give_up_lease(session: Session, name: str, holder: str) -> None:
    """Let another process take a lease at once."""
    session.execute(delete(Lease).where(Lease.name == name, Lease.holder == holder))
