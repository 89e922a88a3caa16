"""Pages of examinations, filtered and sorted along indices: a page of a million rows takes as long as one of a thousand.

What is stored of an examination falls into groups of one station, sequence and stored state; an index has each group in the
order of storing. A page of the whole list, or of one that is filtered by these, is merged from the first rows of its
groups, of which there are few. Where a filter finds few rows (a participant, cases that readers have now, annotations
that await review), these are read and sorted.

A cursor is the place of a row, not its number, so rows that appear or vanish between two pages neither repeat nor hide others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session

from mrseg_label.catalog.queries.examinations import ExaminationFilter, of_cases
from mrseg_label.catalog.tables import Acquisition, Examination
from mrseg_label.catalog.types import CaseState, Priority

_STORED = (CaseState.WAITING, CaseState.ANNOTATED, CaseState.EXCLUDED, CaseState.NO_IMAGE)  # that a row keeps
_IDS_PER_QUERY = 500  # databases limit the number of values in a query


class SortKey(StrEnum):
    """What examinations are sorted by; those that are equal come newest first.

    Not by participant: the cursor would hold a code, and it stands in an address.
    """

    STORED = "stored"  # the time at which they were stored
    STATION = "station"
    SEQUENCE = "sequence"


@dataclass(frozen=True)
class Sort:
    """An order of examinations."""

    key: SortKey = SortKey.STORED
    descending: bool = True


NEWEST_FIRST = Sort()


@dataclass(frozen=True)
class Place:
    """The place of an examination in an order; ``value`` is its station or sequence, where the order is by these."""

    value: str
    created: datetime
    id: str


_Row = tuple[str, datetime]  # id and time of storing of an examination


def page(
    session: Session,
    wanted: ExaminationFilter,
    moment: datetime,
    limit: int,
    sort: Sort = NEWEST_FIRST,
    after: Place | None = None,
    *,
    backwards: bool = False,
) -> list[Examination]:
    """Examinations behind a place, with their acquisition and participant.

    Parameters
    ----------
    backwards : those before the place, nearest last, as they stand in the list.
    """
    reading = _Reading(session, wanted, moment, sort, backwards)
    rows = reading.few(limit, after) if _finds_few(wanted) else reading.merged(limit, after)
    return _load(session, [identifier for identifier, _ in (reversed(rows) if backwards else rows)])


def count(session: Session, wanted: ExaminationFilter, moment: datetime, at_most: int | None = None) -> int:
    """How many examinations there are of the kind that is wanted; counting ends at ``at_most``."""
    reading = _Reading(session, wanted, moment, NEWEST_FIRST, False)
    if _finds_few(wanted):
        return reading.count_of(of_cases(select(Examination.id)).where(*wanted.conditions(moment)), at_most)
    found = 0
    for query in reading.of_groups():
        found += reading.count_of(query, None if at_most is None else at_most - found)
        if at_most is not None and found >= at_most:
            break
    return found


def case_ids(session: Session, wanted: ExaminationFilter, moment: datetime, at_most: int) -> list[str]:
    """Ids of the acquisitions of the examinations that are wanted, each once; at most so many."""
    found: dict[str, None] = {}
    if _finds_few(wanted):
        queries: Iterable[Select[Any]] = [of_cases(select(Examination.id)).where(*wanted.conditions(moment))]
    else:
        queries = _Reading(session, wanted, moment, NEWEST_FIRST, False).of_groups()
    for query in queries:
        cases = query.with_only_columns(Examination.acquisition_id).distinct().limit(at_most - len(found))
        found |= dict.fromkeys(session.scalars(cases))
        if len(found) >= at_most:
            break
    return list(found)


def stations_and_sequences(
    session: Session, station: str | None = None, sequence: str | None = None
) -> Iterator[tuple[str, str]]:
    """Stations and sequences that there are together: an index is asked for the next of each, instead of read."""
    for one in _values(session, Examination.case_station, station):
        for other in _values(session, Examination.sequence, sequence, Examination.case_station == one):
            yield one, other


def _values(session: Session, column: Any, only: str | None, *conditions: ColumnElement[bool]) -> Iterator[str]:
    if only is not None:
        yield only
        return
    query = select(func.min(column)).where(*conditions)
    value = session.scalars(query).one()
    while value is not None:
        yield value
        value = session.scalars(query.where(column > value)).one()


def place_of(examination: Examination, sort: Sort) -> Place:
    """Return the place of an examination in an order."""
    value = ""
    if sort.key is SortKey.STATION:
        value = examination.acquisition.station
    elif sort.key is SortKey.SEQUENCE:
        value = examination.sequence
    return Place(value, examination.created_at, examination.id)


def _finds_few(wanted: ExaminationFilter) -> bool:
    """Whether an index of what is filtered by leads to few rows, or to their cases."""
    of_readers = wanted.state in (CaseState.ASSIGNED, CaseState.AWAITING_REVIEW)
    return (
        of_readers
        or wanted.participant is not None
        or wanted.swap is not None
        or wanted.misregistration is not None
        or _is_rare(wanted.priority)
    )


def _is_rare(priority: Priority | None) -> bool:
    return priority not in (None, Priority.NORMAL)


class _Reading:
    """The queries of one list."""

    def __init__(
        self, session: Session, wanted: ExaminationFilter, moment: datetime, sort: Sort, backwards: bool
    ) -> None:
        self._session, self._wanted, self._moment = session, wanted, moment
        self._key = sort.key
        self._value_falls = sort.descending != backwards  # within the reading, which may run against the list
        is_newest_first = sort.descending or sort.key is not SortKey.STORED
        self._time_falls = is_newest_first != backwards

    def few(self, limit: int, after: Place | None) -> list[_Row]:
        """Read and sort all that a filter finds."""
        value = {SortKey.STATION: Examination.case_station, SortKey.SEQUENCE: Examination.sequence}.get(self._key)
        query = of_cases(select(*self._columns())).where(*self._wanted.conditions(self._moment))
        behind = None if after is None else self._behind(after)
        if value is not None:
            if after is not None and behind is not None:
                further = value < after.value if self._value_falls else value > after.value
                behind = or_(further, and_(value == after.value, behind))
            query = query.order_by(value.desc() if self._value_falls else value)
        if behind is not None:
            query = query.where(behind)
        return self._read(query, limit)

    def merged(self, limit: int, after: Place | None) -> list[_Row]:
        """Read the first rows of every group, and merge them."""
        if self._key is SortKey.STORED and self._is_everything():
            query = select(*self._columns())
            return self._read(query if after is None else query.where(self._behind(after)), limit)
        found: list[_Row] = []
        for value, queries in self._by_value():
            if after is not None and value != after.value and (value > after.value) == self._value_falls:
                continue  # before the place
            bounded = after is not None and value == after.value
            rows = [
                row
                for query in queries
                for row in self._read(query.where(self._behind(after)) if bounded and after else query, limit)
            ]
            rows.sort(key=lambda row: (row[1], row[0]), reverse=self._time_falls)
            found += rows[: limit - len(found)]
            if len(found) == limit:
                break
        return found

    def of_groups(self) -> Iterator[Select[Any]]:
        """Queries that together find what is wanted, each within one group."""
        if self._is_everything():
            yield select(*self._columns())
            return
        for _, queries in self._by_value():
            yield from queries

    def count_of(self, query: Select[Any], at_most: int | None) -> int:
        """Count the rows of a query, up to a number."""
        rows = query.order_by(None).limit(at_most).subquery()
        return self._session.scalars(select(func.count()).select_from(rows)).one()

    def _is_everything(self) -> bool:
        return self._wanted == ExaminationFilter()

    def _by_value(self) -> Iterator[tuple[str, list[Select[Any]]]]:
        """Queries of the groups, by what the list is sorted by, in its order; of the stored time all belong together."""
        if self._key is SortKey.STORED and self._wanted.station is None and self._wanted.sequence is None:
            yield "", [self._of_group(state) for state in self._states()]
            return
        place = {SortKey.STORED: None, SortKey.STATION: 0, SortKey.SEQUENCE: 1}[self._key]

        pairs = stations_and_sequences(self._session, self._wanted.station, self._wanted.sequence)

        def value_of(pair: tuple[str, str]) -> str:
            return "" if place is None else pair[place]

        ordered = sorted(pairs, key=value_of, reverse=self._value_falls)
        for value, same in groupby(ordered, key=value_of):
            yield value, [self._of_group(state, pair) for pair in same for state in self._states()]

    def _of_group(self, state: CaseState, pair: tuple[str, str] | None = None) -> Select[Any]:
        """The examinations that are wanted of one stored state, and of one station and sequence."""
        query = self._of_wanted.where(Examination.case_state == state)
        if pair is not None:
            query = query.where(Examination.case_station == pair[0], Examination.sequence == pair[1])
        return query

    @cached_property
    def _of_wanted(self) -> Select[Any]:
        """The columns, and what of the filter the groups do not tell."""
        query, conditions = select(*self._columns()), self._wanted.beside_groups(self._moment)
        if not conditions:
            return query
        return query.join(Acquisition, Acquisition.id == Examination.acquisition_id).where(*conditions)

    def _states(self) -> Sequence[CaseState]:
        """The stored states that cases may have that are wanted."""
        wanted = self._wanted
        states = [state for state in _STORED if wanted.state in (None, state)]
        if wanted.excluded is not None:
            states = [state for state in states if (state is CaseState.EXCLUDED) == wanted.excluded]
        if wanted.annotated is not None:  # of an excluded case its row tells
            other = CaseState.ANNOTATED if wanted.annotated else None
            fit = {CaseState.EXCLUDED, other} if other else set(_STORED) - {CaseState.ANNOTATED}
            states = [state for state in states if state in fit]
        return states

    def _columns(self) -> tuple[Any, ...]:
        return Examination.id, Examination.created_at

    def _behind(self, place: Place) -> ColumnElement[bool]:
        """Behind a place by time and id, within what is equal otherwise."""
        # Compared as a pair, which the indices that end with both are entered by.
        row = tuple_(Examination.created_at, Examination.id)
        there = tuple_(literal(place.created, Examination.created_at.type), literal(place.id))
        return row < there if self._time_falls else row > there

    def _read(self, query: Select[Any], limit: int) -> list[_Row]:
        order = (Examination.created_at, Examination.id)
        ordered = query.order_by(*(column.desc() if self._time_falls else column for column in order)).limit(limit)
        return [(identifier, created) for identifier, created in self._session.execute(ordered)]


def _load(session: Session, ids: Sequence[str]) -> list[Examination]:
    found: dict[str, Examination] = {}
    for start in range(0, len(ids), _IDS_PER_QUERY):
        query = select(Examination).where(Examination.id.in_(ids[start : start + _IDS_PER_QUERY]))
        found |= {row.id: row for row in session.scalars(query).unique()}
    return [found[identifier] for identifier in ids if identifier in found]
