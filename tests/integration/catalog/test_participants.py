"""A fifth of the participants are held out, and decisions are final."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import participants
from mrseg_label.catalog.tables import (
    Participant,
)
from tests.support.catalog_rows import add_participant
from tests.support.worklist_cases import make_queue


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    yield from make_queue(tmp_path)


@pytest.mark.parametrize(("count", "held"), [(0, 0), (1, 0), (2, 1), (3, 2), (10, 2), (11, 3), (24, 5)])
def test_a_fifth_is_held_out_but_two_at_least_and_never_all(opened: OpenedWorkspace, count: int, held: int) -> None:
    with opened.catalog.begin() as session:
        for index in range(count):
            add_participant(session, f"P{index}")
        participants.decide_held_out(session)
        assert session.query(Participant).filter_by(held_out=True).count() == held
        assert session.query(Participant).filter(Participant.held_out.is_(None)).count() == 0


def test_decision_who_is_held_out_stays_when_more_come(opened: OpenedWorkspace) -> None:
    with opened.catalog.begin() as session:
        for index in range(10):
            add_participant(session, f"P{index}")
        participants.decide_held_out(session)
        before = {p.code: p.held_out for p in session.query(Participant)}
        for index in range(10, 20):
            add_participant(session, f"P{index}")
        participants.decide_held_out(session)
        after = {p.code: p.held_out for p in session.query(Participant)}
    assert {code: after[code] for code in before} == before
    assert sum(bool(held) for held in after.values()) == 4


def test_numbers_of_those_who_join_the_training_stay_when_more_come(opened: OpenedWorkspace) -> None:
    with opened.catalog.begin() as session:
        people = [add_participant(session, f"P{index}") for index in range(12)]
        participants.decide_fold_positions(session, [people[index] for index in (3, 5, 7, 3)])
        first = {p.code: p.fold_position for p in people}
        assert sorted(first[f"P{index}"] for index in (3, 5, 7)) == [0, 1, 2]  # type: ignore[type-var]
        assert sum(number is None for number in first.values()) == 9
        participants.decide_fold_positions(session, people)
        after = {p.code: p.fold_position for p in people}
    assert {code: after[code] for code, number in first.items() if number is not None} == {
        code: number for code, number in first.items() if number is not None
    }
    assert sorted(number for number in after.values() if number is not None) == list(range(12))
