"""The strategies by which a reader's next case is chosen.

Their order is that of :mod:`mrseg_label.catalog.queries.upcoming`, along which drafts are made too; that of ``uncertainty``
begins with the ranking of :mod:`mrseg_label.catalog.queries.uncertain`. :mod:`mrseg_label.worklist.reasons` says why a case
comes next.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, uncertain
from mrseg_label.catalog.queries.begun import UpcomingCase
from mrseg_label.catalog.queries.upcoming import STRATEGIES, UNCERTAINTY, Order, upcoming
from mrseg_label.errors import InvalidInput
from mrseg_label.worklist import reasons


@dataclass(frozen=True)
class Chosen:
    """A case, which is locked, and why it comes next."""

    acquisition_id: str
    reason: str


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
    ) -> Chosen | None:
        """Choose the waiting case that comes next; None if no case is waiting.

        Parameters
        ----------
        returned_or_expired : ids of acquisitions that this reader had and did not submit; they come after all others.
        reserved : ids of acquisitions that wait for another reader; they are left out.
        """
        chosen = self._first(session, moment, {*returned_or_expired, *reserved})
        if chosen is None and returned_or_expired:
            again = self._first(session, moment, reserved)
            chosen = again and Chosen(again.acquisition_id, reasons.NOTHING_ELSE)
        return chosen

    def _first(self, session: Session, moment: datetime, without: Collection[str]) -> Chosen | None:
        for case in upcoming(session, moment, self.order, without):
            # Other server processes that choose at the same moment may have locked or taken it.
            if acquisitions.lock_waiting(session, moment, case.acquisition_id):
                return Chosen(case.acquisition_id, reason_in(session, self.order, case))
        return None


def reason_in(session: Session, order: Order, case: UpcomingCase) -> str:
    """Say why a case comes next in an order."""
    uncertainty = None if case.rank is None else uncertain.of_case(session, case.acquisition_id)
    return reasons.reason_of(case, order, uncertainty)


def prepare(workspace: OpenedWorkspace, strategy: str) -> Choice:
    """Compute what a strategy needs, before the database is locked.

    Raises
    ------
    InvalidInput
        There is no such strategy.
    """
    if strategy not in STRATEGIES:
        raise InvalidInput(f"there is no strategy {strategy[:60]!r}; choose from {', '.join(STRATEGIES)}")
    ranking: Sequence[str] = ()
    if strategy == UNCERTAINTY:
        with workspace.catalog.read() as session:
            ranking = uncertain.ranking(session, workspace.catalog.now(session))
    return Choice(Order(strategy, workspace.settings.round_size, ranking))
