"""Tables of the participants who were deleted on request: what is left of them names nobody."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from mrseg_label.catalog.tables.base import Base
from mrseg_label.clock import now
from mrseg_label.ids import new_id


class DeletedParticipant(Base):
    """That somebody was deleted, as two salted hashes, by which they are found again in an older backup or an import.

    ``participant_hash`` is made of the random id that the person had here, and empty of somebody who was on a list but
    never imported; ``code_hash`` of the code (:mod:`mrseg_label.catalog.queries.deleted`).
    """

    __tablename__ = "deleted_participants"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("dp"))
    salt: Mapped[str] = mapped_column(String(64))
    participant_hash: Mapped[str] = mapped_column(String(64), default="", index=True)
    code_hash: Mapped[str] = mapped_column(String(64), index=True)
    deleted_at: Mapped[datetime] = mapped_column(default=now)
    # What it leaves behind: names of the model versions that were trained on them.
    models: Mapped[list[Any]] = mapped_column(default=list)


class UnfinishedDeletion(Base):
    """A deletion whose rows are gone, and whose traces in files and in other rows are not all gone yet.

    ``traces`` has what is looked for, and therefore names the participants; the row is removed with the last trace.
    """

    __tablename__ = "unfinished_deletions"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("dl"))
    actor: Mapped[str]
    traces: Mapped[dict[str, Any]]
    counts: Mapped[dict[str, Any]]  # what the audit trail will say
    started_at: Mapped[datetime] = mapped_column(default=now)
