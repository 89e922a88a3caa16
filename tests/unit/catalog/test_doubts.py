"""Doubtful masks: which are listed, in pages, and how they are shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import presegmentations
from mrseg_label.catalog.queries.doubts import MaskKind
from mrseg_label.catalog.tables import Acquisition, Annotation, Presegmentation
from mrseg_label.catalog.types import AnnotationState
from mrseg_label.cli import app
from mrseg_label.errors import InvalidInput
from mrseg_label.reports.doubts import read_doubts
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import add_acquisition, add_annotation, add_participant

DOUBT = {"axis": "left/right", "structure": "left_kidney", "other": "right_kidney", "text": "left_kidney lies right"}
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def workspace(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws", settings_text=database_settings)
    with closing(open_workspace(tmp_path / "ws")) as opened:
        yield opened


def draft(session: Session, case: Acquisition, minute: int, doubtful: bool) -> str:
    assert case.primary_examination_id is not None
    row = presegmentations.by_model(session, case.id, "bootstrap") or Presegmentation(
        acquisition_id=case.id,
        examination_id=case.primary_examination_id,
        model_version="bootstrap",
        source="inverted",
        path=f"presegmentations/{case.id}.nii.gz",
        digest="d",
    )
    row.created_at = MOMENT + timedelta(minutes=minute)
    row.details = {"doubts": [DOUBT]} if doubtful else {"clean_up": {}}
    session.add(row)
    session.flush()
    return row.id


def annotation(session: Session, case: Acquisition, minute: int, number: int = 1, doubtful: bool = True) -> Annotation:
    row = add_annotation(session, case, number=number)
    row.report = {"doubts": [DOUBT, DOUBT | {"text": "and more"}]} if doubtful else {"draft": "a note"}
    row.created_at = MOMENT + timedelta(minutes=minute)
    session.flush()
    return row


def listed(workspace: OpenedWorkspace, kind: MaskKind | None = None) -> list[str]:
    return [item.id for item in read_doubts(workspace.catalog, 100, kind=kind).items]


def test_what_nobody_can_mend_any_more_is_not_listed(workspace: OpenedWorkspace) -> None:
    with workspace.catalog.begin() as session:
        cases = [add_acquisition(session, add_participant(session, f"p{number}")) for number in range(7)]
        waiting = draft(session, cases[0], 1, doubtful=True)
        draft(session, cases[1], 1, doubtful=False)
        done = annotation(session, cases[2], 2)
        draft(session, cases[2], 3, doubtful=True)  # its case is annotated
        annotation(session, cases[3], 4)
        annotation(session, cases[3], 5, number=2, doubtful=False)  # mended
        annotation(session, cases[4], 6).state = AnnotationState.REJECTED
        annotation(session, cases[5], 7)
        cases[5].excluded_at = MOMENT
        again = annotation(session, cases[6], 8)
        annotation(session, cases[6], 9, number=2, doubtful=False).state = AnnotationState.REJECTED
    assert listed(workspace) == [again.id, done.id, waiting]
    assert listed(workspace, MaskKind.DRAFT) == [waiting]
    assert listed(workspace, MaskKind.ANNOTATION) == [again.id, done.id]


def test_pages_run_through_drafts_and_annotations_by_time(workspace: OpenedWorkspace) -> None:
    with workspace.catalog.begin() as session:
        for number in range(6):
            case = add_acquisition(session, add_participant(session, f"p{number}"))
            if number % 2:
                annotation(session, case, number // 3)
            else:
                draft(session, case, number // 3, doubtful=True)
    seen: list[str] = []
    cursor = None
    while True:
        page = read_doubts(workspace.catalog, 2, cursor)
        seen += [item.id for item in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert len(seen) == 6
    assert seen == listed(workspace)
    with pytest.raises(InvalidInput, match="does not belong to this list"):
        read_doubts(workspace.catalog, 2, "x")


def test_the_command_lists_each_doubt(workspace: OpenedWorkspace) -> None:
    with workspace.catalog.begin() as session:
        case = add_acquisition(session, add_participant(session, "p1"))
        row = annotation(session, case, 1)
    folder = ["--workspace", str(workspace.root)]
    shown = CliRunner().invoke(app, ["doubts", *folder])
    assert shown.exit_code == 0, shown.output
    assert shown.output.count(row.id) == 2
    assert "left_kidney lies right" in shown.output
    document = json.loads(CliRunner().invoke(app, ["doubts", "--kind", "annotation", "--json", *folder]).output)
    (item,) = document["items"]
    assert (item["kind"], item["participant"], item["author"], item["station"]) == (
        "annotation",
        "p1",
        "reader",
        "abdomen",
    )
    assert item["doubts"][0] == DOUBT
    assert json.loads(CliRunner().invoke(app, ["doubts", "--kind", "draft", "--json", *folder]).output)["items"] == []
