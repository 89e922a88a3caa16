"""Actions on many cases: what is assigned comes next, in order, and returns when nobody comes; priorities decide the order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries.upcoming import STRATEGIES
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Assignment, AuditEvent, Job
from mrseg_label.catalog.types import JobKind, Priority, Role
from mrseg_label.clock import now
from mrseg_label.config import load_settings
from mrseg_label.errors import Conflict, InvalidInput, NotFound
from mrseg_label.intake.exclusion import exclude, exclude_cases, include_cases
from mrseg_label.presegmentation.presegment_pending import upcoming_ids
from mrseg_label.worklist.many_cases import ask_for_second_readings, assign_cases, return_cases, set_priority
from mrseg_label.worklist.service import assign_next_case
from tests.integration.conftest import PASSWORD
from tests.support.worklist_cases import annotate, fill, make_queue, take

ADA, BOB = Reader.signed_in("ada", Role.RADIOLOGIST), Reader.signed_in("bob", Role.RADIOLOGIST)


@pytest.fixture
def queue(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    for workspace in make_queue(tmp_path, database_settings):
        fill(workspace.catalog, 6)
        yield workspace


def ids(workspace: OpenedWorkspace) -> list[str]:
    with workspace.catalog.read() as session:
        return [row.id for row in session.query(Acquisition).order_by(Acquisition.created_at, Acquisition.id)]


def test_assigned_cases_come_next_in_their_order_and_are_drafted_first(queue: OpenedWorkspace) -> None:
    wanted = ids(queue)[7:2:-1]
    done = assign_cases(queue.catalog, wanted, ADA, actor="root", days=3)
    assert done.changed == wanted and not done.left
    with queue.catalog.read() as session:
        ahead = upcoming_ids(session, load_settings(queue.root), queue.catalog.now(session), 8)
        assert ahead[:5] == wanted and len(set(ahead)) == 8
        assert session.query(Job).filter_by(kind=JobKind.PRESEGMENT_PENDING).count() == 1
        events = session.query(AuditEvent).filter_by(action="assigned", actor="root").all()
        assert [event.subject for event in events] == wanted and {event.detail["reader"] for event in events} == {"ada"}
    assert take(queue, user="bob").acquisition_id not in wanted, "others get none of them"
    found = [assign_next_case(queue, ADA, "balanced") for _ in wanted]
    assert [case and case.acquisition_id for case in found] == wanted, "none returns because many are open"
    assert found[0] is not None and found[0].reason == "root assigned it to this reader"
    again = assign_cases(queue.catalog, [wanted[0]], BOB, actor="root")
    assert again.left == {"another reader has it": [wanted[0]]} and not again.changed
    with pytest.raises(InvalidInput, match="1 to 90 days"):
        assign_cases(queue.catalog, wanted, ADA, actor="root", days=91)


def test_what_nobody_opens_returns_when_its_time_is_over_or_the_account_is_disabled(queue: OpenedWorkspace) -> None:
    accounts.add(queue.catalog, "ada", Role.RADIOLOGIST, password=PASSWORD, actor="test")
    first, second = ids(queue)[:2]
    assign_cases(queue.catalog, [first], ADA, actor="root", days=1)
    assign_cases(queue.catalog, [second], ADA, actor="root", days=5)
    with queue.catalog.begin() as session:
        moment = now() + timedelta(days=2)
        assert [row.is_open(moment) for row in session.query(Assignment).order_by(Assignment.expires_at)] == [
            False,
            True,
        ]
        session.query(Assignment).filter_by(acquisition_id=first).one().expires_at = now() - timedelta(seconds=1)
    assert assign_cases(queue.catalog, [first], BOB, actor="root").changed == [first], "it is free again"
    accounts.disable(queue.catalog, "ada", actor="root")
    assert assign_cases(queue.catalog, [second], BOB, actor="root").changed == [second]
    with pytest.raises(Conflict, match="disabled"):
        accounts.reader_of(queue.catalog, "ada")
    with pytest.raises(NotFound):
        accounts.reader_of(queue.catalog, "nobody")


def test_a_case_is_kept_for_its_days_also_after_it_was_opened(queue: OpenedWorkspace) -> None:
    wanted = ids(queue)[3]
    assign_cases(queue.catalog, [wanted], ADA, actor="root", days=5)
    case = assign_next_case(queue, ADA, "balanced")
    assert case is not None and case.expires_at > now() + timedelta(days=4)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_priority_comes_before_every_strategy(queue: OpenedWorkspace, strategy: str) -> None:
    every = ids(queue)
    high, low = every[5:8], every[:3]
    assert set_priority(queue.catalog, high, Priority.HIGH, actor="root").changed == high
    assert set_priority(queue.catalog, low, Priority.LOW, actor="root").changed == low
    left = set_priority(queue.catalog, high, Priority.HIGH, actor="root").left
    assert left == {"its priority is high already": high}
    cases = [take(queue, strategy, client=f"reader {number}") for number in range(len(every))]
    order = [case.acquisition_id for case in cases]
    assert set(order[:3]) == set(high) and set(order[-3:]) == set(low) and len(set(order)) == len(every)
    assert cases[0].reason.startswith("high priority") and cases[-1].reason.startswith("low priority")


def test_second_readings_are_of_annotated_cases_by_others(queue: OpenedWorkspace) -> None:
    case = take(queue, user="bob", client="bob")
    annotate(queue.catalog, case)
    waiting = next(one for one in ids(queue) if one != case.acquisition_id)
    done = ask_for_second_readings(queue.catalog, [case.acquisition_id, waiting, "aq-0"], ADA, actor="root")
    assert done.changed == [case.acquisition_id]
    assert done.left == {"it is not annotated yet": [waiting], "there is no such case": ["aq-0"]}
    reading = assign_next_case(queue, ADA, "balanced")
    assert reading is not None and reading.acquisition_id == case.acquisition_id and reading.annotation_id is None
    assert ask_for_second_readings(queue.catalog, [case.acquisition_id], BOB, actor="root").left
    returned = return_cases(queue.catalog, [case.acquisition_id, waiting], actor="root")
    assert returned.changed == [case.acquisition_id] and returned.left == {"nobody has it": [waiting]}


def test_exclusions_of_many_cases_leave_what_is_excluded_with_its_participant(queue: OpenedWorkspace) -> None:
    exclude(queue.catalog, "P00", reason="consent withdrawn", actor="root")
    every = ids(queue)
    with queue.catalog.read() as session:
        gone = [one for one in every if session.get_one(Acquisition, one).excluded_at]
    rest = [one for one in every if one not in gone]
    with pytest.raises(InvalidInput):
        exclude_cases(queue.catalog, every, reason=" ", actor="root")
    done = exclude_cases(queue.catalog, [*every, *every], reason="motion", actor="root")
    assert done.changed == rest and done.left == {"it is excluded already": gone}
    back = include_cases(queue.catalog, every, actor="root")
    assert back.changed == rest and list(back.left.values()) == [gone]
    assert assign_cases(queue.catalog, gone, ADA, actor="root").left == {"it is excluded": gone}
