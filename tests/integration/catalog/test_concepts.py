"""Assignment, progress and pre-segmentation ahead agree about the cases, whatever state these are in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, concepts, order_numbers, presegmentations, uncertain
from mrseg_label.catalog.queries.upcoming import STRATEGIES, Order, first_upcoming
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import (
    BOOTSTRAP,
    Acquisition,
    Assignment,
    AuditEvent,
)
from mrseg_label.catalog.types import Priority
from mrseg_label.errors import Conflict
from mrseg_label.reports.progress import read_progress
from mrseg_label.worklist.service import assign_next_case
from tests.support.case_states import (
    ANNOTATED,
    ASSIGNED,
    BEING_ANNOTATED,
    EXCLUDED,
    NEW,
    REVIEW,
    WAITING,
    Cases,
    make_cases,
    names_in,
    with_review,
)

RESERVED = {"rejected"}  # for their authors
NOBODY = Reader("new reader")  # who has never had a case


@pytest.fixture
def cases(tmp_path: Path, database_settings: str) -> Iterator[Cases]:
    yield from make_cases(tmp_path, database_settings)


def drained(workspace: OpenedWorkspace, reader: Reader, strategy: str) -> list[str]:
    """Ids of the acquisitions that requests by a reader get one after the other, which are then as before."""
    found = []
    try:
        while (case := assign_next_case(workspace, reader, strategy)) is not None:
            found.append(case.acquisition_id)
    except Conflict:  # the rest is assigned to others
        pass
    with workspace.catalog.begin() as session:
        session.execute(delete(Assignment).where(Assignment.client == reader.client))
        session.execute(delete(AuditEvent).where(AuditEvent.actor == reader.name))
    return list(dict.fromkeys(found))  # each comes back once


def test_every_part_sees_the_same_cases(cases: Cases) -> None:
    catalog = cases.workspace.catalog
    with catalog.read() as session:
        moment = catalog.now(session)
        conditions = {
            WAITING: concepts.is_waiting(moment),
            ANNOTATED: concepts.is_included() & concepts.is_annotated(),
            NEW: concepts.is_new_for_round(),
            BEING_ANNOTATED: concepts.is_included() & concepts.is_being_annotated(moment),
            ASSIGNED: concepts.is_included() & concepts.is_assigned(moment),
            REVIEW: concepts.is_included() & concepts.is_awaiting_review(),
            EXCLUDED: ~concepts.is_included(),
        }
        for state, condition in conditions.items():
            found = session.scalars(select(Acquisition.id).where(condition)).all()
            assert cases.named(found) == sorted(names_in(state)), state
        # Each usable case is in exactly one of three states.
        usable = session.scalars(select(func.count()).select_from(Acquisition).where(concepts.is_usable())).one()
        assert usable == sum(len(names_in(state)) for state in (WAITING, ANNOTATED, BEING_ANNOTATED))
        # The condition on rows is that on objects.
        is_open = select(Assignment.id).where(concepts.is_open(Assignment, moment))
        assert set(session.scalars(is_open)) == {a.id for a in session.scalars(select(Assignment)) if a.is_open(moment)}

        # Pre-segmentation ahead.
        for strategy in STRATEGIES:
            ahead = [case.acquisition_id for case in first_upcoming(session, moment, [Order(strategy, 50)], 1000)]
            assert cases.named(ahead) == sorted(names_in(WAITING)), strategy
        # The numbers that the order depends on, of each priority and side.
        numbers = order_numbers.read(session, moment, of_groups=True)
        assert numbers.begun.total() == len(names_in(ANNOTATED)) + len(names_in(BEING_ANNOTATED))
        assert numbers.begun_in_batches.total() == len(names_in(NEW)) + len(names_in(BEING_ANNOTATED))
        group = select(Acquisition.station, Acquisition.sequence).where(concepts.is_waiting(moment)).distinct()
        plain = order_numbers.read(session, moment, of_groups=False)
        for priority in Priority:
            for held_out in (True, False):
                wanted = group.where(concepts.has_priority(priority), concepts.is_held_out(held_out))
                groups = [tuple(row) for row in session.execute(wanted)]
                assert sorted(numbers.groups_waiting(priority, held_out)) == sorted(groups)
            if priority is not Priority.NORMAL:
                assert numbers.has_waiting(priority) == plain.has_waiting(priority)
        without = presegmentations.lacking(session, ahead, BOOTSTRAP)
        assert cases.named(without) == sorted(names_in(WAITING) - {"presegmented"})
        assert cases.named(uncertain.ranking(session, moment)) == sorted(names_in(WAITING))

        counts = acquisitions.counts(session, moment)
        new = acquisitions.annotated_since_round(session)
    # Progress, and what starts a round.
    progress = read_progress(cases.workspace)
    expected = {state: len(names_in(state)) for state in conditions}
    assert (counts.waiting, progress.waiting) == (expected[WAITING],) * 2
    assert (counts.assigned, progress.assigned) == (expected[ASSIGNED],) * 2
    assert (counts.awaiting_review, progress.awaiting_review) == (expected[REVIEW],) * 2
    assert (counts.annotated_total, progress.annotated_total) == (expected[ANNOTATED],) * 2
    assert (new, progress.annotated_since_round) == (expected[NEW],) * 2
    assert (counts.excluded, progress.excluded) == (expected[EXCLUDED],) * 2
    assert counts.being_annotated == expected[BEING_ANNOTATED]

    # Assignment: a new reader gets every waiting case that is not reserved for its author, who gets that one.
    for strategy in STRATEGIES:
        found = drained(cases.workspace, NOBODY, strategy)
        assert cases.named(found) == sorted(names_in(WAITING) - RESERVED), strategy
    for name in ("rejected", "rejected_long_ago"):
        first = assign_next_case(cases.workspace, Reader(f"reader of: {name}"), "random")
        assert first is not None and cases.names[first.acquisition_id] == name and first.annotation_id
    # Reviewing: whoever has nothing left to annotate reviews what awaits it and nobody reviews now.
    found = drained(with_review(cases.workspace), NOBODY, "sequential")
    to_review = names_in(REVIEW) - {"under_review"}
    assert set(cases.named(found)) - names_in(WAITING) == to_review
