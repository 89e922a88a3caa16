"""A reader whose Slicer crashed gets the case back that was open, and can leave it for later."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Assignment
from mrseg_label.catalog.types import Role
from mrseg_label.clock import now
from mrseg_label.errors import Conflict
from mrseg_label.intake.exclusion import exclude
from mrseg_label.worklist import service
from mrseg_label.worklist.assignments import AssignedCase
from mrseg_label.worklist.requests import Purpose, request_case
from mrseg_label.worklist.service import assign_next_case
from tests.support.worklist_cases import annotate, fill, make_queue, take

ADA = Reader("user-xyz", "ada", Role.RADIOLOGIST)
ROOM = Reader("room 3")  # a name of its own in Slicer's settings, without sign-in
ANYBODY = Reader()


@pytest.fixture
def opened(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    yield from make_queue(tmp_path, database_settings)


def ask(opened: OpenedWorkspace, reader: Reader) -> AssignedCase | None:
    return assign_next_case(opened, reader, "sequential")


def refusal(opened: OpenedWorkspace, reader: Reader) -> str:
    with pytest.raises(Conflict) as caught:
        ask(opened, reader)
    return str(caught.value)


@pytest.mark.parametrize("reader", [ADA, ROOM], ids=["account", "name"])
def test_open_case_comes_back_first_and_the_next_request_gets_another(opened: OpenedWorkspace, reader: Reader) -> None:
    fill(opened.catalog, 2, ("abdomen",))
    first = ask(opened, reader)
    assert first is not None
    assert ask(opened, reader) == first  # the same ticket: Slicer downloads the image once more
    second = ask(opened, reader)
    assert second is not None and second.acquisition_id != first.acquisition_id
    assert ask(opened, reader) == second
    # All that is left is hers, and the message says so; another request opens them again.
    said = refusal(opened, reader)
    assert "2 cases are open for you" in said and "other readers" not in said
    assert said.index(first.examination_id) < said.index(second.examination_id)
    assert f"cases return EXAMINATION --reader {reader.name}" in said and "Ask for the next case again" in said
    assert [ask(opened, reader) for _ in range(2)] == [first, second]
    assert "2 cases are open for you" in refusal(opened, reader)
    assert "assigned to other readers" in refusal(opened, Reader("c", "bob", Role.RADIOLOGIST))
    # What she submits does not come back.
    annotate(opened.catalog, first)
    assert ask(opened, reader) == second
    assert "1 case is open for you" in refusal(opened, reader)
    annotate(opened.catalog, second)
    assert ask(opened, reader) is None


def test_readers_do_not_get_each_others_open_cases(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 3, ("abdomen",))
    cases = [ask(opened, reader) for reader in (ADA, ROOM, Reader("c", "room 3"))]
    assert len({case.acquisition_id for case in cases if case}) == 3
    assert [ask(opened, reader) for reader in (ADA, ROOM, Reader("c", "room 3"))] == cases


def test_name_that_every_slicer_has_says_how_to_get_a_case_back(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 5, ("abdomen",))
    cases = [take(opened) for _ in range(4)]
    assert len({case.acquisition_id for case in cases}) == 4
    other = ask(opened, ROOM)
    said = refusal(opened, ANYBODY)
    assert "4 cases are open under the name 'user-xyz'" in said and "other readers" not in said
    assert f"{', '.join(case.examination_id for case in cases[:3])} and 1 more" in said
    assert "cases return EXAMINATION --reader user-xyz" in said and "Client/User-Id" in said
    assert other is not None and other.examination_id not in said
    service.return_to_queue(opened.catalog, ANYBODY, cases[1].acquisition_id)
    again = ask(opened, ANYBODY)
    assert again is not None and again.acquisition_id == cases[1].acquisition_id
    for case in [*cases, other]:
        annotate(opened.catalog, again if case is cases[1] else case)
    assert ask(opened, ANYBODY) is None


def test_no_open_case_comes_back_once_it_is_over(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 4, ("abdomen",))
    first = ask(opened, ADA)
    assert first is not None
    with opened.catalog.begin() as session:
        session.query(Assignment).one().expires_at = now() - timedelta(seconds=1)
    second = ask(opened, ADA)
    assert second is not None and second.acquisition_id != first.acquisition_id
    exclude(opened.catalog, second.acquisition_id, reason="motion", actor="admin")
    third = ask(opened, ADA)
    assert third is not None and third.acquisition_id not in (first.acquisition_id, second.acquisition_id)
    service.return_to_queue(opened.catalog, ADA, third.acquisition_id)
    fourth = ask(opened, ADA)
    assert fourth is not None and fourth.acquisition_id != third.acquisition_id


def test_second_reading_comes_back_as_one_and_what_was_requested_comes_before(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 2, ("abdomen",))
    annotated = take(opened)
    annotate(opened.catalog, annotated)
    reading = request_case(opened, ADA, Purpose.SECOND_READ)
    assert ask(opened, ADA) == reading == ask(opened, ADA)
    other = ask(opened, ADA)
    assert other is not None
    request_case(opened, ADA, Purpose.CORRECT, other.acquisition_id)
    assert ask(opened, ADA) == other
    with opened.catalog.read() as session:
        found = session.query(Assignment).filter_by(acquisition_id=annotated.acquisition_id, account="ada").one()
        assert found.second_reading and found.ended_at is None


def test_case_is_returned_only_when_a_fourth_is_found(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 3, ("abdomen",))
    cases = [ask(opened, ADA) for _ in range(6)][::2]
    assert "3 cases are open for you" in refusal(opened, ADA)
    assert [ask(opened, ADA) for _ in range(3)] == cases  # under the same tickets
