"""Suspicious masks that somebody looked at and found in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.tables import Dismissal
from mrseg_label.catalog.types import PROGRAM


def get(session: Session, mask_id: str) -> Dismissal | None:
    """The dismissal of a mask, if there is one."""
    return session.get(Dismissal, mask_id)


def reason_keys(reasons: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tells reasons apart from one search to the next: kind and structure, while figures change."""
    return sorted({f"{one['kind']} {one['structure']}" for one in reasons})


def end_where_new(session: Session, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """End the dismissals of masks for which there is a reason now that nobody looked at.

    Parameters
    ----------
    found : the reasons of each mask, by its id.
    """
    for row in session.scalars(select(Dismissal)):
        new = sorted(set(reason_keys(found.get(row.mask_id, ()))) - set(row.reasons))
        if new:
            session.delete(row)
            audit.record(session, PROGRAM, "suspicion.again", row.mask_id, reasons=new)
