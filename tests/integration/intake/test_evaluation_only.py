"""Cohorts that are kept for evaluation: nowhere in the study until an administrator admits them."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, participants, snapshots
from mrseg_label.catalog.queries.upcoming import STRATEGIES, Order, first_upcoming
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, AuditEvent, Job, Participant
from mrseg_label.catalog.types import AnnotationState
from mrseg_label.cli import app
from mrseg_label.errors import Conflict, InvalidInput, NotFound
from mrseg_label.intake.cohort_names import check_cohort
from mrseg_label.intake.cohorts import admit, admit_cases
from mrseg_label.intake.editing import edit_examinations
from mrseg_label.intake.exclusion import exclude, include
from mrseg_label.intake.options import ImportOptions, ImportReport
from mrseg_label.intake.service import import_paths
from mrseg_label.reports.progress import read_progress
from mrseg_label.worklist.service import assign_next_case
from tests.support.intake_files import boxes, picture, save, work

PATTERN = "{participant}/{station}.nii.gz"
MASKS = "{participant}/{station}_seg.nii.gz"


def cohort(folder: Path, people: tuple[str, ...] = ("E1", "E2", "E3"), masked: int = 2) -> Path:
    for number, code in enumerate(people):
        save(folder / code / "abdomen.nii.gz", picture(zlib.crc32(code.encode())))
        if number < masked:
            save(folder / code / "abdomen_seg.nii.gz", boxes(1, 2))
    (folder / "labels.tsv").write_text("1\tliver\n2\tspleen\n")
    return folder


def options(folder: Path, **values: object) -> ImportOptions:
    known = {"pattern": PATTERN, "masks": MASKS, "mask_labels": folder / "labels.tsv", "evaluation_only": True}
    return ImportOptions(**(known | values))  # type: ignore[arg-type]


def take_in(opened: OpenedWorkspace, folder: Path, **values: object) -> ImportReport:
    report = import_paths(opened, [folder], options(folder, **values))
    assert report.refused == []
    work(opened)
    return report


def waiting(opened: OpenedWorkspace) -> dict[str, set[str]]:
    """Participants of the waiting cases, by strategy."""
    with opened.catalog.read() as session:
        moment = opened.catalog.now(session)
        return {
            strategy: {
                case.participant.code
                for one in first_upcoming(session, moment, [Order(strategy, 4)], 100)
                if (case := acquisitions.get(session, one.acquisition_id)) is not None
            }
            for strategy in STRATEGIES
        }


def test_they_are_nowhere_in_the_study(opened: OpenedWorkspace, tmp_path: Path) -> None:
    opened.settings.review = "required"  # a mask that nobody could review would wait for ever
    take_in(opened, cohort(tmp_path / "CHAOS"))
    progress = read_progress(opened)
    counted = ("annotated_total", "annotated_since_round", "waiting", "assigned", "awaiting_review", "excluded")
    assert {name: getattr(progress, name) for name in counted} == dict.fromkeys(counted, 0)
    assert set(map(len, waiting(opened).values())) == {0}
    assert assign_next_case(opened, Reader("anna"), "balanced") is None
    with opened.catalog.begin() as session:
        participants.decide_held_out(session)
        assert snapshots.candidates(session) == []
        people = session.scalars(select(Participant)).all()
        assert [(one.cohort, one.evaluation_only, one.held_out) for one in people] == [("CHAOS", True, None)] * 3
        states = session.scalars(select(Annotation.state)).all()
        assert states == [AnnotationState.ACCEPTED] * 2  # the references of an evaluation
        assert session.scalars(select(Job.kind).where(Job.kind == "measure_sources")).all() == []


def test_they_change_nothing_about_who_is_held_out(opened: OpenedWorkspace, tmp_path: Path) -> None:
    study = cohort(tmp_path / "study", tuple(f"P{number}" for number in range(5)), masked=0)
    take_in(opened, cohort(tmp_path / "other", tuple(f"E{number}" for number in range(20)), masked=0))
    take_in(opened, study, evaluation_only=False, masks=None, mask_labels=None)
    with opened.catalog.begin() as session:
        participants.decide_held_out(session)
        sides = [one.held_out for one in session.scalars(select(Participant)) if not one.evaluation_only]
    assert sorted(map(bool, sides)) == [False] * 3 + [True] * 2
    assert all(found == {f"P{number}" for number in range(5)} for found in waiting(opened).values())


def test_an_administrator_admits_them(opened: OpenedWorkspace, tmp_path: Path) -> None:
    take_in(opened, cohort(tmp_path / "d"), cohort="NAKO")
    with pytest.raises(InvalidInput):
        admit(opened.catalog, [], actor="anna")
    with pytest.raises(NotFound, match="cohort 'nako'"):
        admit(opened.catalog, [], "nako", actor="anna")
    exclude(opened.catalog, "E2", reason="motion", actor="ben")
    with pytest.raises(Conflict, match="participants admit"):
        include(opened.catalog, "E1", actor="anna")
    assert admit(opened.catalog, [], "NAKO", actor="anna") == ["E1", "E2", "E3"]
    with pytest.raises(Conflict, match="already"):
        admit(opened.catalog, ["E1"], actor="anna")
    progress = read_progress(opened)
    assert (progress.annotated_total, progress.waiting, progress.excluded) == (1, 1, 1)
    assert all(found == {"E3"} for found in waiting(opened).values())
    with opened.catalog.read() as session:
        assert len(snapshots.candidates(session)) == 1
        events = session.scalars(select(AuditEvent).where(AuditEvent.action == "admit")).all()
        assert [(event.actor, event.subject, event.detail["cohort"]) for event in events] == [
            ("anna", code, "NAKO") for code in ("E1", "E2", "E3")
        ]


def test_what_is_excluded_serves_no_evaluation(opened: OpenedWorkspace, tmp_path: Path) -> None:
    ids = [entry.id for entry in take_in(opened, cohort(tmp_path / "d")).accepted]

    def kept() -> set[str]:
        with opened.catalog.read() as session:
            rows = session.scalars(select(Acquisition).where(Acquisition.evaluation_only))
            return {row.participant.code for row in rows}

    exclude(opened.catalog, ids[0], reason="motion", actor="ben")
    assert kept() == {"E2", "E3"}
    include(opened.catalog, ids[0], actor="ben")
    assert kept() == {"E1", "E2", "E3"}
    assert read_progress(opened).waiting == 0
    with opened.catalog.read() as session:
        cases = [row.id for row in session.scalars(select(Acquisition))]
    done = admit_cases(opened.catalog, cases, actor="ben")
    assert (len(done.changed), done.left, kept()) == (3, {}, set())


def test_participants_of_the_study_serve_no_evaluation_only_cohort(opened: OpenedWorkspace, tmp_path: Path) -> None:
    """Models may have learnt from their other images."""
    plain = {"masks": None, "mask_labels": None}
    study = cohort(tmp_path / "study", ("P1",), masked=0)
    take_in(opened, study, evaluation_only=False, **plain)
    save(study / "P1/pelvis.nii.gz", picture(9))
    report = import_paths(opened, [study], options(study, **plain))
    assert [("takes part in the study" in one.reason) for one in report.refused] == [True, True]
    take_in(opened, cohort(tmp_path / "other", ("E1",), masked=0), **plain)
    save(tmp_path / "other/E1/pelvis.nii.gz", picture(10))
    (entry,) = take_in(opened, tmp_path / "other", evaluation_only=False, **plain).accepted
    assert "kept for evaluation only" in entry.warnings[-1]
    with pytest.raises(Conflict, match="admit E1 first"):
        edit_examinations(opened.catalog, [entry.id], {"participant": "P1"}, actor="anna")
    edit_examinations(opened.catalog, [entry.id], {"participant": "E9"}, actor="anna")
    with opened.catalog.read() as session:
        person = participants.by_code(session, "E9")
        assert person is not None and person.evaluation_only and person.cohort == "other"
    assert read_progress(opened).waiting == 1


def test_a_cohort_has_a_name_that_can_be_shown() -> None:
    for name in ("", " x", "y" * 101, "a\nb"):
        with pytest.raises(InvalidInput, match="name of a cohort"):
            check_cohort(name)
    check_cohort("TotalSegmentator MRI")


def test_the_commands(opened: OpenedWorkspace, tmp_path: Path) -> None:
    folder, root = cohort(tmp_path / "d"), str(opened.root)
    names = ["--pattern", PATTERN, "--masks", MASKS, "--mask-labels", str(folder / "labels.tsv")]

    def call(*arguments: str) -> object:
        result = CliRunner().invoke(app, [*arguments, "--workspace", root, "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    call("import", str(folder), *names, "--evaluation-only", "--cohort", "AMOS22")
    listed = call("participants", "list", "--evaluation-only", "--cohort", "AMOS22")
    assert [one["code"] for one in listed["items"]] == ["E1", "E2", "E3"]  # type: ignore[index]
    assert call("participants", "admit", "E1") == {"admitted": ["E1"]}
    assert call("participants", "admit", "--cohort", "AMOS22") == {"admitted": ["E2", "E3"]}
    left = call("participants", "list", "--evaluation-only")
    assert left["items"] == []  # type: ignore[index]
