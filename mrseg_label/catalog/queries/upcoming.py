"""The order in which cases are assigned, defined once: the next case is its first, and drafts are made along it.

Batches have ROUND_SIZE cases each, counted from the last snapshot on: what was annotated since, or is being annotated.
Under every strategy a fifth of each batch are cases of held-out participants (:mod:`mrseg_label.catalog.queries.batches`),
so that every round has new ones to be evaluated on. They are spread evenly over the batch, so that a round that is started
early has cases of both kinds too. More of them come last, since models do not learn from them.
Within either kind of participants the strategy decides:

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
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.queries.batches import begun_in_batches, held_out_among
from mrseg_label.catalog.queries.participants import decide_held_out
from mrseg_label.catalog.tables import Acquisition, Participant

BALANCED, UNCERTAINTY, SEQUENTIAL, RANDOM = "balanced", "uncertainty", "sequential", "random"
STRATEGIES = (BALANCED, UNCERTAINTY, SEQUENTIAL, RANDOM)
_PAGE = 16  # cases that are read at once; the next page is twice as long
_IDS_PER_QUERY = 500  # databases limit the number of values in a query

StationAndSequence = tuple[str, str]


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


@dataclass(frozen=True)
class UpcomingCase:
    """A waiting case in the order of assignment, with what put it there.

    Attributes
    ----------
    rank : its place in :attr:`Order.ranking`, from 0; None where the ranking does not name it.
    of_group, of_participant : how many cases of its station and sequence, and of its participant, are begun before it;
        they are counted for ``balanced`` and ``uncertainty`` alone.
    rarest_station : whether of no other station with waiting cases fewer are.
    of_station : how many of its station are.
    begun : how many are, of this kind of participants.
    """

    acquisition_id: str
    participant_id: str
    station: str
    sequence: str
    held_out: bool
    rank: int | None = None
    of_group: int = 0
    of_participant: int = 0
    rarest_station: bool = False
    of_station: int = 0
    begun: int = 0


def upcoming(
    session: Session, moment: datetime, order: Order, excluding: Collection[str] = ()
) -> Iterator[UpcomingCase]:
    """Yield the waiting cases in the order in which they will be assigned, as if each were assigned in turn.

    Cases are read from the database only as far as they are asked for. It is decided first who is held out.

    Parameters
    ----------
    excluding : ids of acquisitions that are passed over.
    """
    decide_held_out(session)
    of_batch, held_out_of_batch = begun_in_batches(session, moment)
    kinds = {held_out: _Kind(session, moment, order, frozenset(excluding), held_out) for held_out in (True, False)}
    while True:
        wants_held_out = held_out_of_batch < held_out_among(of_batch + 1, order.round_size)
        case = kinds[wants_held_out].take() or kinds[not wants_held_out].take()
        if case is None:
            return
        of_batch += 1
        held_out_of_batch += case.held_out
        yield case


class _Kind:
    """The waiting cases of held-out, or of other, participants, in their order."""

    def __init__(
        self, session: Session, moment: datetime, order: Order, excluding: frozenset[str], held_out: bool
    ) -> None:
        self._session, self._moment, self._order = session, moment, order
        self._held_out = held_out
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
            yield from self._read(Acquisition.created_at if strategy == SEQUENTIAL else Acquisition.shuffle)
            return
        begun = _Begun(self._session, self._moment, self._held_out)
        if strategy == UNCERTAINTY:
            for case in self._ranked():
                self._passed_over.add(case.acquisition_id)
                yield begun.add(case)
        groups = {group: self._of_group(group, begun) for group in self._groups()}
        while groups:
            group = min(groups, key=begun.rarity)
            found = next(groups[group], None)
            if found is None:
                del groups[group]
            else:
                yield begun.add(found, {station for station, _ in groups})

    def _groups(self) -> Sequence[StationAndSequence]:
        """Stations and sequences with waiting cases."""
        query = self._waiting.with_only_columns(Acquisition.station, Acquisition.sequence).distinct()
        return [(station, sequence) for station, sequence in self._session.execute(query)]

    def _of_group(self, group: StationAndSequence, begun: _Begun) -> Iterator[UpcomingCase]:
        """Cases of a station and sequence: those of the participants with fewest begun cases first.

        Cases of participants with begun ones wait in a heap until no case of a participant without is left.
        """
        same = and_(Acquisition.station == group[0], Acquisition.sequence == group[1])
        waiting = enumerate(self._read(Acquisition.shuffle, same))
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
            ids = ranking[start : start + _IDS_PER_QUERY]
            for row in self._session.execute(self._waiting.where(Acquisition.id.in_(ids))):
                found[row.id] = self._case(row, places[row.id])
        return (found[identifier] for identifier in ranking if identifier in found)

    def _read(self, key: Any, *conditions: ColumnElement[bool]) -> Iterator[UpcomingCase]:
        """Read cases in the order of a column, page by page."""
        size = _PAGE
        query = self._waiting.add_columns(key.label("place")).where(*conditions).order_by(key, Acquisition.id)
        last: tuple[Any, str] | None = None
        while True:
            following = query
            if last is not None:
                behind = tuple_(literal(last[0], key.type), literal(last[1]))
                following = query.where(tuple_(key, Acquisition.id) > behind)
            rows = self._session.execute(following.limit(size)).all()
            for row in rows:
                if row.id not in self._passed_over:
                    yield self._case(row)
            if len(rows) < size:
                return
            last = rows[-1].place, rows[-1].id
            size *= 2

    def _case(self, row: Any, rank: int | None = None) -> UpcomingCase:
        return UpcomingCase(row.id, row.participant_id, row.station, row.sequence, self._held_out, rank)

    @cached_property  # building it takes longer than what it does in a small workspace
    def _waiting(self) -> Select[Any]:
        columns = (Acquisition.id, Acquisition.participant_id, Acquisition.station, Acquisition.sequence)
        of_kind = select(*columns).join(Participant, Participant.id == Acquisition.participant_id)
        return of_kind.where(  # type: ignore[return-value]
            concepts.is_waiting(self._moment), Participant.held_out.is_(self._held_out)
        )


class _Begun:
    """How many cases are begun, of held-out or of other participants."""

    def __init__(self, session: Session, moment: datetime, held_out: bool) -> None:
        columns = (Acquisition.participant_id, Acquisition.station, Acquisition.sequence)
        query = (
            select(*columns, func.count())
            .join(Participant, Participant.id == Acquisition.participant_id)
            .where(Participant.held_out.is_(held_out))
            .where(concepts.is_included(), or_(concepts.is_annotated(), concepts.is_being_annotated(moment)))
            .group_by(*columns)
        )
        self.participants: Counter[str] = Counter()
        self.groups: Counter[StationAndSequence] = Counter()
        self._stations: Counter[str] = Counter()
        self._sequences: Counter[str] = Counter()
        for participant, station, sequence, count in session.execute(query):
            self._add(participant, (station, sequence), count)

    def rarity(self, group: StationAndSequence) -> tuple[int, int, int, StationAndSequence]:
        """Sorts stations and sequences, the rarest first; equally rare ones have a fixed order."""
        station, sequence = group
        return self.groups[group], self._stations[station], self._sequences[sequence], group

    def add(self, case: UpcomingCase, stations: Collection[str] = ()) -> UpcomingCase:
        """Count a case as begun, and return it with what was begun before it.

        Parameters
        ----------
        stations : those with waiting cases.
        """
        group = case.station, case.sequence
        of_station = self._stations[case.station]
        counted = replace(
            case,
            of_group=self.groups[group],
            of_participant=self.participants[case.participant_id],
            rarest_station=all(of_station <= self._stations[station] for station in stations),
            of_station=of_station,
            begun=self.groups.total(),
        )
        self._add(case.participant_id, group, 1)
        return counted

    def _add(self, participant: str, group: StationAndSequence, count: int) -> None:
        self.participants[participant] += count
        self.groups[group] += count
        self._stations[group[0]] += count
        self._sequences[group[1]] += count


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
