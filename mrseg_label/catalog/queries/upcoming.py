"""The order in which cases are assigned, defined once: the next case is its first, and drafts are made along it.

Batches have ROUND_SIZE cases each, counted from the last snapshot on: what was annotated since, or is being annotated.
Under every strategy a fifth of each batch are cases of held-out participants (:mod:`mrseg_label.catalog.queries.batches`),
so that every round has new ones to be evaluated on. They are spread evenly over the batch, so that a round that is started
early has cases of both kinds too. More of them come last, since models do not learn from them.
Cases to which an administrator gave a high priority come before all others, those of a low one after them, each in this
same order. Within either kind of participants the strategy decides:

- ``balanced``: the station and sequence of which fewest cases are begun together; of several the rarest station, then the
  rarest sequence; then the participant of whom fewest are, then the order that was drawn at import.
- ``sequential``: the order of import.
- ``random``: the order that was drawn at import.
- ``uncertainty``: first what :attr:`Order.ranking` names (:mod:`mrseg_label.catalog.queries.uncertain`), then as ``balanced``.

What is yielded counts as begun for what comes after it. So the order is right as long as cases are assigned by one
strategy and submitted; it is computed anew for each assignment, and whenever drafts are to be made.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Integer, Select, bindparam, select, tuple_
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import concepts, order_numbers
from mrseg_label.catalog.queries.batches import held_out_among
from mrseg_label.catalog.queries.begun import Begun, UpcomingCase, begun_of_participant
from mrseg_label.catalog.queries.order_numbers import OrderNumbers, StationAndSequence
from mrseg_label.catalog.queries.participants import decide_held_out
from mrseg_label.catalog.tables import Acquisition
from mrseg_label.catalog.types import Priority

BALANCED, UNCERTAINTY, SEQUENTIAL, RANDOM = "balanced", "uncertainty", "sequential", "random"
STRATEGIES = (BALANCED, UNCERTAINTY, SEQUENTIAL, RANDOM)
_PAGE = 8  # cases that are read at once; the next page is twice as long
_IDS_PER_QUERY = 500  # databases limit the number of values in a query


@dataclass(frozen=True)
class Order:
    """What the order of assignment depends on beside the catalogue.

    Attributes
    ----------
    round_size : cases in a batch.
    ranking : ids of acquisitions that come before all others of their kind of participants.
    """

    strategy: str
    round_size: int
    ranking: Sequence[str] = ()


def upcoming(
    session: Session, moment: datetime, order: Order, excluding: Collection[str] = ()
) -> Iterator[UpcomingCase]:
    """Yield the waiting cases in the order in which they will be assigned, as if each were assigned in turn.

    Cases are read from the database only as far as they are asked for. It is decided first who is held out.

    Parameters
    ----------
    excluding : ids of acquisitions that are passed over.
    """
    of_groups = order.strategy in (BALANCED, UNCERTAINTY)
    numbers = order_numbers.read(session, moment, of_groups=of_groups)
    if numbers.undecided:
        decide_held_out(session)
        numbers = order_numbers.read(session, moment, of_groups=of_groups)
    of_batch, held_out_of_batch = numbers.begun_in_batches.total(), numbers.begun_in_batches[True]
    # Shared by the priorities: what was yielded of one counts as begun for the next.
    begun = {held_out: Begun(session, moment, numbers, held_out) for held_out in (True, False)}
    for priority in Priority:
        if priority is not Priority.NORMAL and not numbers.has_waiting(priority):  # most cases have the normal one
            continue
        kinds = {
            held_out: _Kind(session, moment, order, frozenset(excluding), held_out, priority, begun[held_out], numbers)
            for held_out in (True, False)
        }
        while True:
            wants_held_out = held_out_of_batch < held_out_among(of_batch + 1, order.round_size)
            case = kinds[wants_held_out].take() or kinds[not wants_held_out].take()
            if case is None:
                break
            of_batch += 1
            held_out_of_batch += case.held_out
            yield case


class _Kind:
    """The waiting cases of one priority and of held-out, or of other, participants, in their order."""

    def __init__(
        self,
        session: Session,
        moment: datetime,
        order: Order,
        excluding: frozenset[str],
        held_out: bool,
        priority: Priority,
        begun: Begun,
        numbers: OrderNumbers,
    ) -> None:
        self._session, self._moment, self._order = session, moment, order
        self._held_out, self._priority, self._begun = held_out, priority, begun
        self._numbers = numbers
        self._passed_over = set(excluding)
        self._cases: Iterator[UpcomingCase] | None = None

    def take(self) -> UpcomingCase | None:
        """Take the next case; None when all are taken."""
        if self._cases is None:
            self._cases = self._in_order()
        return next(self._cases, None)

    def _in_order(self) -> Iterator[UpcomingCase]:
        strategy = self._order.strategy
        if strategy in (SEQUENTIAL, RANDOM):
            yield from self._read("created_at" if strategy == SEQUENTIAL else "shuffle")
            return
        begun = self._begun
        if strategy == UNCERTAINTY:
            ranked = list(self._ranked())
            begun.look_up([case.participant_id for case in ranked])
            for case in ranked:
                self._passed_over.add(case.acquisition_id)
                yield begun.add(case)
        waiting = self._numbers.groups_waiting(self._priority, self._held_out)
        groups = {group: self._of_group(group, begun) for group in waiting}
        while groups:
            group = min(groups, key=begun.rarity)
            found = next(groups[group], None)
            if found is None:
                del groups[group]
            else:
                yield begun.add(found, {station for station, _ in groups})

    def _of_group(self, group: StationAndSequence, begun: Begun) -> Iterator[UpcomingCase]:
        """Cases of a station and sequence: those of the participants with fewest begun cases first.

        Cases of participants with begun ones wait in a heap until no case of a participant without is left.
        """
        waiting = enumerate(self._read("shuffle", group, begun))
        later: list[tuple[int, int, UpcomingCase]] = []
        for place, case in waiting:
            if begun.participants[case.participant_id]:
                heapq.heappush(later, (begun.participants[case.participant_id], place, case))
            else:
                yield case
        while later:
            count, place, case = heapq.heappop(later)
            if begun.participants[case.participant_id] > count:  # by what was yielded in the meantime
                heapq.heappush(later, (begun.participants[case.participant_id], place, case))
            else:
                yield case

    def _ranked(self) -> Iterator[UpcomingCase]:
        places = {one: place for place, one in enumerate(self._order.ranking) if one not in self._passed_over}
        ranking = list(places)
        found: dict[str, UpcomingCase] = {}
        for start in range(0, len(ranking), _IDS_PER_QUERY):
            ids = Acquisition.id.in_(ranking[start : start + _IDS_PER_QUERY])
            query = _waiting(self._priority, self._held_out).where(ids)
            for row in self._session.execute(query, {"moment": self._moment}):
                found[row.id] = self._case(row, places[row.id])
        return (found[identifier] for identifier in ranking if identifier in found)

    def _read(
        self, key: str, group: StationAndSequence | None = None, begun: Begun | None = None
    ) -> Iterator[UpcomingCase]:
        """Read cases in the order of a column, page by page; ``begun`` then knows their participants."""
        values: dict[str, Any] = {"moment": self._moment, "size": _PAGE}
        if group is not None:
            values |= {"station": group[0], "sequence": group[1]}
        following = False
        while True:
            query = _in_order_of(key, self._priority, self._held_out, group is not None, following)
            rows = self._session.execute(query, values).all()
            if begun is not None:
                begun.learn({row.participant_id: row.begun for row in rows})
            for row in rows:
                if row.id not in self._passed_over:
                    yield self._case(row)
            if len(rows) < values["size"]:
                return
            following = True
            values |= {"place": rows[-1].place, "identifier": rows[-1].id, "size": 2 * values["size"]}

    def _case(self, row: Any, rank: int | None = None) -> UpcomingCase:
        return UpcomingCase(
            row.id, row.participant_id, row.station, row.sequence, self._held_out, rank, priority=self._priority
        )


@cache
def _waiting(priority: Priority, held_out: bool) -> Select[str, str, str, str]:
    """The waiting cases of a priority and a kind of participants."""
    columns = (Acquisition.id, Acquisition.participant_id, Acquisition.station, Acquisition.sequence)
    return select(*columns).where(
        concepts.is_waiting(concepts.MOMENT), concepts.has_priority(priority), concepts.is_held_out(held_out)
    )


@cache
def _in_order_of(name: str, priority: Priority, held_out: bool, of_group: bool, following: bool) -> Select[Any]:
    """A page of them in the order of a column; of one station and sequence, with how many of the participant's are begun."""
    key = getattr(Acquisition, name)
    query = _waiting(priority, held_out).add_columns(key.label("place")).order_by(key, Acquisition.id)
    if of_group:
        same = Acquisition.station == bindparam("station"), Acquisition.sequence == bindparam("sequence")
        query = query.add_columns(begun_of_participant().label("begun")).where(*same)
    if following:
        behind = tuple_(bindparam("place", type_=key.type), bindparam("identifier"))
        query = query.where(tuple_(key, Acquisition.id) > behind)
    return query.limit(bindparam("size", type_=Integer()))


def first_upcoming(session: Session, moment: datetime, orders: Sequence[Order], count: int) -> list[UpcomingCase]:
    """The first cases of an order; of several orders in turn, each case once."""
    found: dict[str, UpcomingCase] = {}
    streams = [upcoming(session, moment, order) for order in orders]
    while streams and len(found) < count:
        for stream in list(streams):
            case = next((case for case in stream if case.acquisition_id not in found), None)
            if case is None:
                streams.remove(stream)
            elif len(found) < count:
                found[case.acquisition_id] = case
    return list(found.values())
