"""Decide about the channels of an acquisition: fat and water exchanged, misregistered, masks propagated from one to the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mrseg_label.catalog.channel_types import Labelled, Misregistration
from mrseg_label.catalog.tables import Examination
from mrseg_label.catalog.types import SwapState
from mrseg_label.errors import InvalidInput

FIELDS = ("swap", "misregistration", "propagation")
_EXCHANGEABLE = ("fat", "water")
_ON, _OFF = "on", "off"


def parse(name: str, text: str) -> Any:
    """Parse a decision: ``confirmed`` or ``none``; of the propagation ``on`` or ``off``.

    Raises
    ------
    InvalidInput
        It is no such decision.
    """
    allowed = (_ON, _OFF) if name == "propagation" else (SwapState.CONFIRMED.value, SwapState.NONE.value)
    if text not in allowed:
        raise InvalidInput(f"{name} {text[:60]!r} is not a decision; use {' or '.join(allowed)}")
    match name:
        case "swap":
            return SwapState(text)
        case "misregistration":
            return Misregistration(text)
        case _:
            return text


def read(examination: Examination) -> dict[str, Any]:
    """Return what holds now, by field."""
    return {
        "swap": examination.swap,
        "misregistration": examination.misregistration,
        "propagation": propagation_of(examination),
    }


def propagation_of(examination: Examination) -> str:
    """Return ``on`` or ``off``: whether masks are propagated within the acquisition of an image."""
    return _ON if examination.acquisition.propagates else _OFF


def decide(examination: Examination, values: Mapping[str, Any]) -> list[str]:
    """Record decisions, parsed, by field.

    Returns
    -------
    What follows from them.

    Raises
    ------
    InvalidInput
        A decision does not suit the image.
    """
    notes: list[str] = []
    if "swap" in values:
        notes += _decide_swap(examination, values["swap"])
    if "misregistration" in values:
        _check_has_others(examination, "misregistration")
        examination.misregistration = values["misregistration"]
        if examination.misregistration is Misregistration.CONFIRMED:
            notes.append("no mask is propagated from or to a misregistered image")
    if "propagation" in values:
        examination.acquisition.propagates = values["propagation"] == _ON
    return notes


def labelled_before(examination: Examination) -> dict[str, Labelled | None]:
    """Note which images of the acquisition carry its mask, for :func:`describe_masks`."""
    return {channel.id: channel.labelled for channel in examination.acquisition.examinations}


def describe_masks(examination: Examination, before: Mapping[str, Labelled | None]) -> list[str]:
    """Say to which images of the acquisition its mask is propagated now and was not before, and from which it was withdrawn."""
    now = {channel.id: channel.labelled for channel in examination.acquisition.examinations}
    both = sorted(now.keys() & before.keys())
    withdrawn = [one for one in both if before[one] is not None and now[one] is None]
    added = [one for one in both if before[one] is None and now[one] is not None]
    notes = []
    if withdrawn:
        notes.append(f"the mask of its acquisition was withdrawn from {', '.join(withdrawn)}")
    if added:
        notes.append(f"the mask of its acquisition holds for {', '.join(added)} now")
    return notes


def _decide_swap(examination: Examination, decision: SwapState) -> list[str]:
    """Record the decision for both images of the scan, since one cannot be exchanged without the other."""
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


def _check_has_others(examination: Examination, what: str) -> None:
    if len(examination.acquisition.examinations) < 2:
        raise InvalidInput(
            f"examination {examination.id} is the only image of its acquisition, so there is no {what} to decide"
        )
