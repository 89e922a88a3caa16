"""Participants, and which of them are held out from training."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import Participant

HELD_OUT_SHARE = 0.2
MIN_HELD_OUT = 2
_CODES_PER_QUERY = 500  # databases limit the number of values in a query
# Any number that is used for no other lock.
_IMPORT_LOCK = 0x6D727367


def by_code(session: Session, code: str, *, lock: bool = False) -> Participant | None:
    """A participant by code; ``lock`` makes other imports of this participant wait (PostgreSQL)."""
    query = select(Participant).where(Participant.code == code)
    return session.scalars(query.with_for_update() if lock else query).one_or_none()


def known_codes(session: Session, codes: Sequence[str]) -> set[str]:
    """Those of some codes that participants have."""
    found: set[str] = set()
    for start in range(0, len(codes), _CODES_PER_QUERY):
        query = select(Participant.code).where(Participant.code.in_(codes[start : start + _CODES_PER_QUERY]))
        found |= set(session.scalars(query))
    return found


def lock_imports(session: Session) -> None:
    """Make imports record one after the other, so that none misses what another records at the same moment.

    SQLite has one writer anyway; on PostgreSQL the lock is released at the end of the transaction.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_IMPORT_LOCK)))


def decide_held_out(session: Session) -> None:
    """Decide for every new participant whether models are tested, instead of trained, on their cases.

    A fifth of all participants are held out, at least two but never all: the first in the order of the SHA-256 of
    their codes. A decision is final, so that no model is tested on cases that an earlier one was trained on.
    """
    undecided = session.scalars(select(Participant).where(Participant.held_out.is_(None))).all()
    if not undecided:
        return
    total = session.scalars(select(func.count()).select_from(Participant)).one()
    held = session.scalars(select(func.count()).select_from(Participant).where(Participant.held_out.is_(True))).one()
    wanted = max(0, held_out_count(total) - held)
    for rank, participant in enumerate(sorted(undecided, key=_rank)):
        participant.held_out = rank < wanted
    session.flush()


def held_out_count(participants: int) -> int:
    """How many of so many participants are held out."""
    return min(max(MIN_HELD_OUT, math.ceil(HELD_OUT_SHARE * participants)), max(0, participants - 1))


def _rank(participant: Participant) -> str:
    return hashlib.sha256(participant.code.encode()).hexdigest()
