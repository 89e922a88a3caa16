"""Every case is assigned to one reader at a time, in the order that the strategy promises."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import acquisitions, participants
from mrseg_label.catalog.queries import assignments as rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import (
    Acquisition,
    Alias,
    Annotation,
    Assignment,
    Examination,
    ModelVersion,
    Participant,
    Presegmentation,
)
from mrseg_label.catalog.types import IMPORT_AUTHOR, AssignmentOutcome, CaseRole, ModelStatus, Role
from mrseg_label.clock import now
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, NotFound
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.worklist import service
from mrseg_label.worklist.assignments import AssignedCase
from mrseg_label.worklist.resolving import account_of_ticket, resolve_image
from mrseg_label.worklist.service import assign_next_case
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import add_acquisition, add_annotation, add_participant, add_round


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws", settings_text='AUTH = "off"\nROUND_SIZE = 8\n')
    workspace = open_workspace(tmp_path / "ws")
    yield workspace
    workspace.catalog.close()


def fill(catalog: Catalog, count: int, stations: tuple[str, ...] = ("abdomen", "pelvis")) -> None:
    with catalog.begin() as session:
        for index in range(count):
            participant = add_participant(session, f"P{index:02d}")
            for station in stations:
                add_acquisition(session, participant, station=station).shuffle = (index * 7 % 24) / 24


def take(
    opened: OpenedWorkspace, strategy: str = "balanced", client: str = "user-xyz", user: str | None = None
) -> AssignedCase:
    case = assign_next_case(opened, Reader(client, user), strategy)
    assert case is not None
    return case


def annotate(catalog: Catalog, case: AssignedCase) -> None:
    with catalog.begin() as session:
        acquisition = session.get(Acquisition, case.acquisition_id)
        assert acquisition is not None
        add_annotation(session, acquisition)
        assignment = session.query(Assignment).filter_by(ticket=case.ticket).one()
        assignment.ended_at, assignment.outcome = now(), AssignmentOutcome.SUBMITTED


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


def test_balanced_is_an_equal_mix_with_two_held_out_cases_first(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 12)
    cases = [take(opened) for _ in range(8)]
    with opened.catalog.read() as session:
        rows = [session.get_one(Acquisition, case.acquisition_id) for case in cases]
        assert Counter(row.station for row in rows) == {"abdomen": 4, "pelvis": 4}
        assert [row.participant.held_out for row in rows] == [True, True] + [False] * 6
        assert Counter(row.station for row in rows[:2]) == {"abdomen": 1, "pelvis": 1}


def test_each_batch_begins_with_held_out_cases_again(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 12)
    for case in [take(opened) for _ in range(8)]:
        annotate(opened.catalog, case)
    with opened.catalog.begin() as session:
        add_round(session, 1, [(annotation, CaseRole.TRAINING) for annotation in session.query(Annotation)])
    cases = [take(opened) for _ in range(8)]
    with opened.catalog.read() as session:
        rows = [session.get_one(Acquisition, case.acquisition_id) for case in cases]
        assert [row.participant.held_out for row in rows] == [True, True] + [False] * 6


def test_imported_masks_of_held_out_participants_do_not_count_in_a_batch(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 12)
    for case in [take(opened) for _ in range(2)]:
        annotate(opened.catalog, case)
    with opened.catalog.begin() as session:
        assert all(
            session.get_one(Acquisition, row.acquisition_id).participant.held_out for row in session.query(Annotation)
        )
        for row in session.query(Annotation):
            row.author = row.client = IMPORT_AUTHOR
    cases = [take(opened) for _ in range(3)]
    with opened.catalog.read() as session:
        rows = [session.get_one(Acquisition, case.acquisition_id) for case in cases]
        assert [row.participant.held_out for row in rows] == [True, True, False]


def test_held_out_cases_beyond_the_batch_come_last(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 4)
    cases = [take(opened) for _ in range(8)]
    with opened.catalog.read() as session:
        held = [session.get_one(Acquisition, case.acquisition_id).participant.held_out for case in cases]
    assert held == [True, True, False, False, False, False, True, True]


def test_sequential_is_the_order_of_import_and_random_another(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 8, ("abdomen",))
    with opened.catalog.read() as session:
        imported = [row.id for row in session.query(Acquisition).order_by(Acquisition.created_at)]
        drawn = [row.id for row in session.query(Acquisition).order_by(Acquisition.shuffle)]
    sequential = [take(opened, "sequential").acquisition_id for _ in range(4)]
    assert sequential == imported[:4]
    rest = [identifier for identifier in drawn if identifier not in sequential]
    assert [take(opened, "random").acquisition_id for _ in range(4)] == rest


def test_unknown_strategy_is_refused(opened: OpenedWorkspace) -> None:
    with pytest.raises(InvalidInput, match="balanced, uncertainty, sequential, random"):
        assign_next_case(opened, Reader("c"), "first")


def test_uncertainty_takes_the_case_on_which_two_models_disagree_most(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    fill(workspace.catalog, 3, ("abdomen",))
    grid = Geometry((4, 5, 6), np.diag([2.0, 2.0, 3.0, 1.0]))
    with workspace.catalog.begin() as session:
        session.add(ModelVersion(version="v1", status=ModelStatus.RETIRED))
        session.flush()
        cases = session.query(Acquisition).order_by(Acquisition.created_at).all()
        for shift, case in enumerate(cases):
            for moment, version in enumerate(("bootstrap", "v1")):
                array = np.zeros(grid.shape, dtype=np.uint8)
                array[:, shift * moment : shift * moment + 2] = 1
                path = tmp_path / f"{case.id}-{version}.nii.gz"
                write_nifti(path, array, grid)
                stored = f"presegmentations/{path.name}"
                session.add(
                    Presegmentation(
                        acquisition_id=case.id,
                        examination_id=case.primary_examination_id,
                        model_version=version,
                        source="nnunet",
                        path=stored,
                        digest=workspace.put_file(stored, path),
                        created_at=now() + timedelta(seconds=moment),
                    )
                )
        ids = [case.id for case in cases]
    assert [take(opened, "uncertainty").acquisition_id for _ in range(3)] == ids[::-1]


def test_uncertainty_without_two_presegmentations_still_assigns_cases(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 1, ("abdomen",))
    assert take(opened, "uncertainty")


def test_signed_in_reader_has_three_cases_at_most_and_gets_a_new_one_each_time(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 4, ("abdomen",))
    cases = [take(opened, client="c", user="ada") for _ in range(4)]
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
        assert [examination.id for _, examination in rows.open_examinations(session, None, now())] == [
            other.examination_id
        ]


def test_image_is_found_by_id_ticket_and_alias(opened: OpenedWorkspace) -> None:
    catalog = opened.catalog
    fill(catalog, 2, ("abdomen",))
    case = take(opened, client="c", user="ada")
    assert resolve_image(catalog, case.examination_id, Reader()).id == case.examination_id
    for image in (case.ticket, case.examination_id):
        assert resolve_image(catalog, image, Reader("user-xyz", "ada", Role.RADIOLOGIST)).id == case.examination_id
    assert resolve_image(catalog, case.examination_id, Reader("user-xyz", "bob")).id == case.examination_id
    with pytest.raises(Forbidden, match="not assigned to you"):
        resolve_image(catalog, case.examination_id, Reader("user-xyz", "bob", Role.RADIOLOGIST))
    with pytest.raises(NotFound, match="does not belong to you"):
        resolve_image(catalog, case.ticket, Reader("user-xyz", "bob", Role.RADIOLOGIST))
    with catalog.begin() as session:
        for client, examination in zip(("ada", "bob"), session.query(Examination).limit(2), strict=True):
            session.add(Alias(client=client, name="3: T1 VIBE dixon", examination_id=examination.id))
        ids = [examination.id for examination in session.query(Examination).limit(2)]
    for user, identifier in zip(("ada", "bob"), ids, strict=True):
        assert resolve_image(catalog, "3: T1 VIBE dixon", Reader("c", user, Role.RADIOLOGIST)).id == identifier
    with pytest.raises(NotFound):
        resolve_image(catalog, "3: T1 VIBE dixon", Reader("c", "eve", Role.RADIOLOGIST))
    assert resolve_image(catalog, "3: T1 VIBE dixon", Reader()).id in ids
    for bad in ("../../etc/passwd", "a/b", "a\0b", "", "x" * 201):
        with pytest.raises(InvalidInput):
            resolve_image(catalog, bad, Reader())
    with pytest.raises(NotFound):
        resolve_image(catalog, "ex-0000000000000000", Reader())


def test_ticket_stays_valid_after_submission_but_not_after_return(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 2, ("abdomen",))
    first, second = (take(opened, client="c", user="ada") for _ in range(2))
    assert account_of_ticket(opened.catalog, first.ticket) == "ada"
    with opened.catalog.begin() as session:
        assignment = session.query(Assignment).filter_by(ticket=first.ticket).one()
        assignment.ended_at, assignment.outcome = now(), AssignmentOutcome.SUBMITTED
    assert account_of_ticket(opened.catalog, first.ticket) == "ada"
    assert (
        resolve_image(opened.catalog, first.examination_id, Reader("user-xyz", "ada", Role.RADIOLOGIST)).id
        == first.examination_id
    )
    service.return_to_queue(opened.catalog, Reader("c", "ada"), second.acquisition_id)
    assert account_of_ticket(opened.catalog, second.ticket) is None
    with pytest.raises(NotFound, match="expired at"):
        resolve_image(opened.catalog, second.ticket, Reader("user-xyz", "ada", Role.RADIOLOGIST))
    with pytest.raises(Forbidden):
        resolve_image(opened.catalog, second.examination_id, Reader("user-xyz", "ada", Role.RADIOLOGIST))
    assert account_of_ticket(opened.catalog, "no-ticket") is None
    # Work that is done is kept; for anybody else the case is as closed as before.
    for image in (second.ticket, second.examination_id):
        assert (
            resolve_image(opened.catalog, image, Reader("user-xyz", "ada", Role.RADIOLOGIST), to_submit=True).id
            == second.examination_id
        )
        with pytest.raises((NotFound, Forbidden)):
            resolve_image(opened.catalog, image, Reader("user-xyz", "bob", Role.RADIOLOGIST), to_submit=True)


def test_ticket_ends_with_its_time(opened: OpenedWorkspace) -> None:
    fill(opened.catalog, 1, ("abdomen",))
    case = take(opened)
    with opened.catalog.begin() as session:
        session.query(Assignment).one().expires_at = now() - timedelta(seconds=1)
    with pytest.raises(NotFound, match="expired at"):
        resolve_image(opened.catalog, case.ticket, Reader())


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
