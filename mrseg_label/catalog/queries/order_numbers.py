"""The numbers that the order of assignment depends on, read by one statement: what is begun, and what waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Integer, Select, String, case, cast, func, literal_column, null, select, type_coerce, union_all
from sqlalchemy.orm import Session, aliased

from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.tables import UNDECIDED, Acquisition, Annotation, Assignment, CaseCount, Participant
from mrseg_label.catalog.types import AnnotationState, CaseState, Priority

StationAndSequence = tuple[str, str]
_IN_WORK, _OTHER_PRIORITY, _NEW, _UNDECIDED = "in work", "other priority", "new", "undecided"
_OTHERS = tuple(priority for priority in Priority if priority is not Priority.NORMAL)
_SIDE = Acquisition.held_out, Acquisition.station, Acquisition.sequence
_NOT_ANNOTATED = concepts.is_included(), ~concepts.is_annotated()
# None where the case has no image to open, and so does not wait when nobody has it.
_PRIORITY_OF_WAITING = case((Acquisition.primary_examination_id.is_not(None), Acquisition.priority), else_=null())


class Side(NamedTuple):
    """Cases of a station and sequence, of held-out or of other participants; None where that is not decided."""

    held_out: bool | None
    station: str
    sequence: str


class OrderNumbers:
    """How many cases are begun and wait, of held-out and of other participants.

    Attributes
    ----------
    undecided : whether there are participants of whom it is not decided yet which they are.
    begun_in_batches : cases that count towards the next round or are being annotated, by whether they are of held-out ones.
    begun : cases that are annotated or being annotated.
    """

    def __init__(self, rows: Iterable[Any]) -> None:
        self.undecided = False
        self.begun_in_batches: Counter[bool | None] = Counter()
        self.begun: Counter[Side] = Counter()
        self._waiting: dict[Priority, Counter[Side]] = {priority: Counter() for priority in Priority}
        for what, held_out, station, sequence, priority, count in rows:
            side = Side(None if held_out is None else bool(held_out), station, sequence)
            if what == _UNDECIDED:
                self.undecided = True
            elif what == CaseState.WAITING:
                self._waiting[Priority.NORMAL][side] += count
            elif what == _OTHER_PRIORITY:
                self._waiting[Priority.NORMAL][side] -= count
                self._waiting[Priority(priority)][side] += count
            else:
                self._add_begun(what, side, priority, count)

    def _add_begun(self, what: str, side: Side, priority: str | None, count: int) -> None:
        if what != CaseState.ANNOTATED:
            self.begun_in_batches[side.held_out] += count
        if what != _NEW:
            self.begun[side] += count
        if what == _IN_WORK and priority is not None:
            self._waiting[Priority(priority)][side] -= count

    def groups_waiting(self, priority: Priority, held_out: bool) -> list[StationAndSequence]:
        """Stations and sequences of which cases of a priority wait."""
        waiting = self._waiting[priority].items()
        return [(side.station, side.sequence) for side, count in waiting if count > 0 and side.held_out is held_out]

    def has_waiting(self, priority: Priority) -> bool:
        """Whether cases of a priority wait."""
        return any(count > 0 for count in self._waiting[priority].values())


def read(session: Session, moment: datetime, *, of_groups: bool) -> OrderNumbers:
    """Read the numbers.

    Parameters
    ----------
    of_groups : also what is annotated and waits of each station and sequence; otherwise it is known of the other priorities alone
        whether any case waits, and of the normal one nothing.
    """
    return OrderNumbers(session.execute(_numbers(of_groups), {"moment": moment}))


@cache
def _numbers(of_groups: bool) -> Any:
    parts = [_undecided(), _new_for_round(), _assigned(), _awaiting_review()]
    if of_groups:
        parts += [_stored(CaseState.ANNOTATED), _stored(CaseState.WAITING), _of_other_priorities()]
    else:
        parts += [_any_of(priority) for priority in _OTHERS]
    return union_all(*parts)


def _part(what: str, count: Any = None, priority: Any = None, of: Sequence[Any] = ()) -> Select[Any]:
    """One part of the statement: what is counted, held_out, station, sequence, priority, count.

    Parameters
    ----------
    count, priority : 1, and none, where they are not given.
    of : the columns by which it is counted: held_out, station, sequence; some may be missing at the end.
    """
    empty, none = literal_column("''", String), cast(null(), String)
    held_out, station, sequence = [*(of or (cast(null(), Integer),)), empty, empty][:3]
    columns = cast(held_out, Integer), station, sequence, none if priority is None else type_coerce(priority, String)
    found = select(literal_column(f"'{what}'", String), *columns, literal_column("1") if count is None else count)
    return found.group_by(*of, *(() if priority is None else (priority,))) if of else found


def _undecided() -> Select[Any]:
    undecided = Participant.held_out.is_(None), ~Participant.evaluation_only
    return _part(_UNDECIDED).where(select(Participant.id).where(*undecided).exists())


def _any_of(priority: Priority) -> Select[Any]:
    waiting = select(Acquisition.id).where(concepts.has_priority(priority), concepts.is_waiting(concepts.MOMENT))
    return _part(_OTHER_PRIORITY, priority=literal_column(f"'{priority}'")).where(waiting.exists())


def _new_for_round() -> Select[Any]:
    return _part(_NEW, func.count(), of=_SIDE[:1]).where(concepts.is_new_for_round())


def _assigned() -> Select[Any]:
    """Being annotated, found from the assignments, of which a case has one at most; of those with an image the priority."""
    assigned = aliased(Assignment, name="assigned")
    query = _part(_IN_WORK, func.count(), _PRIORITY_OF_WAITING, _SIDE).select_from(assigned)
    is_open = concepts.is_open(assigned, concepts.MOMENT), assigned.blind.is_(None), ~assigned.second_reading
    return query.join(Acquisition, Acquisition.id == assigned.acquisition_id).where(*is_open, *_NOT_ANNOTATED)


def _awaiting_review() -> Select[Any]:
    """The others that are being annotated, found from the annotations."""
    awaiting = aliased(Annotation, name="awaiting")
    query = _part(_IN_WORK, func.count(Acquisition.id.distinct()), _PRIORITY_OF_WAITING, _SIDE).select_from(awaiting)
    query = query.join(Acquisition, Acquisition.id == awaiting.acquisition_id)
    nobody_has_it = ~concepts.is_assigned(concepts.MOMENT, second_reading=False)
    return query.where(awaiting.state == AnnotationState.SUBMITTED, nobody_has_it, *_NOT_ANNOTATED)


def _stored(state: CaseState) -> Select[Any]:
    columns = CaseCount.held_out, CaseCount.station, CaseCount.sequence
    found = _part(state, cast(func.sum(CaseCount.cases), Integer), of=columns)
    return found.where(CaseCount.state == state, CaseCount.held_out != UNDECIDED)


def _of_other_priorities() -> Select[Any]:
    """Named one by one, the priorities are looked up in the index of such cases."""
    found = _part(_OTHER_PRIORITY, func.count(), Acquisition.priority, _SIDE)
    is_other = Acquisition.priority.in_(_OTHERS), concepts.has_another_priority()
    return found.where(concepts.is_usable(), ~concepts.is_annotated(), *is_other)
