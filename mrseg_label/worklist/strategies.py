"""In which order cases are handed out.

- ``balanced``: an equal mix of stations and sequences over all that was handed out. Each batch (what was
  annotated since the last snapshot, or is in readers' hands) begins with cases of held-out participants, so
  that every round has fresh ones to be tested on; after that they come last, since models do not learn
  from them.
- ``sequential``: in the order of import.
- ``random``: in an order that was drawn at import.
- ``uncertainty``: the case first on which the two newest models' drafts agree least (one minus the mean DSC
  over structures that either has), among the first that wait in random order. Where no waiting case has
  drafts by two models it is ``balanced``. Disagreement within a committee of models, here of successive ones:
  Seung HS, et al. Query by committee. COLT 1992. https://doi.org/10.1145/130385.130417
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import worklist as rows
from mrseg_label.catalog.queries.participants import decide_held_out
from mrseg_label.catalog.tables import Acquisition
from mrseg_label.errors import InvalidInput
from mrseg_label.worklist import uncertainty
from mrseg_label.workspace import Workspace

BALANCED, UNCERTAINTY, SEQUENTIAL, RANDOM = "balanced", "uncertainty", "sequential", "random"
STRATEGIES = (BALANCED, UNCERTAINTY, SEQUENTIAL, RANDOM)
HELD_OUT_PER_BATCH = 2


def prepare(workspace: Workspace, catalog: Catalog, strategy: str) -> list[str] | str:
    """What a strategy needs to find out before the database is locked: its name, or acquisitions in their order.

    Raises
    ------
    InvalidInput
        No such strategy.
    """
    if strategy not in STRATEGIES:
        raise InvalidInput(f"there is no strategy {strategy[:60]!r}; there are: {', '.join(STRATEGIES)}")
    return uncertainty.ranked(workspace, catalog) if strategy == UNCERTAINTY else strategy


def choose(
    session: Session,
    prepared: list[str] | str,
    round_size: int,
    given_up: Collection[str] = (),
    reserved: Collection[str] = (),
) -> Acquisition | None:
    """The waiting case that comes next, or None.

    Parameters
    ----------
    given_up : acquisitions that this reader had and did not submit: they come after all others.
    reserved : acquisitions that wait for another reader.
    """
    case = _choose(session, prepared, round_size, [*given_up, *reserved])
    if case is None and given_up:
        case = _choose(session, prepared, round_size, reserved)
    return case


def _choose(
    session: Session, prepared: list[str] | str, round_size: int, without: Collection[str]
) -> Acquisition | None:
    if isinstance(prepared, list):
        for acquisition_id in prepared:
            case = rows.if_waiting(session, acquisition_id, without)
            if case is not None:
                return case
    elif prepared == SEQUENTIAL:
        return rows.first_imported(session, without)
    elif prepared == RANDOM:
        return rows.first_shuffled(session, without)
    return _balanced(session, round_size, without)


def _balanced(session: Session, round_size: int, without: Collection[str]) -> Acquisition | None:
    decide_held_out(session)
    wants_held_out = rows.held_out_in_batch(session) < min(HELD_OUT_PER_BATCH, round_size // 2)
    counts = rows.handed_out_by_group(session)
    for held_out in (wants_held_out, not wants_held_out):
        groups = rows.waiting_groups(session, held_out)
        for group in sorted(groups, key=lambda group: (counts.get(group, 0), group)):
            case = rows.first_in_group(session, group, held_out, without)
            if case is not None:
                return case
    return None
