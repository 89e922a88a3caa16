"""Decide whether fat and water of a scan are exchanged, as its import suspects or somebody saw."""

from __future__ import annotations

from mrseg_label.catalog.tables import Examination
from mrseg_label.catalog.types import SwapState
from mrseg_label.errors import InvalidInput

_EXCHANGEABLE = ("fat", "water")


def parse_decision(text: str) -> SwapState:
    """Parse ``confirmed`` or ``none``; raise :class:`InvalidInput` for anything else."""
    decisions = (SwapState.CONFIRMED, SwapState.NONE)
    if text not in decisions:
        raise InvalidInput(f"swap {text[:60]!r} is not a decision; use {' or '.join(decisions)}")
    return SwapState(text)


def decide_swap(examination: Examination, decision: SwapState) -> list[str]:
    """Record the decision for both images of the scan, since one cannot be exchanged without the other.

    Returns
    -------
    What follows from it.

    Raises
    ------
    InvalidInput
        The image is neither the fat nor the water image of a scan.
    """
    if examination.sequence not in _EXCHANGEABLE:
        raise InvalidInput(
            f"examination {examination.id} has the sequence {examination.sequence or 'unknown'!r}; only fat and water "
            "images can be exchanged"
        )
    examination.swap = decision
    notes = []
    for other in examination.acquisition.examinations:
        if other.id != examination.id and other.sequence in _EXCHANGEABLE and other.swap is not decision:
            other.swap = decision
            notes.append(f"the same holds for its {other.sequence} image {other.id}")
    if decision is SwapState.CONFIRMED:
        notes.append("images in which fat and water are exchanged stay out of training and evaluation")
    return notes
