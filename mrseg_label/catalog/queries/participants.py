"""Participants, and which of them are held out from training."""

from __future__ import annotations

import hashlib
import math

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import Participant

HELD_OUT_SHARE = 0.2
MIN_HELD_OUT = 2
# Any number that no other part of the catalogue uses as a lock.
_IMPORT_LOCK = 0x6D727367


def by_code(session: Session, code: str, *, lock: bool = False) -> Participant | None:
    """A participant by code; ``lock`` makes other imports of the same participant wait (PostgreSQL)."""
    query = select(Participant).where(Participant.code == code)
    return session.scalars(query.with_for_update() if lock else query).one_or_none()


def lock_imports(session: Session) -> None:
    """Let imports record one after the other, so that none overlooks what another records at the same moment.

    SQLite has one writer anyway; on PostgreSQL the lock is released at the end of the transaction.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_IMPORT_LOCK)))


def decide_held_out(session: Session) -> None:
    """Decide for every participant of whom it is undecided whether models are tested, not trained, on them.

    Held out are a fifth of all participants, at least two, but never all: those first in the order of the
    SHA-256 of their code. A decision stays, so that no model is tested on what an earlier one was trained on.
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
