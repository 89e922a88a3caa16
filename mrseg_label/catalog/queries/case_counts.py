"""Numbers of cases by group, which the database keeps while cases change: nobody scans a million rows to count them."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Select, case, delete, exists, func, insert, literal_column, select, text, true, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from mrseg_label.catalog.database import Catalog
from mrseg_label.catalog.queries import concepts
from mrseg_label.catalog.tables import UNDECIDED, Acquisition, CaseCount, Participant, Presegmentation
from mrseg_label.catalog.types import CaseState

_FOLDING = 0x6D727368  # of PostgreSQL's advisory locks; any number that nobody else takes


class Group(NamedTuple):
    """Cases that are counted together. Their state is the stored one, which does not change with time."""

    station: str
    sequence: str
    held_out: bool | None  # None: not decided yet
    state: CaseState


def by_group(session: Session, *, held_out: bool | None = None) -> dict[Group, int]:
    """How many cases there are of each group that is not empty; only of held-out, or of other, participants."""
    return {
        Group(station, sequence, None if side == UNDECIDED else bool(side), state): int(count)
        for station, sequence, side, state, count in session.execute(_by_group(held_out))
    }


@cache
def _by_group(held_out: bool | None) -> Select[str, str, int, CaseState, int]:
    columns = CaseCount.station, CaseCount.sequence, CaseCount.held_out, CaseCount.state
    total = func.sum(CaseCount.cases)
    query = select(*columns, total).group_by(*columns).having(total != 0).order_by(*columns)
    return query if held_out is None else query.where(CaseCount.held_out == int(held_out))


def by_state(session: Session) -> Counter[CaseState]:
    """How many cases there are of each stored state."""
    return Counter({state: int(count) for state, count in session.execute(_by_state())})


@cache
def _by_state() -> Select[CaseState, int]:
    return select(CaseCount.state, func.sum(CaseCount.cases)).group_by(CaseCount.state)


def fold(session: Session) -> None:
    """Add up what the connections of PostgreSQL counted, each in its own slot; the rows of one at work are left out."""
    if session.get_bind().dialect.name != "postgresql":
        return
    if not session.scalar(select(func.pg_try_advisory_xact_lock(_FOLDING))):
        return
    columns = CaseCount.station, CaseCount.sequence, CaseCount.held_out, CaseCount.state
    rows = session.execute(
        select(CaseCount.slot, *columns, CaseCount.cases).where(CaseCount.slot != 0).with_for_update(skip_locked=True)
    ).all()
    sums: Counter[tuple[Any, ...]] = Counter()
    for slot, *group, count in rows:
        sums[tuple(group)] += count
        same = [column == value for column, value in zip(columns, group, strict=True)]
        session.execute(delete(CaseCount).where(CaseCount.slot == slot, *same))
    names = [column.key for column in columns]
    for summed, count in sums.items():
        added = postgresql.insert(CaseCount).values(slot=0, cases=count, **dict(zip(names, summed, strict=True)))
        session.execute(
            added.on_conflict_do_update(
                index_elements=["slot", *names], set_={"cases": CaseCount.cases + added.excluded.cases}
            )
        )


def recount(catalog: Catalog) -> None:
    """Count all cases anew, and judge anew what triggers keep at each; others cannot change cases meanwhile."""
    with catalog.begin() as session:
        if not catalog.is_sqlite:
            tables = "participants, acquisitions, annotations, round_cases, case_counts"
            session.execute(text(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE"))
        for column, value in _copies().values():
            changed = update(Acquisition).where(column.is_distinct_from(value)).values({column: value})
            session.execute(changed.execution_options(synchronize_session=False))
        session.execute(delete(CaseCount))
        session.flush()
        columns = ["slot", "station", "sequence", "held_out", "state", "cases"]
        session.execute(insert(CaseCount).from_select(columns, _counted()))


def find_differences(session: Session) -> list[str]:
    """Say where what is kept differs from what is counted: by group, and at how many cases; empty where nothing does."""
    kept: dict[Any, int] = {
        (station, sequence, held_out, state): count
        for (station, sequence, held_out, state), count in by_group(session).items()
    }
    counted = {
        (station, sequence, None if side == UNDECIDED else bool(side), CaseState(state)): count
        for _, station, sequence, side, state, count in session.execute(_counted())
    }
    found = [
        f"{station or 'unknown station'}, {sequence or 'unknown sequence'}, {state}: {kept.get(group, 0)} kept, "
        f"{counted.get(group, 0)} counted"
        for group in sorted({*kept, *counted}, key=str)
        if kept.get(group, 0) != counted.get(group, 0)
        for station, sequence, _, state in (group,)
    ]
    for what, (column, value) in _copies().items():
        wrong = select(func.count()).select_from(Acquisition).where(column.is_distinct_from(value))
        if count := session.scalars(wrong).one():
            found.append(f"{count} cases: {what}")
    return found


def _copies() -> dict[str, tuple[Any, Any]]:
    """What triggers keep at each case, each with what it follows from."""
    held_out = select(Participant.held_out).where(Participant.id == Acquisition.participant_id).scalar_subquery()
    drafted = exists().where(Presegmentation.acquisition_id == Acquisition.id)
    return {
        "the side of the participant": (Acquisition.held_out, held_out),
        "whether it counts towards the next round": (Acquisition.new_for_round, concepts.may_start_round()),
        "whether it has a draft": (Acquisition.has_draft, drafted),
    }


def _counted() -> Any:
    """The rows of the table as they are when the cases are read."""
    state = case(
        (~concepts.is_included(), literal_column("'excluded'")),
        (concepts.is_annotated(), literal_column("'annotated'")),
        (Acquisition.primary_examination_id.is_(None), literal_column("'no_image'")),
        else_=literal_column("'waiting'"),
    ).label("stored_state")
    side = case(
        (Acquisition.held_out.is_(None), literal_column(str(UNDECIDED))),
        (Acquisition.held_out == true(), literal_column("1")),
        else_=literal_column("0"),
    ).label("side")
    return select(literal_column("0"), Acquisition.station, Acquisition.sequence, side, state, func.count()).group_by(
        Acquisition.station, Acquisition.sequence, side, state
    )
