"""The table of numbers that would take a scan of a million rows to count."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from mrseg_label.catalog.tables.base import Base
from mrseg_label.catalog.types import CaseState, Coded

UNDECIDED = -1


class CaseCount(Base):
    """How many cases of a group there are: the sum over all ``slot``.

    Triggers of the database keep it in the transaction that changes a case. On PostgreSQL each connection has a slot of its
    own, so that no transaction waits for another's count; :func:`mrseg_label.catalog.queries.case_counts.fold` puts them together.
    """

    __tablename__ = "case_counts"
    slot: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    station: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[str] = mapped_column(primary_key=True)
    held_out: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False
    )  # of the participant: 1, 0 or UNDECIDED
    # excluded, annotated, no_image or waiting, as Examination.case_state
    state: Mapped[CaseState] = mapped_column(Coded(CaseState), primary_key=True)
    cases: Mapped[int]
