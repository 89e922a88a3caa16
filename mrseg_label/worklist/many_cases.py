"""What an administrator does with many cases at once: assign them, ask for second readings, return them, put them first.

A case that is assigned to a reader is what the reader gets next, in the order of the assignments, before any case of the
queue. It waits for the reader for some days; then, or when the account is disabled, it returns to the queue.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.many_cases import CasesChanged, Change, change_cases
from mrseg_label.catalog.queries import acquisitions, audit
from mrseg_label.catalog.queries import assignments as rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition
from mrseg_label.catalog.types import Priority
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.jobs import queue
from mrseg_label.worklist import reasons
from mrseg_label.worklist.assignments import Assigner
from mrseg_label.worklist.requests import mask_to_correct

DAYS, MOST_DAYS = 7, 90  # that an assigned case waits for its reader


def assign_cases(
    catalog: Catalog, acquisition_ids: Sequence[str], reader: Reader, *, actor: str, days: int = DAYS
) -> CasesChanged:
    """Assign cases to a reader, who gets them next, in this order.

    An annotated case is assigned with its mask, to be corrected.

    Raises
    ------
    InvalidInput
        The number of days is out of range.
    """
    duration, places = _duration(days), itertools.count()

    def change(session: Session, case: Acquisition, moment: datetime) -> str | None:
        if (unusable := _unusable(case)) is not None:
            return unusable
        present = rows.open_of(session, case.id, moment)
        if present is not None:
            return "this reader has it already" if rows.belongs_to(present, reader) else "another reader has it"
        try:
            base = mask_to_correct(session, case.id, reader)
        except Conflict:
            return "an annotation of it awaits review"
        # One after the other, since a reader gets what was assigned first.
        Assigner(session, moment + timedelta(microseconds=next(places)), reader, duration).assign(
            case.id, base=base, requested=True, reason=reasons.ASSIGNED_BY.format(actor), assigned_by=actor
        )
        return None

    return _change_order(catalog, acquisition_ids, change)


def ask_for_second_readings(
    catalog: Catalog, acquisition_ids: Sequence[str], reader: Reader, *, actor: str, days: int = DAYS
) -> CasesChanged:
    """Assign annotated cases to a reader for a second reading, which starts from the draft. Raises as :func:`assign_cases`."""
    duration, places = _duration(days), itertools.count()

    def change(session: Session, case: Acquisition, moment: datetime) -> str | None:
        if (unusable := _unusable(case)) is not None:
            return unusable
        if case.annotated_at is None:
            return "it is not annotated yet"
        if acquisitions.for_second_reading(session, moment, reader, case.id) is None:
            return "this reader annotated it, or somebody reads it a second time or reviews it now"
        # One after the other, since a reader gets what was assigned first.
        Assigner(session, moment + timedelta(microseconds=next(places)), reader, duration).assign(
            case.id,
            second_reading=True,
            requested=True,
            reason=f"{reasons.SECOND_READING} by {actor}",
            assigned_by=actor,
        )
        return None

    return _change_order(catalog, acquisition_ids, change)


def return_cases(catalog: Catalog, acquisition_ids: Sequence[str], *, actor: str) -> CasesChanged:
    """Return cases to the queue, whoever has them, second readings and reviews included."""

    def change(session: Session, case: Acquisition, moment: datetime) -> str | None:
        readers = rows.readers_of(session, case.id, moment)
        if not readers:
            return "nobody has it"
        rows.return_all_of_case(session, case.id, moment)
        audit.record(session, actor, "returned", case.id, readers=readers)
        return None

    return change_cases(catalog, acquisition_ids, change)


def set_priority(catalog: Catalog, acquisition_ids: Sequence[str], priority: Priority, *, actor: str) -> CasesChanged:
    """Set the priority of cases: waiting ones of a higher priority are drafted and assigned before all others."""

    def change(session: Session, case: Acquisition, _moment: datetime) -> str | None:
        if case.priority is priority:
            return f"its priority is {priority} already"
        audit.record(session, actor, "priority", case.id, before=case.priority, after=priority)
        case.priority = priority
        return None

    return _change_order(catalog, acquisition_ids, change)


def _change_order(catalog: Catalog, acquisition_ids: Sequence[str], change: Change) -> CasesChanged:
    """Change what readers get next, and have the drafts of it made."""
    with catalog.begin() as session:
        rows.expire(session, catalog.now(session))
    done = change_cases(catalog, acquisition_ids, change)
    if done.changed:
        with catalog.begin() as session:
            queue.enqueue(session, queue.PRESEGMENT_PENDING, {}, key=queue.PRESEGMENT_PENDING)
    return done


def _duration(days: int) -> timedelta:
    if not 1 <= days <= MOST_DAYS:
        raise InvalidInput(f"a case can wait for its reader for 1 to {MOST_DAYS} days, not {days}")
    return timedelta(days=days)


def _unusable(case: Acquisition) -> str | None:
    if case.excluded_at is not None:
        return "it is excluded"
    return None if case.primary_examination_id is not None else "it has no image to open"
