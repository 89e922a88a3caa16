"""The strategies by which a reader's next case is chosen.

Their order is that of :mod:`mrseg_label.catalog.queries.upcoming`, along which drafts are made too. What is computed from
files for it is the ranking of ``uncertainty``: the case first on which the pre-segmentations by the two newest models
agree least (one minus the mean DSC over structures that either has), among the first waiting cases in random order. Where
no waiting case has pre-segmentations by two models it is ``balanced``. Disagreement within a committee of models, here of
successive ones: Seung HS, et al. Query by committee. COLT 1992. https://doi.org/10.1145/130385.130417
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.queries.upcoming import STRATEGIES, UNCERTAINTY, Order, upcoming
from mrseg_label.catalog.tables import Acquisition
from mrseg_label.errors import InvalidInput
from mrseg_label.worklist import uncertainty


@dataclass(frozen=True)
class Choice:
    """How a case is chosen: an order, and what was computed for it before the database was locked."""

    order: Order

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
        returned_or_expired : ids of acquisitions that this reader had and did not submit; they come after all others.
        reserved : ids of acquisitions that wait for another reader; they are left out.
        """
        case = self._first(session, moment, {*returned_or_expired, *reserved})
        if case is None and returned_or_expired:
            case = self._first(session, moment, reserved)
        return case

    def _first(self, session: Session, moment: datetime, without: Collection[str]) -> Acquisition | None:
        for case in upcoming(session, moment, self.order, without):
            # Other server processes that choose at the same moment may have locked or taken it.
            waiting = acquisitions.get_waiting(session, moment, case.acquisition_id)
            if waiting is not None:
                return waiting
        return None


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
    return Choice(Order(strategy, workspace.settings.round_size, ranking))
