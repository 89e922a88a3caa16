"""Worker processes that are alive, or ended without a word."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import WorkerProcess


def record(session: Session, name: str, queues: str, moment: datetime) -> None:
    """Write down that a worker is alive."""
    row = session.get(WorkerProcess, name)
    if row is None:
        session.add(WorkerProcess(name=name, queues=queues, started_at=moment, seen_at=moment))
    else:
        row.queues, row.seen_at = queues, moment


def all_of(session: Session) -> Sequence[WorkerProcess]:
    """All of them, by name."""
    return session.scalars(select(WorkerProcess).order_by(WorkerProcess.name)).all()


def forget(session: Session, names: Sequence[str]) -> None:
    """Forget workers that ended."""
    session.execute(delete(WorkerProcess).where(WorkerProcess.name.in_(names)))


def forget_before(session: Session, moment: datetime) -> None:
    """Forget workers that were alive last before a moment."""
    session.execute(delete(WorkerProcess).where(WorkerProcess.seen_at < moment))
