"""Table of the changes that streams of events tell."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from mrseg_label.catalog.tables.base import Base
from mrseg_label.catalog.types import Coded, Topic
from mrseg_label.clock import now


class Event(Base):
    """That something changed: not how, since whoever is told reads what is true then. Deleted after some days.

    Numbers are in the order of the commits (:mod:`mrseg_label.catalog.changes`), so that whoever has read up to a
    number has missed nothing below it.
    """

    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(default=now)
    topic: Mapped[Topic] = mapped_column(Coded(Topic))
    subject: Mapped[str]  # id, number or name of what changed
