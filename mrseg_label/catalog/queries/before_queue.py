"""What comes before the queue when a reader asks for a case: whether there is any of it, found by one statement."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import NamedTuple

from sqlalchemy import Select, and_, func, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import assignments, concepts
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, Assignment
from mrseg_label.catalog.types import AnnotationState


class BeforeQueue(NamedTuple):
    """What there is; most often nothing, and the queries that would find it need not be asked.

    Attributes
    ----------
    overdue : whether there are assignments whose time is over.
    open_cases : how many assignments the reader has open, for whatever purpose.
    rejected : whether any annotation was rejected, so that one may come back to its author.
    blind : whether a reader ever got a case without knowing why.
    """

    overdue: bool
    open_cases: int
    rejected: bool
    blind: bool


def read(session: Session, reader: Reader, moment: datetime) -> BeforeQueue:
    """Find out what comes before the queue for a reader."""
    found = session.execute(_before_queue(reader.account is not None), assignments.named(reader, moment)).one()
    return BeforeQueue(*found)


@cache
def _before_queue(signed_in: bool) -> Select[bool, int, bool, bool]:
    mine = concepts.is_open(Assignment, concepts.MOMENT), assignments.of_whom(signed_in)
    over = and_(Assignment.ended_at.is_(None), Assignment.expires_at <= concepts.MOMENT)
    return select(
        select(Assignment.id).where(over).exists(),
        select(func.count()).select_from(Assignment).where(*mine).scalar_subquery(),
        select(Annotation.id).where(Annotation.state == AnnotationState.REJECTED).exists(),
        select(Assignment.id).where(Assignment.blind.is_not(None)).exists(),
    )
