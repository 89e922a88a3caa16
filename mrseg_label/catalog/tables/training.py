"""Tables of what a round's training reports: the progress and curve of each fold, and the log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from mrseg_label.catalog.tables.base import Base
from mrseg_label.catalog.types import Coded, FoldState
from mrseg_label.clock import now


class RoundFold(Base):
    """A fold of a round: how far it is, its curve by epoch, and how it ended."""

    __tablename__ = "round_folds"
    round_number: Mapped[int] = mapped_column(ForeignKey("rounds.number"), primary_key=True)
    fold: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[FoldState] = mapped_column(Coded(FoldState))
    job_id: Mapped[str | None]  # the job that trains it; None if the job of the round does
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    curve: Mapped[list[Any]] = mapped_column(default=list)  # one object for each epoch, the first one first
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class RoundLog(Base):
    """A piece of the log of a round, or of one of its folds that is trained by a job of its own."""

    __tablename__ = "round_logs"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    round_number: Mapped[int] = mapped_column(ForeignKey("rounds.number"))
    fold: Mapped[int | None]
    text: Mapped[str] = mapped_column(Text)
    file_end: Mapped[int] = mapped_column(BigInteger, default=0)  # where in the log file the piece ends, in bytes
    created_at: Mapped[datetime] = mapped_column(default=now)
    __table_args__ = (Index("ix_round_logs_round", "round_number", "fold", "id"),)
