"""A case in the order of assignment, and how many cases are begun before it, which decides under ``balanced``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, select, union
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.queries import case_counts, concepts
from mrseg_label.catalog.tables import Acquisition
from mrseg_label.catalog.types import CaseState, Priority

StationAndSequence = tuple[str, str]
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


class CaseInWork(NamedTuple):
    """A case that a reader has, or of which an annotation awaits review; it is not annotated yet."""

    participant_id: str
    station: str
    sequence: str
    held_out: bool | None
    waits_otherwise: bool  # it has an image to open, and the normal priority


BeingAnnotated = Sequence[CaseInWork]


def being_annotated(session: Session, moment: datetime) -> BeingAnnotated:
    """Read the cases that are being annotated, found from assignments and annotations."""
    return [CaseInWork(*row) for row in session.execute(_being_annotated(), {"moment": moment})]


@cache
def _being_annotated() -> Select[str, str, str, bool | None, bool]:
    in_work = union(concepts.assigned_cases(concepts.MOMENT, second_reading=False), concepts.cases_awaiting_review())
    normal = and_(Acquisition.primary_examination_id.is_not(None), Acquisition.priority == Priority.NORMAL)
    columns = Acquisition.participant_id, Acquisition.station, Acquisition.sequence, Acquisition.held_out, normal
    return select(*columns).where(Acquisition.id.in_(in_work), concepts.is_included(), ~concepts.is_annotated())


def annotated_of_participant() -> ColumnElement[int]:
    """How many cases of an acquisition's participant are annotated, as a column of a query: what :meth:`Begun.learn` is told."""
    other = aliased(Acquisition, name="annotated")
    annotated = other.excluded_at.is_(None), other.annotated_at.is_not(None)
    query = (
        select(func.count()).select_from(other).where(other.participant_id == Acquisition.participant_id, *annotated)
    )
    return query.correlate(Acquisition).scalar_subquery()


@cache
def _of_other_priorities(held_out: bool) -> Select[str, str, int]:
    """How many of each station and sequence; named one by one, the priorities are looked up in the index of the order."""
    others = Acquisition.priority.in_([priority for priority in Priority if priority is not Priority.NORMAL])
    return (
        select(Acquisition.station, Acquisition.sequence, func.count())
        .where(concepts.is_usable(), ~concepts.is_annotated(), others, concepts.is_held_out(held_out))
        .group_by(Acquisition.station, Acquisition.sequence)
    )


class Begun:
    """How many cases are begun, of held-out or of other participants.

    Stations and sequences come from the stored counts. Participants, of whom there may be tens of thousands, are counted when a
    case of theirs is looked at: :meth:`look_up`, or :meth:`learn` where the case came with the count.
    """

    def __init__(self, session: Session, in_work: BeingAnnotated, held_out: bool) -> None:
        self._session = session
        self.participants: Counter[str] = Counter()
        self.groups: Counter[StationAndSequence] = Counter()
        self._waiting: Counter[StationAndSequence] = Counter()
        self._stations: Counter[str] = Counter()
        self._sequences: Counter[str] = Counter()
        self._looked_up: set[str] = set()
        for group, count in case_counts.by_group(session, held_out=held_out).items():
            if group.state is CaseState.ANNOTATED:
                self._add_to_group((group.station, group.sequence), count)
            elif group.state is CaseState.WAITING:
                self._waiting[group.station, group.sequence] += count
        for case in in_work:
            if case.held_out is held_out:
                self.participants[case.participant_id] += 1
                self._add_to_group((case.station, case.sequence), 1)
                self._waiting[case.station, case.sequence] -= case.waits_otherwise
        for station, sequence, count in session.execute(_of_other_priorities(held_out)):
            self._waiting[station, sequence] -= count

    def groups_waiting(self) -> list[StationAndSequence]:
        """Stations and sequences of which cases of the normal priority wait."""
        return [group for group, count in self._waiting.items() if count > 0]

    def look_up(self, participant_ids: Collection[str]) -> None:
        """Count the annotated cases of these participants, unless it was done before."""
        new = sorted({*participant_ids} - self._looked_up)
        self._looked_up.update(new)
        for start in range(0, len(new), _IDS_PER_QUERY):
            these = Acquisition.participant_id.in_(new[start : start + _IDS_PER_QUERY])
            query = (
                select(Acquisition.participant_id, func.count())
                .where(these, concepts.is_included(), concepts.is_annotated())
                .group_by(Acquisition.participant_id)
            )
            self.participants.update(dict(self._session.execute(query).all()))

    def learn(self, annotated: Mapping[str, int]) -> None:
        """Note how many annotated cases these participants have, unless it is known."""
        for participant_id in annotated.keys() - self._looked_up:
            self.participants[participant_id] += annotated[participant_id]
        self._looked_up.update(annotated)

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
