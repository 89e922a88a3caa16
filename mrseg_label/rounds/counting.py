"""What counts towards the next round."""

from __future__ import annotations

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import acquisitions
from mrseg_label.config import Settings


def count_towards_round(session: Session, settings: Settings) -> int:
    """Count what is newly annotated, in the unit of ROUND_SIZE."""
    if settings.round_counts == "examinations":
        return acquisitions.new_examinations(session)
    return acquisitions.annotated_since_round(session)
