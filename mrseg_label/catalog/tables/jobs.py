"""Tables of jobs, of the signs of life of servers and workers, and of the audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column

from mrseg_label.catalog.tables.base import Base
from mrseg_label.catalog.types import Coded, JobState
from mrseg_label.clock import now
from mrseg_label.ids import new_id


class Job(Base):
    """A piece of work. Workers claim, renew and finish it by updates that ``lease_token`` guards."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("jb"))
    kind: Mapped[str] = mapped_column(String(64))
    queue: Mapped[str] = mapped_column(String(64))
    key: Mapped[str]
    payload: Mapped[dict[str, Any]]
    priority: Mapped[int] = mapped_column(default=0)
    state: Mapped[JobState] = mapped_column(Coded(JobState))
    attempt: Mapped[int] = mapped_column(default=0)  # attempts that began, without those that were given back
    deaths: Mapped[int] = mapped_column(default=0, server_default="0")  # attempts in which the process died
    put_aside: Mapped[bool] = mapped_column(default=False, server_default=false())  # only an admin has it tried again
    max_attempts: Mapped[int] = mapped_column(default=3)
    lease_token: Mapped[str | None] = mapped_column(String(64))
    lease_expires_at: Mapped[datetime | None]
    owner: Mapped[str | None]  # host:pid:start time of the worker
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    not_before: Mapped[datetime | None]
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(String(64))  # of the request that led to it, if one did
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        Index(
            "uq_jobs_active",
            "kind",
            "key",
            unique=True,
            sqlite_where=text("state IN ('queued', 'running')"),
            postgresql_where=text("state IN ('queued', 'running')"),
        ),
        Index("ix_jobs_claim", "queue", "state", "priority"),
        Index("ix_jobs_of_key", "kind", "key", "state"),
        Index("ix_jobs_state", "state", "created_at", "id"),
        Index("ix_jobs_newest", "created_at", "id"),
    )


class Heartbeat(Base):
    """When a server process of this workspace started, and when it was last alive."""

    __tablename__ = "heartbeats"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class WorkerProcess(Base):
    """A worker process that is alive, or was until it ended without a word. One that ends in good order has no row."""

    __tablename__ = "workers"
    name: Mapped[str] = mapped_column(primary_key=True)  # host:pid:start time, as the owner of its jobs
    queues: Mapped[str]  # separated by commas
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class AuditEvent(Base):
    """A record of who changed what, and when. Never deleted; changed only to name nobody who was deleted on request."""

    __tablename__ = "audit_events"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(default=now)
    actor: Mapped[str]
    action: Mapped[str] = mapped_column(String(64), index=True)
    subject: Mapped[str] = mapped_column(index=True)
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
