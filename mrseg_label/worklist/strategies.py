"""The order in which cases are assigned.

- ``balanced``: an equal mix of stations and sequences, over the cases of held-out participants that were begun and
  over those of the others. Each batch (cases that were annotated since the last snapshot or are being annotated) begins
  with cases of held-out participants, a fifth of ROUND_SIZE, so that every round has new ones to be evaluated on; after
  these they come last, since models do not learn from them.
- ``sequential``: in the order of import.
- ``random``: in an order that was drawn at import.
- ``uncertainty``: the case first on which the pre-segmentations by the two newest models agree least (one minus
  the mean DSC over structures that either has), among the first waiting cases in random order. Where no waiting
  case has pre-segmentations by two models it is ``balanced``. Disagreement within a committee of models, here of
  successive ones: Seung HS, et al. Query by committee. COLT 1992. https://doi.org/10.1145/130385.130417
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.queries.participants import HELD_OUT_SHARE, decide_held_out
from mrseg_label.catalog.tables import Acquisition
from mrseg_label.errors import InvalidInput
from mrseg_label.worklist import uncertainty

BALANCED, UNCERTAINTY, SEQUENTIAL, RANDOM = "balanced", "uncertainty", "sequential", "random"
STRATEGIES = (BALANCED, UNCERTAINTY, SEQUENTIAL, RANDOM)


@dataclass(frozen=True)
class Choice:
    """How a case is chosen: a strategy, and what was computed for it before the database was locked.

    Attributes
    ----------
    ranking : ids of acquisitions that come before all others, of the strategy ``uncertainty``.
    round_size : cases in a batch.
    """

    strategy: str
    ranking: Sequence[str]
    round_size: int

    def next_case(
        self,
        session: Session,
        moment: datetime,
        returned_or_expired: Collection[str] = (),
        reserved: Collection[str] = (),
    ) -> Acquisition | None:
        """Choose the waiting case that comes next; None if no case is waiting.

        Parameters
        ----------
        given_up : ids of acquisitions that this reader had and did not submit; they come after all others.
        reserved : ids of acquisitions that wait for another reader; they are left out.
        """
        case = self._first(session, moment, [*returned_or_expired, *reserved])
        if case is None and returned_or_expired:
            case = self._first(session, moment, reserved)
        return case

    def _first(self, session: Session, moment: datetime, without: Collection[str]) -> Acquisition | None:
        if self.strategy == SEQUENTIAL:
            return acquisitions.first_imported(session, moment, without)
        if self.strategy == RANDOM:
            return acquisitions.first_shuffled(session, moment, without)
        for acquisition_id in self.ranking:
            case = acquisitions.get_waiting(session, moment, acquisition_id, without)
            if case is not None:
                return case
        return _first_balanced(session, moment, self.round_size, without)


def prepare(workspace: OpenedWorkspace, strategy: str) -> Choice:
    """Compute what a strategy needs, before the database is locked.

    Raises
    ------
    InvalidInput
        There is no such strategy.
    """
    if strategy not in STRATEGIES:
        raise InvalidInput(f"there is no strategy {strategy[:60]!r}; choose from {', '.join(STRATEGIES)}")
    ranking = uncertainty.ranked(workspace) if strategy == UNCERTAINTY else ()
    return Choice(strategy, ranking, workspace.settings.round_size)


def held_out_in_batch(round_size: int) -> int:
    """How many cases of a batch are of held-out participants: their share, but never more than half."""
    return min(math.ceil(HELD_OUT_SHARE * round_size), round_size // 2)


def _first_balanced(
    session: Session, moment: datetime, round_size: int, without: Collection[str]
) -> Acquisition | None:
    decide_held_out(session)
    wants_held_out = acquisitions.held_out_in_batch(session, moment) < held_out_in_batch(round_size)
    for held_out in (wants_held_out, not wants_held_out):
        counts = acquisitions.begun_by_station_and_sequence(session, moment, held_out=held_out)
        groups = acquisitions.waiting_stations_and_sequences(session, moment, held_out=held_out)
        for group in sorted(groups, key=lambda group: (counts.get(group, 0), group)):
            case = acquisitions.first_of_station_and_sequence(
                session, moment, group, held_out=held_out, excluding=without
            )
            if case is not None:
                return case
    return None
