"""Cases without a draft, repeated and gold cases: drawn again alike, measured, and unknown to their readers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import select

from mrseg_label.annotation.blind_readings import mark_gold, set_qualified, unmark_gold
from mrseg_label.annotation.review import send_back
from mrseg_label.annotation.service import submit
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import acquisitions, assignments, snapshots
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Account, Annotation, Assignment, AuditEvent
from mrseg_label.catalog.types import AnnotationState, BlindKind, Role
from mrseg_label.errors import Conflict, NotFound
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.reports.blind_readings import read_draft_bias, read_gold
from mrseg_label.reports.mine import read_mine
from mrseg_label.reports.progress import read_progress
from mrseg_label.worklist import service as worklist
from mrseg_label.worklist.assignments import AssignedCase
from mrseg_label.worklist.blind import draw
from mrseg_label.workspace import Workspace
from tests.integration.conftest import add_draft
from tests.support.intake_files import AFFINE, SHAPE, boxes, picture, save, work
from tests.support.postgresql import copy_workspace

ADA, BEN = Reader.signed_in("ada", Role.RADIOLOGIST), Reader.signed_in("ben", Role.RADIOLOGIST)
CASES = 6


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with some cases, each with a draft, and two radiologists."""
    folder = tmp_path_factory.mktemp("blind")
    Workspace.init(folder / "ws")
    for number in range(CASES):
        save(folder / f"d/P{number}/abdomen.nii.gz", picture(number))
    with closing(open_workspace(folder / "ws")) as workspace:
        options = ImportOptions(pattern="{participant}/{station}.nii.gz")
        for entry in import_paths(workspace, [folder / "d"], options).accepted:
            add_draft(workspace, entry.id)
        with workspace.catalog.begin() as session:
            for name in ("ada", "ben"):
                session.add(Account(name=name, role=Role.RADIOLOGIST, created_by="test"))
    return folder / "ws"


@pytest.fixture
def workspace(template: Path, tmp_path: Path) -> Iterator[OpenedWorkspace]:
    with closing(open_workspace(copy_workspace(template, tmp_path / "ws"))) as opened:
        yield opened


def take(workspace: OpenedWorkspace, reader: Reader = ADA) -> AssignedCase:
    case = worklist.assign_next_case(workspace, reader, "sequential")
    assert case is not None
    return case


def send(
    workspace: OpenedWorkspace, case: AssignedCase, mask: NDArray[np.uint8] | None = None, reader: Reader = ADA
) -> Annotation:
    """Submit spleen and liver in two slabs, or another mask."""
    file = workspace.root / "up.nii.gz"
    write_nifti(file, boxes(1, 5) if mask is None else mask, Geometry(SHAPE, AFFINE))
    names = [{"name": name} for name in workspace.scheme.names]
    made = submit(
        workspace, reader, examination_id=case.examination_id, upload=file, file_name="a.nii.gz", label_info=names
    )
    with workspace.catalog.read() as session:
        row = annotation_rows.get(session, made.annotation_id)
    assert row is not None
    return row


def assignment(workspace: OpenedWorkspace, case: AssignedCase) -> Assignment:
    with workspace.catalog.read() as session:
        row = assignments.by_ticket(session, case.ticket)
    assert row is not None
    return row


def test_a_draft_is_withheld_as_it_was_drawn(workspace: OpenedWorkspace) -> None:
    workspace.settings.without_draft_share = 0.5
    shown = []
    for _ in range(CASES):
        case = take(workspace)
        row = assignment(workspace, case)
        assert row.draft_withheld is (draw("draft", case.acquisition_id) < 0.5)
        assert worklist.is_draft_withheld(workspace.catalog, ADA, case.acquisition_id) is row.draft_withheld
        annotation = send(workspace, case)
        assert annotation.is_final and (annotation.presegmentation_id is None) is row.draft_withheld
        # Who draws everything was sent all names empty: what stayed empty was not judged.
        assert annotation.judged == {"spleen", "liver"} or not row.draft_withheld
        shown.append(not row.draft_withheld)
    work(workspace)
    found = read_draft_bias(workspace)
    assert (found.shown.cases, found.withheld.cases, found.not_measured) == (sum(shown), CASES - sum(shown), 0)
    for arm in (found.shown, found.withheld):
        assert arm.with_draft.dsc.cases == arm.cases and (arm.with_draft.dsc.mean is None) is (arm.cases == 0)
    with workspace.catalog.read() as session:
        events = session.scalars(select(AuditEvent).where(AuditEvent.action == "assigned")).all()
    assert [event.detail["draft_withheld"] for event in events].count(True) == CASES - sum(shown)


def test_a_finished_case_comes_again_and_its_first_mask_stays(workspace: OpenedWorkspace) -> None:
    first = take(workspace)
    before = send(workspace, first)
    workspace.settings.repeat_share, workspace.settings.repeat_after_days = 0.5, 0
    progress, again = read_progress(workspace), None
    for _ in range(40):
        case = take(workspace)
        if assignment(workspace, case).blind is not None:
            again = case
            break
        worklist.return_to_queue(workspace.catalog, ADA, case.acquisition_id)
    assert again is not None and again.acquisition_id == first.acquisition_id and again.ticket != first.ticket
    row = assignment(workspace, again)
    assert (row.blind, row.blind_of) == (BlindKind.REPEAT, before.id) and row.draft_withheld is not None
    assert again.annotation_id is None and again.file_name == f"{again.ticket}.nii.gz"
    assert "requested" not in again.reason and "second" not in again.reason
    # Nothing that this radiologist reads says so.
    for page in (mine := read_mine(workspace, ADA, 10)).open, mine.finished.items:
        text = " ".join(one.model_dump_json() for one in page)
        hidden = (first.examination_id, first.acquisition_id, '"P', "repeat", "gold", "second_read", "second reading")
        assert [word for word in hidden if word in text] == []
    (opened,) = mine.open
    assert (opened.purpose, opened.blind, opened.examination) == ("correct", None, row.id)
    assert read_progress(workspace).assigned == progress.assigned  # nor does the state of the case
    annotation = send(workspace, again)  # the very same mask is a reading of its own
    assert not annotation.is_final and (annotation.number, annotation.assignment_id) == (2, row.id)
    sent = send(workspace, again, boxes(5, 1))  # corrected after the assignment has ended
    assert not sent.is_final
    with workspace.catalog.read() as session:
        final = annotation_rows.final(session, first.acquisition_id)
        assert final is not None and final.id == before.id
        assert [one.id for one, _ in snapshots.candidates(session)] == [before.id]
    assert all((one.number, one.is_final) == (1, True) for one in read_mine(workspace, ADA, 10).finished.items)
    work(workspace)
    found = read_draft_bias(workspace)
    repeated = found.repeated_withheld if row.draft_withheld else found.repeated_shown
    assert repeated.dsc.mean == pytest.approx(1) and repeated.dsc.cases == 1
    for _ in range(20):  # nothing is repeated twice
        case = take(workspace)
        assert assignment(workspace, case).blind is None
        worklist.return_to_queue(workspace.catalog, ADA, case.acquisition_id)


def test_a_case_comes_back_although_it_was_read_once_more(workspace: OpenedWorkspace) -> None:
    first = take(workspace)
    before = send(workspace, first)
    workspace.settings.repeat_share, workspace.settings.repeat_after_days = 0.9, 0
    again = take(workspace)
    while assignment(workspace, again).blind is None:
        worklist.return_to_queue(workspace.catalog, ADA, again.acquisition_id)
        again = take(workspace)
    assert again.acquisition_id == first.acquisition_id and not send(workspace, again).is_final
    send_back(workspace, before.id, actor="eva", comment="the liver")
    back = take(workspace)  # and not somebody else's, without what is to be corrected
    assert (back.acquisition_id, back.annotation_id, back.comment) == (first.acquisition_id, before.id, "the liver")
    assert send(workspace, back, boxes(5, 1)).is_final
    assert take(workspace).annotation_id is None


def test_gold_cases(workspace: OpenedWorkspace) -> None:
    case = take(workspace, BEN)
    gold = send(workspace, case, reader=BEN)
    with pytest.raises(NotFound):
        mark_gold(workspace.catalog, "an-0000000000000000", actor="eva")
    mark_gold(workspace.catalog, gold.id, actor="eva")
    with pytest.raises(Conflict, match="already"):
        mark_gold(workspace.catalog, gold.id, actor="eva")
    workspace.settings.gold_share = 0.5
    found = None
    for _ in range(40):
        assert take(workspace, BEN).acquisition_id != case.acquisition_id  # his own
        worklist.return_to_queue(workspace.catalog, BEN, _open_case(workspace, BEN))
        found = take(workspace)
        if assignment(workspace, found).blind is BlindKind.GOLD:
            break
        worklist.return_to_queue(workspace.catalog, ADA, found.acquisition_id)
    assert found is not None and found.acquisition_id == case.acquisition_id
    # He calls it unusable, or asks for it again: he gets what he would get with any case.
    worklist.mark_unusable(workspace.catalog, ADA, found.acquisition_id, "motion")
    with workspace.catalog.read() as session:
        row = acquisitions.get(session, case.acquisition_id)
        assert row is not None and row.excluded_at is None
    document = read_gold(workspace)
    assert [(one.annotation, one.by, one.readers) for one in document.cases] == [(gold.id, "eva", 1)]
    unmark_gold(workspace.catalog, gold.id, actor="eva")
    with pytest.raises(NotFound):
        unmark_gold(workspace.catalog, gold.id, actor="eva")


def _open_case(workspace: OpenedWorkspace, reader: Reader) -> str:
    with workspace.catalog.read() as session:
        (row,) = assignments.all_open_of_reader(session, reader, workspace.catalog.now(session))
        return row.acquisition_id


def test_a_new_reader_qualifies_with_gold_cases(workspace: OpenedWorkspace) -> None:
    marked = []
    for _ in range(2):
        annotation = send(workspace, take(workspace, BEN), reader=BEN)
        mark_gold(workspace.catalog, annotation.id, actor="eva")
        marked.append(annotation.acquisition_id)
    work(workspace)
    (workspace.root / "mrseg.toml").write_text("QUALIFICATION_CASES = 2\nQUALIFICATION_DSC = 0.9\n")
    workspace.settings.qualification_cases, workspace.settings.qualification_dsc = 2, 0.9
    first = take(workspace)
    assert first.acquisition_id in marked and assignment(workspace, first).strategy == "sequential"
    assert send(workspace, first, boxes(5, 1)).state is AnnotationState.SUBMITTED  # as every annotation of his now
    second = take(workspace)
    assert {first.acquisition_id, second.acquisition_id} == set(marked)
    send(workspace, second)
    work(workspace)
    (ada, ben) = read_gold(workspace).readers
    assert (ada.reader, ada.awaits_qualification, len(ada.readings)) == ("ada", True, 2)
    assert [one.mean_dsc for one in ada.readings] == [0.0, 1.0] and ada.overall.hd95_infinite == 0
    third = take(workspace)
    annotation = send(workspace, third)
    assert annotation.state is AnnotationState.SUBMITTED and third.acquisition_id not in marked
    before = read_progress(workspace)
    assert before.annotated_since_round == 2  # his counts neither for the trigger nor for a snapshot
    with workspace.catalog.read() as session:
        candidates = {one.id for one, _ in snapshots.candidates(session)}
    assert annotation.id not in candidates
    set_qualified(workspace.catalog, "ada", actor="eva")
    with pytest.raises(Conflict, match="already"):
        set_qualified(workspace.catalog, "ada", actor="eva")
    assert send(workspace, take(workspace)).state is AnnotationState.ACCEPTED
    set_qualified(workspace.catalog, "ada", actor="eva", qualified=False)
    workspace.settings.qualification_dsc = 0.4
    (workspace.root / "mrseg.toml").write_text("QUALIFICATION_CASES = 2\nQUALIFICATION_DSC = 0.4\n")
    send(workspace, take(workspace, BEN), reader=BEN)
    work(workspace)
    (ada, ben) = read_gold(workspace).readers
    assert ada.qualified is not None and not ada.awaits_qualification and ben.awaits_qualification
