"""A requested case is reserved for its reader and comes with the next request for a case."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Assignment
from mrseg_label.catalog.types import Role
from mrseg_label.clock import now
from mrseg_label.errors import Conflict, Forbidden, NotFound
from mrseg_label.intake.exclusion import exclude
from mrseg_label.worklist.assignments import MAX_OPEN_CASES
from mrseg_label.worklist.requests import Purpose, request_case
from mrseg_label.worklist.service import assign_next_case
from tests.support.worklist_cases import annotate, fill, make_queue, take, take_several

ADA, BOB = (Reader("c", name, Role.RADIOLOGIST) for name in ("ada", "bob"))


@pytest.fixture
def opened(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    yield from make_queue(tmp_path, database_settings)


def test_unknown_and_unusable_cases_cannot_be_requested(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 1, ("abdomen",))
    case = take(opened)
    for purpose in Purpose:
        with pytest.raises(NotFound, match="there is no acquisition 'aq-none'"):
            request_case(opened, Reader(), purpose, "aq-none")
    exclude(opened.catalog, case.acquisition_id, reason="motion", actor="admin")
    for purpose in Purpose:
        with pytest.raises(Conflict, match="marked unusable by admin: motion"):
            request_case(opened, Reader(), purpose, case.acquisition_id)


def test_case_that_was_excluded_since_its_request_is_not_assigned(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 2, ("abdomen",))
    case = take(opened)
    request_case(opened, Reader(), Purpose.CORRECT, case.acquisition_id)
    exclude(opened.catalog, case.acquisition_id, reason="motion", actor="admin")
    other = take(opened)
    assert other.acquisition_id != case.acquisition_id


def test_radiologist_requests_only_own_cases_again(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 1, ("abdomen",))
    case = take(opened, client="c", user="ada")
    with pytest.raises(Forbidden, match="not annotated this case"):
        request_case(opened, BOB, Purpose.CORRECT, case.acquisition_id)
    assert request_case(opened, ADA, Purpose.CORRECT, case.acquisition_id).ticket == case.ticket
    with opened.catalog.begin() as session:
        session.query(Assignment).one().expires_at = now() - timedelta(seconds=1)
    with pytest.raises(Forbidden, match="not annotated this case"):
        request_case(opened, ADA, Purpose.CORRECT, case.acquisition_id)


def test_requested_case_comes_once_and_before_all_others(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 3, ("abdomen",))
    with opened.catalog.read() as session:
        last = [row.id for row in session.query(Acquisition).order_by(Acquisition.created_at)][-1]
    requested = request_case(opened, Reader(), Purpose.CORRECT, last)
    assert take(opened, "sequential").ticket == requested.ticket
    assert take(opened, "sequential").acquisition_id != last


def test_request_returns_the_oldest_of_too_many_cases(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 5, ("abdomen",))
    cases = take_several(opened, MAX_OPEN_CASES, client="c")
    # The requested case is one of them, and no other has to go.
    request_case(opened, ADA, Purpose.CORRECT, cases[0].acquisition_id)
    assert open_cases(opened) == {case.acquisition_id for case in cases}
    with opened.catalog.read() as session:
        others = {row.id for row in session.query(Acquisition)} - open_cases(opened)
    requested = request_case(opened, Reader.signed_in("ada"), Purpose.CORRECT, min(others))
    assert open_cases(opened) == {case.acquisition_id for case in cases[1:]} | {requested.acquisition_id}


def test_nothing_to_request(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 1, ("abdomen",))
    case = take(opened)
    with pytest.raises(NotFound, match="no annotated case is available"):
        request_case(opened, Reader(), Purpose.SECOND_READ)
    with pytest.raises(NotFound, match="not available for a second reading by you: it is not annotated"):
        request_case(opened, Reader(), Purpose.SECOND_READ, case.acquisition_id)
    with pytest.raises(NotFound, match="no case is awaiting your review"):
        request_case(opened, Reader(), Purpose.REVIEW)
    annotate(opened.catalog, case)
    with pytest.raises(NotFound, match="not awaiting your review"):
        request_case(opened, Reader(), Purpose.REVIEW, case.acquisition_id)
    assert assign_next_case(opened, Reader(), "balanced") is None
    with opened.catalog.read() as session:
        assert acquisitions.totals(session) == (1, 1)


def open_cases(opened: OpenedWorkspace) -> set[str]:
    """Ids of the acquisitions that are assigned now."""
    with opened.catalog.read() as session:
        return {row.acquisition_id for row in session.query(Assignment) if row.is_open(now())}
