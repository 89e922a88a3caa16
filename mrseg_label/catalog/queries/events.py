"""What changed, in the order of the commits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import Event


def newest(session: Session) -> int:
    """The number of the newest change; 0 before the first."""
    return session.scalars(select(func.max(Event.id))).one() or 0


def oldest(session: Session) -> int:
    """The number of the oldest change that is kept; 0 before the first."""
    return session.scalars(select(func.min(Event.id))).one() or 0


def after(session: Session, number: int, limit: int) -> Sequence[Event]:
    """Changes with a number above the given one, oldest first."""
    return session.scalars(select(Event).where(Event.id > number).order_by(Event.id).limit(limit)).all()


def delete_before(session: Session, moment: datetime) -> None:
    """Delete what was written before a moment, except the newest: no number is ever given twice."""
    last = session.scalars(select(func.max(Event.id)).where(Event.at < moment)).one()
    if last is not None:
        session.execute(delete(Event).where(Event.id <= last, Event.id < newest(session)))
