"""In which order cases are assigned.

- ``balanced``: an equal mix of stations and sequences over all that was assigned. Each batch (what was annotated
  since the last snapshot, or is assigned now) begins with cases of held-out participants, so that every round has
  fresh ones to be evaluated on; after that they come last, since models do not learn from them.
- ``sequential``: in the order of import.
- ``random``: in an order that was drawn at import.
- ``uncertainty``: the case first on which the two newest models' pre-segmentations agree least (one minus the mean
  DSC over structures that either has), among the first that wait in random order. Where no waiting case has
  pre-segmentations by two models it is ``balanced``. Disagreement within a committee of models, here of successive
  ones: Seung HS, et al. Query by committee. COLT 1992. https://doi.org/10.1145/130385.130417
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.queries.participants import decide_held_out
from mrseg_label.catalog.tables import Acquisition
from mrseg_label.errors import InvalidInput
from mrseg_label.worklist import uncertainty

BALANCED, UNCERTAINTY, SEQUENTIAL, RANDOM = "balanced", "uncertainty", "sequential", "random"
STRATEGIES = (BALANCED, UNCERTAINTY, SEQUENTIAL, RANDOM)
HELD_OUT_PER_BATCH = 2


def prepare(workspace: OpenedWorkspace, strategy: str) -> list[str] | str:
    """Find out what a strategy needs before the database is locked: its name, or acquisitions in their order.

    Raises
    ------
    InvalidInput
        There is no such strategy.
    """
    if strategy not in STRATEGIES:
        raise InvalidInput(f"there is no strategy {strategy[:60]!r}; choose from {', '.join(STRATEGIES)}")
    return uncertainty.ranked(workspace) if strategy == UNCERTAINTY else strategy


def choose(
    session: Session,
    moment: datetime,
    prepared: list[str] | str,
    round_size: int,
    given_up: Collection[str] = (),
    reserved: Collection[str] = (),
) -> Acquisition | None:
    """Choose the waiting case that comes next, or None.

    Parameters
    ----------
    given_up : acquisitions that this reader had and did not submit: they come after all others.
    reserved : acquisitions that wait for another reader.
    """
    case = _choose(session, moment, prepared, round_size, [*given_up, *reserved])
    if case is None and given_up:
        case = _choose(session, moment, prepared, round_size, reserved)
    return case


def _choose(
    session: Session, moment: datetime, prepared: list[str] | str, round_size: int, without: Collection[str]
) -> Acquisition | None:
    if isinstance(prepared, list):
        for acquisition_id in prepared:
            case = acquisitions.if_waiting(session, moment, acquisition_id, without)
            if case is not None:
                return case
    elif prepared == SEQUENTIAL:
        return acquisitions.first_imported(session, moment, without)
    elif prepared == RANDOM:
        return acquisitions.first_shuffled(session, moment, without)
    return _balanced(session, moment, round_size, without)


def _balanced(session: Session, moment: datetime, round_size: int, without: Collection[str]) -> Acquisition | None:
    decide_held_out(session)
    wants_held_out = acquisitions.held_out_in_batch(session, moment) < min(HELD_OUT_PER_BATCH, round_size // 2)
    counts = acquisitions.assigned_by_group(session, moment)
    for held_out in (wants_held_out, not wants_held_out):
        groups = acquisitions.waiting_groups(session, moment, held_out=held_out)
        for group in sorted(groups, key=lambda group: (counts.get(group, 0), group)):
            case = acquisitions.first_in_group(session, moment, group, held_out=held_out, without=without)
            if case is not None:
                return case
    return None
