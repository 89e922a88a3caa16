"""Evaluating and reporting model versions of a workspace, from predictions that are there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries.judged_cases import judged_cases
from mrseg_label.catalog.tables import Acquisition, ModelVersion, Participant, Round
from mrseg_label.cli import main
from mrseg_label.clock import now
from mrseg_label.errors import Conflict, NotFound
from mrseg_label.evaluation.measurements import read_table
from mrseg_label.evaluation.versions import HELD_OUT, Judged, _work_of, evaluate_versions
from mrseg_label.files import sha256_of
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.volume import write_nifti
from mrseg_label.labels import LabelScheme
from mrseg_label.reports.evaluation import describe
from mrseg_label.reports.stored_report import STUDY_REPORT
from mrseg_label.reports.study.workspace import report_versions
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import GEOMETRY, add_acquisition, add_annotation, add_participant, add_round
from tests.unit.registry.test_registry import add_version

SHAPE = (24, 20, 12)
GRID = Geometry(SHAPE, np.array(GEOMETRY["affine"]))
SCHEME = LabelScheme.default()


def labels(shift: int = 0) -> NDArray[np.uint8]:
    found = np.zeros(SHAPE, np.uint8)
    found[4 + shift : 10 + shift, 5:12, 2:9] = SCHEME["liver"].id
    found[14:20, 5:9, 2:9] = SCHEME["spleen"].id
    return found


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    """Three annotated participants: one held out, one of a cohort for evaluation alone, one who is trained on."""
    Workspace.init(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws")
    for version in ("r1", "r2"):
        add_version(workspace, version)
    with workspace.catalog.begin() as session:
        for code, held_out in (("held", True), ("amos", None), ("learnt", False)):
            case = add_acquisition(session, add_participant(session, code, held_out=held_out))
            annotation = add_annotation(
                session, case, structures={"liver": 0.5, "spleen": 0.4}, model_version="r1" if held_out else "bootstrap"
            )
            for path in (annotation.path, *(one.path for one in case.examinations)):
                workspace.path(path).parent.mkdir(parents=True, exist_ok=True)
            write_nifti(workspace.path(annotation.path), labels(), GRID)
            annotation.digest = sha256_of(workspace.path(annotation.path))
            for one in case.examinations:
                write_nifti(
                    workspace.path(one.path), 10 * labels() + np.arange(SHAPE[0], dtype=np.int16)[:, None, None], GRID
                )
                one.digest = sha256_of(workspace.path(one.path))
            if code == "amos":
                person = session.get_one(Participant, case.participant_id)
                person.cohort, person.evaluation_only, person.sex, person.age = "AMOS22", True, "F", 60
                case.evaluation_only, case.excluded_at = True, now()
    yield workspace
    workspace.close()


def predict(workspace: OpenedWorkspace, version: str, shift: int) -> list[Judged]:
    """Store what a version makes of every image, as an evaluation that was cut off has left it."""
    work = [one for _, one in _work_of(workspace, version, None)]
    for one in work:
        one.prediction.parent.mkdir(parents=True, exist_ok=True)
        write_nifti(one.prediction, labels(shift), GRID)
    return work


def test_versions_are_judged_on_what_they_were_not_trained_on(opened: OpenedWorkspace) -> None:
    predict(opened, "r1", 3)
    evaluated, judged = evaluate_versions(opened, ["r1"])
    assert not evaluated.refused
    table = evaluated.table
    assert table.groupby("data_set")["participant"].first().to_dict() == {"AMOS22": "amos", "held out": "held"}
    assert sorted(table["sequence"].unique()) == ["fat", "in", "opp", "water"]
    liver = table[table["structure"] == "liver"]
    assert liver["dsc"].tolist() == pytest.approx([0.5] * 8)
    assert "2 annotations" in evaluated.notes[0]
    assert "1 as drafts of r1" in evaluated.notes[0]
    assert len(judged) == 8
    only, _ = evaluate_versions(opened, ["r1"], cohort="AMOS22")
    assert only.table["participant"].unique().tolist() == ["amos"]
    with pytest.raises(Conflict, match="evaluation-only"):
        evaluate_versions(opened, ["r1"], cohort="CHAOS")
    with pytest.raises(NotFound, match="r9"):
        evaluate_versions(opened, ["r9"])


def test_propagated_references_are_marked_in_every_table(
    opened: OpenedWorkspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(opened, "r1", 3)
    with opened.catalog.begin() as session:
        primary = {
            str(case.participant.code): case.primary_examination_id
            for _, case in judged_cases(session)
            if case.participant
        }
        assert sorted(primary) == ["amos", "held"]
    evaluated, _ = evaluate_versions(opened, ["r1"])
    images = evaluated.table.drop_duplicates("case").set_index("case")
    assert {case: row["propagated_from"] for case, row in images.iterrows()} == {
        case: "" if row["sequence"] == "in" else primary[row["participant"]] for case, row in images.iterrows()
    }
    document = describe(evaluated)
    assert (document.propagated, document.references) == (6, 2)
    assert {one.propagated_from for one in document.cases} == {None, *primary.values()}
    assert document.structures["liver"].propagated == 6
    study, _ = report_versions(opened, ["r1"], title="Study")
    assert "8 images (6 with a propagated reference) of 2 participants" in study.summary[0]
    sentence = "The references of 6 of 8 images were propagated"
    assert sentence in opened.path(STUDY_REPORT).read_text(encoding="utf-8")
    tables = {table.key: table for table in study.tables}
    shown = tables["table-1-composition"]
    cells = [dict(zip((one.heading for one in shown.columns), row, strict=True)) for row in shown.cells]
    assert [(row["Images"], row["Propagated"]) for row in cells] == [("4", "3"), ("4", "3")]
    assert shown.frame["masks"].tolist() == [1, 1]
    by_sequence = tables["table-3-sequences"].frame.set_index(["data_set", "sequence"])["propagated"]
    assert by_sequence[HELD_OUT].to_dict() == {"in": 0, "fat": 1, "opp": 1, "water": 1, "all": 3}
    with opened.catalog.begin() as session:
        for _, case in judged_cases(session):
            case.propagates = False
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--model", "r1", "--workspace", str(opened.root), "--output", str(tmp_path / "cases.csv")])
    assert ended.value.code == 0
    assert "Propagated" not in capsys.readouterr().out  # withdrawn with the switch: only what was drawn is judged
    assert set(read_table(tmp_path / "cases.csv")["propagated_from"]) == {""}


def test_a_version_that_saw_held_out_participants_is_not_judged_on_them(opened: OpenedWorkspace) -> None:
    add_version(opened, "r3")
    with opened.catalog.begin() as session:
        add_round(session, 1, [])
        session.get_one(Round, 1).include_held_out = True
        session.flush()
        session.get_one(ModelVersion, "r3").round_number = 1
    assert {one.case.participant.code for _, one in _work_of(opened, "r3", None)} == {"amos"}


def test_an_excluded_case_is_in_no_evaluation(opened: OpenedWorkspace) -> None:
    with opened.catalog.begin() as session:
        for case in session.query(Acquisition):
            case.excluded_at, case.evaluation_only = now(), False
        assert judged_cases(session) == []


def test_the_report_of_a_workspace(opened: OpenedWorkspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predict(opened, "r1", 3)
    predict(opened, "r2", 1)
    seen: list[tuple[int, int]] = []
    study, refused = report_versions(opened, ["r1", "r2"], title="Study", progress=lambda *at: seen.append(at))
    assert not refused
    assert seen[-1] == (16, 16)
    assert [section.title for section in study.sections][:2] == ["Participants and images", "Examples"]
    assert len(study.sections[1].parts) == 4  # an image of each sequence
    difference = next(table for table in study.tables if table.key == "table-a5-dsc-r1-r2").frame
    assert difference.set_index("structure").loc["liver", "difference"] == pytest.approx(5 / 6 - 0.5)
    page = opened.path(STUDY_REPORT).read_text(encoding="utf-8")
    assert "held" not in page.replace("held out", "").replace("held-out", "")  # no participant is named in the page
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path / "out"), "--workspace", str(opened.root), "--model", "r2", "--format", "csv", "--spacing", "2", "2", "6", "--json"])  # fmt: skip
    assert ended.value.code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["refused"] == []
    assert str(tmp_path / "out" / "cases.csv") in printed["files"]


@pytest.mark.parametrize(
    "arguments",
    [["evaluate"], ["evaluate", "x"], ["evaluate", "x", "--reference", "y", "--cohort", "z"], ["report", "o", "--cases", "c", "--model", "r1"]],
)  # fmt: skip
def test_options_that_do_not_go_together(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
