"""Cases of a round's snapshot that could not be used, named in its result."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import examinations
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import Annotation
from mrseg_label.catalog.types import CaseRole
from mrseg_label.errors import Cancelled, ConfigurationError, DamagedModel, LeaseLost, Unavailable

log = logging.getLogger("mrseg_label.rounds")
LEFT_OUT_KEY = "left_out"  # of Round.result
# What ends a stage of a round where it goes through cases: the fault of the machine or of the model, and not of a case.
NOT_OF_THE_CASE = (Cancelled, LeaseLost, Unavailable, ConfigurationError, DamagedModel, MemoryError, OSError)


def record_left_out(session: Session, number: int, role: CaseRole, reasons: Mapping[str, str]) -> None:
    """Add examinations to those that a round left out, with their reasons.

    Parameters
    ----------
    reasons : by id of the examination.
    """
    row = rows.get(session, number)
    if row is None or not reasons:
        return
    known: Sequence[dict[str, Any]] = row.result.get(LEFT_OUT_KEY, [])
    entries = {(entry["role"], entry["examination"]): entry for entry in known}
    acquisitions = examinations.acquisitions_of(session, list(reasons))
    for examination_id, reason in reasons.items():
        entries[str(role), examination_id] = {
            "examination": examination_id,
            "acquisition": acquisitions.get(examination_id),
            "role": str(role),
            "reason": reason,
        }
        log.warning("round %d leaves out %s case %s: %s", number, role, examination_id, reason)
    row.result = {**row.result, LEFT_OUT_KEY: list(entries.values())}


def by_examination(annotations: Iterable[Annotation], reasons: Mapping[str, str]) -> dict[str, str]:
    """Reasons by the examination that was annotated, from reasons by annotation."""
    return {one.examination_id: reasons[one.id] for one in annotations if one.id in reasons}
