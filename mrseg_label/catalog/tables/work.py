"""Table of what readers are known to have done about a case before they submitted it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from mrseg_label.catalog.tables.base import Base
from mrseg_label.catalog.types import Coded, Sign
from mrseg_label.clock import now


class WorkSign(Base):
    """A request by which a reader showed that they work on a case; submissions are annotations. Append-only."""

    __tablename__ = "work_signs"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    reader: Mapped[str]
    acquisition_id: Mapped[str] = mapped_column(ForeignKey("acquisitions.id"), index=True)
    sign: Mapped[Sign] = mapped_column(Coded(Sign))
    at: Mapped[datetime] = mapped_column(default=now)
    __table_args__ = (Index("ix_work_signs_of_reader", "reader", "at"),)
