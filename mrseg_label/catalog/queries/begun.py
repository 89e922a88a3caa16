"""A case in the order of assignment, and how many cases are begun before it, which decides under ``balanced``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.queries.order_numbers import OrderNumbers, StationAndSequence
from mrseg_label.catalog.tables import Acquisition
from mrseg_label.catalog.types import Priority

_IDS_PER_QUERY = 500  # databases limit the number of values in a query


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
    priority : an administrator's; cases of a higher one come before all others.
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
    priority: Priority = Priority.NORMAL


def begun_of_participant() -> ColumnElement[int]:
    """How many cases of an acquisition's participant are begun, as a column of a query: what :meth:`Begun.learn` is told."""
    other = aliased(Acquisition, name="begun")
    begun = other.participant_id == Acquisition.participant_id, concepts.is_begun(concepts.MOMENT, other)
    return select(func.count()).select_from(other).where(*begun).correlate(Acquisition).scalar_subquery()


class Begun:
    """How many cases are begun, of held-out or of other participants.

    Participants, of whom there may be tens of thousands, are counted when a case of theirs is looked at: :meth:`look_up`, or
    :meth:`learn` where the case came with the count.
    """

    def __init__(self, session: Session, moment: datetime, numbers: OrderNumbers, held_out: bool) -> None:
        self._session, self._moment = session, moment
        self.participants: Counter[str] = Counter()
        self.groups: Counter[StationAndSequence] = Counter()
        self._stations: Counter[str] = Counter()
        self._sequences: Counter[str] = Counter()
        self._looked_up: set[str] = set()
        for side, count in numbers.begun.items():
            if side.held_out is held_out:
                self._add_to_group((side.station, side.sequence), count)

    def look_up(self, participant_ids: Collection[str]) -> None:
        """Count the begun cases of these participants, unless it was done before."""
        new = sorted({*participant_ids} - self._looked_up)
        self._looked_up.update(new)
        for start in range(0, len(new), _IDS_PER_QUERY):
            these = Acquisition.participant_id.in_(new[start : start + _IDS_PER_QUERY])
            query = (
                select(Acquisition.participant_id, func.count())
                .where(these, concepts.is_begun(self._moment))
                .group_by(Acquisition.participant_id)
            )
            self.participants.update(dict(self._session.execute(query).all()))

    def learn(self, begun: Mapping[str, int]) -> None:
        """Note how many begun cases these participants have, unless it is known."""
        for participant_id in begun.keys() - self._looked_up:
            self.participants[participant_id] += begun[participant_id]
        self._looked_up.update(begun)

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
        self.participants[case.participant_id] += 1
        self._add_to_group(group, 1)
        return counted

    def _add_to_group(self, group: StationAndSequence, count: int) -> None:
        self.groups[group] += count
        self._stations[group[0]] += count
        self._sequences[group[1]] += count
