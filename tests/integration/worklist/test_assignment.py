"""Every case is assigned to one reader at a time; assignments end by submission, return or time."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.queries import assignments as rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Assignment
from mrseg_label.catalog.types import AssignmentOutcome, Role
from mrseg_label.clock import now
from mrseg_label.errors import Conflict, Forbidden, NotFound
from mrseg_label.worklist import service
from mrseg_label.worklist.assignments import AssignedCase
from mrseg_label.worklist.requests import Purpose, request_case
from mrseg_label.worklist.service import assign_next_case
from tests.support.worklist_cases import annotate, fill, make_queue, take, take_several


@pytest.fixture
def opened(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    yield from make_queue(tmp_path, database_settings)


def test_same_client_name_gets_different_cases_until_all_are_assigned(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 2)
    cases = [take(opened) for _ in range(4)]
    assert len({case.acquisition_id for case in cases}) == len({case.ticket for case in cases}) == 4
    assert len({case.file_name for case in cases}) == 4 and cases[0].file_name.endswith(".nii.gz")
    with pytest.raises(Conflict, match=r"until \d{4}-\d\d-\d\dT"):
        take(opened)
    for case in cases:
        annotate(opened.catalog, case)
    assert assign_next_case(opened, Reader("user-xyz"), "balanced") is None


def test_assignment_ends_by_time(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 1, ("abdomen",))
    first = take(opened)
    assert timedelta(hours=23.9) < first.expires_at - now() < timedelta(hours=24.1)
    with opened.catalog.begin() as session:
        session.query(Assignment).one().expires_at = now() - timedelta(seconds=1)
    second = take(opened, client="other")
    assert second.acquisition_id == first.acquisition_id and second.ticket != first.ticket
    with opened.catalog.read() as session:
        assert session.query(Assignment).filter_by(ticket=first.ticket).one().outcome is AssignmentOutcome.EXPIRED


def test_returned_case_is_assigned_again_and_only_its_reader_can_return_it(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 1, ("abdomen",))
    case = take(opened, client="a")
    with pytest.raises(Conflict, match="not assigned to b"):
        service.return_to_queue(opened.catalog, Reader("b"), case.acquisition_id)
    service.return_to_queue(opened.catalog, Reader("a"), case.acquisition_id)
    assert take(opened, client="b").acquisition_id == case.acquisition_id


def test_simultaneous_requests_get_different_cases(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 10)
    cases: list[AssignedCase] = []
    threads = [threading.Thread(target=lambda: cases.append(take(opened))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({case.acquisition_id for case in cases}) == 20


_TAKER = """
import sys
from pathlib import Path
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.worklist.service import assign_next_case
workspace = open_workspace(Path(sys.argv[1]))
for _ in range(10):
    print(assign_next_case(workspace, Reader(), "balanced").acquisition_id)
"""


def test_several_processes_on_one_database_assign_different_cases(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 10)
    command = [sys.executable, "-c", _TAKER, str(opened.root)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    taken = [line for process in processes for line in process.communicate()[0].split()]
    assert len(taken) == len(set(taken)) == 20


def test_signed_in_reader_has_three_cases_at_most(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 4, ("abdomen",))
    cases = take_several(opened, 4)
    assert len({case.acquisition_id for case in cases}) == 4
    with opened.catalog.read() as session:
        held = [
            assignment.ticket
            for assignment in session.query(Assignment)
            .filter(Assignment.ended_at.is_(None))
            .order_by(Assignment.created_at)
        ]
        assert session.query(Assignment).filter_by(ticket=cases[0].ticket).one().outcome is AssignmentOutcome.RETURNED
    assert held == [case.ticket for case in cases[1:]]


def test_unusable_case_leaves_queue_and_count(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 1)
    case = take(opened)
    service.mark_unusable(opened.catalog, Reader("ada"), case.acquisition_id, "wrapped")
    with pytest.raises(Conflict, match="ada: wrapped"):
        service.mark_unusable(opened.catalog, Reader("bob"), case.acquisition_id, "again")
    other = take(opened)
    assert other.acquisition_id != case.acquisition_id
    with opened.catalog.read() as session:
        assert acquisitions.totals(session) == (1, 0)
        assert [one.examination.id for one in rows.open_examinations(session, None, now())] == [other.examination_id]


def test_case_that_a_signed_in_reader_returned_comes_after_all_others(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 3, ("abdomen",))
    first = take(opened, user="ada")
    service.return_to_queue(opened.catalog, Reader.signed_in("ada"), first.acquisition_id)
    others = take_several(opened, 2)
    assert first.acquisition_id not in {case.acquisition_id for case in others}
    assert take(opened, user="ada") == others[1]
    assert take(opened, user="ada").acquisition_id == first.acquisition_id


def test_expired_assignment_gives_no_rights_even_before_it_is_ended(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 1, ("abdomen",))
    reader = Reader("c", "ada", Role.RADIOLOGIST)
    case = take(opened, client="c", user="ada")
    with opened.catalog.begin() as session:
        session.query(Assignment).one().expires_at = now() - timedelta(seconds=1)
    with pytest.raises(Conflict, match="not assigned to ada"):
        service.return_to_queue(opened.catalog, reader, case.acquisition_id)
    with pytest.raises(Forbidden, match="not assigned to you"):
        service.mark_unusable(opened.catalog, reader, case.acquisition_id, "motion")
    assert service.mask_to_start_from(opened.catalog, reader, case.acquisition_id) is None
    with opened.catalog.read() as session:
        assert rows.open_examinations(session, "ada", now()) == []


def test_radiologist_marks_only_assigned_cases_that_no_other_annotated(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 2, ("abdomen",))
    ada, bob = (Reader("c", name, Role.RADIOLOGIST) for name in ("ada", "bob"))
    case = take(opened, user="ada")
    with pytest.raises(Forbidden, match="not assigned to you"):
        service.mark_unusable(opened.catalog, bob, case.acquisition_id, "motion")
    annotate(opened.catalog, case)  # by "reader"
    request_case(opened, Reader.signed_in("ada"), Purpose.CORRECT, case.acquisition_id)
    with pytest.raises(Forbidden, match="another reader has annotated"):
        service.mark_unusable(opened.catalog, ada, case.acquisition_id, "motion")
    with pytest.raises(NotFound, match="there is no acquisition 'aq-none'"):
        service.mark_unusable(opened.catalog, ada, "aq-none", "motion")
    service.mark_unusable(opened.catalog, Reader("c", "eve", Role.REVIEWER), case.acquisition_id, "motion")
    other = take(opened, user="bob")
    service.mark_unusable(opened.catalog, bob, other.acquisition_id, "motion")
    assert assign_next_case(opened, bob, "balanced") is None
