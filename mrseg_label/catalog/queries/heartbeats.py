"""When servers of this workspace started, and when they were last alive."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import Heartbeat


def record(session: Session, name: str, started_at: datetime, moment: datetime) -> None:
    """Write down that a process is alive."""
    session.merge(Heartbeat(name=name, started_at=started_at, seen_at=moment))


def latest(session: Session) -> Heartbeat | None:
    """The process that was alive last, if any ever was."""
    return session.scalars(select(Heartbeat).order_by(Heartbeat.seen_at.desc()).limit(1)).one_or_none()


def all_of(session: Session) -> Sequence[Heartbeat]:
    """All servers of this workspace, by name."""
    return session.scalars(select(Heartbeat).order_by(Heartbeat.name)).all()
