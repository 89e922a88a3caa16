"""Say in a sentence why a case comes next."""

from __future__ import annotations

from collections.abc import Sequence

from mrseg_label.catalog.draft_details import DraftUncertainty
from mrseg_label.catalog.queries.begun import UpcomingCase
from mrseg_label.catalog.queries.upcoming import BALANCED, RANDOM, SEQUENTIAL, Order
from mrseg_label.catalog.types import Priority
from mrseg_label.text import listed

REQUESTED = "it was requested for this reader"
ASSIGNED_BY = "{} assigned it to this reader"
SECOND_READING = "it was requested to be read a second time"
REVIEW = "an annotation of it awaits review"
SENT_BACK = "a reviewer sent the annotation back to its author"
STILL_OPEN = "it was still open"
NOTHING_ELSE = "the reader had it before and did not submit it, and nothing else waits"
_SHOWN = 3  # structures


def reason_of(case: UpcomingCase, order: Order, uncertainty: DraftUncertainty | None = None) -> str:
    """Say why a case comes next in an order.

    Parameters
    ----------
    uncertainty : of its newest draft, where the order ranks the case by it.
    """
    parts = [] if case.priority is Priority.NORMAL else [f"{case.priority} priority"]
    if case.held_out:
        parts.append("held-out participant, for the evaluation of the next round")
    if order.strategy == SEQUENTIAL:
        parts.append("next in the order of import")
    elif order.strategy == RANDOM:
        parts.append("next in the order drawn at import")
    elif case.rank is not None and uncertainty:
        parts += [f"draft number {case.rank + 1} of {len(order.ranking)} by uncertainty", *_doubts(uncertainty)]
    else:
        if order.strategy != BALANCED:
            parts.append("no other waiting draft tells how sure it is, so chosen as by balanced")
        parts += _rarity(case)
    return "; ".join(parts)


def _rarity(case: UpcomingCase) -> list[str]:
    station, sequence = case.station or "unknown station", case.sequence or "unknown sequence"
    if not case.begun:
        return ["nothing of held-out participants is annotated yet" if case.held_out else "nothing is annotated yet"]
    among = "among the annotated of held-out participants" if case.held_out else "among the annotated"
    if case.rarest_station:
        rarest = f"rarest station {among}: {station} {case.of_station} of {case.begun}"
        rarest += f", of these {sequence} {case.of_group}" if case.of_station else ""
    else:
        rarest = f"rarest station and sequence {among}: {station} {sequence} {case.of_group} of {case.begun}"
    count = case.of_participant
    participant = "no case" if count == 0 else "1 case" if count == 1 else f"{count} cases"
    return [rarest, f"{participant} of this participant"]


def _doubts(uncertainty: DraftUncertainty) -> list[str]:
    doubts = []
    if sides := uncertainty.get("sides"):
        doubts.append(f"sides of {listed(_names(sides), 2 * _SHOWN)} disputed by two sources")
    if disagreement := _largest(uncertainty.get("disagreement", {})):
        doubts.append(
            f"sources disagree most on {listed((f'{name} (DSC {1 - value:.2f})' for name, value in disagreement), _SHOWN)}"
        )
    if softmax := _largest(uncertainty.get("softmax", {})):
        doubts.append(
            f"the network is least sure of {listed((f'{name} ({value:.2f})' for name, value in softmax), _SHOWN)}"
        )
    return doubts


def _largest(values: dict[str, float]) -> list[tuple[str, float]]:
    ordered = sorted(values.items(), key=lambda item: -item[1])[:_SHOWN]
    return [(_names([name])[0], value) for name, value in ordered if value > 0]


def _names(structures: Sequence[str]) -> list[str]:
    return [name.replace("_", " ") for name in structures]
