"""A case in the order of assignment, and how many cases are begun before it, which decides under ``balanced``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.tables import Acquisition, Participant
from mrseg_label.catalog.types import Priority

StationAndSequence = tuple[str, str]


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


class Begun:
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
