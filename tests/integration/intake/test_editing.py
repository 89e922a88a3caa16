"""A first import that was wrong: corrected by hand, or by importing again with a pattern or a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import examinations as examination_rows
from mrseg_label.catalog.queries import participants
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, AuditEvent, Examination, Participant, Presegmentation, RoundCase
from mrseg_label.catalog.types import CaseRole
from mrseg_label.cli import app
from mrseg_label.errors import Conflict, InvalidInput, NotFound
from mrseg_label.intake.editing import edit_examinations
from mrseg_label.intake.exclusion import exclude
from mrseg_label.intake.options import ImportOptions, ImportReport, MatchIds
from mrseg_label.intake.service import import_paths, register_upload
from tests.support import dicom_files as dcm
from tests.support.catalog_rows import add_annotation, add_round


def write(path: Path, seed: int, *, shift: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-2.0, -2.0, 3.0, 1.0])
    affine[:3, 3] = (10 + shift, 20, -30)
    nib.save(nib.Nifti1Image(np.random.default_rng(seed).integers(0, 900, (6, 7, 8)).astype(np.int16), affine), path)
    return path


def values(workspace: OpenedWorkspace, identifier: str) -> tuple[str, str, str, str | None, float | None]:
    """Participant, station, sequence, sex and age of an examination."""
    with workspace.catalog.read() as session:
        row = session.get_one(Examination, identifier)
        person = row.acquisition.participant
        return person.code, row.acquisition.station, row.sequence, person.sex, person.age


def acquisition_of(workspace: OpenedWorkspace, identifier: str) -> str:
    with workspace.catalog.read() as session:
        return session.get_one(Examination, identifier).acquisition_id


def codes(workspace: OpenedWorkspace) -> list[str]:
    with workspace.catalog.read() as session:
        return sorted(session.scalars(select(Participant.code)))


def edit(workspace: OpenedWorkspace, *ids: str, alone: bool = False, **given: str) -> Any:
    return edit_examinations(workspace.catalog, ids, given, actor="ada", alone=alone)[0]


def ids_by_name(report: ImportReport) -> dict[str, str]:
    return {Path(entry.source).name.removesuffix(".nii.gz"): entry.id for entry in report.accepted}


def imported(workspace: OpenedWorkspace, folder: Path, *names: str, pattern: str | None = None) -> dict[str, str]:
    for seed, name in enumerate(names):
        write(folder / f"{name}.nii.gz", seed)
    return ids_by_name(import_paths(workspace, [folder], ImportOptions(pattern=pattern)))


def test_every_field_is_changed_with_an_audit_entry(opened: OpenedWorkspace, tmp_path: Path) -> None:
    found = imported(opened, tmp_path / "d", "scan")
    before = acquisition_of(opened, found["scan"])
    done = edit(
        *(opened, found["scan"]),
        participant="P1",
        session="2",
        station="pelvis",
        sequence="W",
        sex="female",
        age="61,5",
    )
    assert values(opened, found["scan"]) == ("P1", "pelvis", "water", "F", 61.5)
    assert acquisition_of(opened, found["scan"]) == before
    assert done.changes["participant"] == ("scan", "P1") and done.changes["session"] == ("", "2")
    assert codes(opened) == ["P1"]
    with opened.catalog.read() as session:
        event = session.scalars(select(AuditEvent).where(AuditEvent.action == "edited")).one()
        assert (event.actor, event.subject) == ("ada", found["scan"])
        assert event.detail["changes"]["age"] == [None, 61.5]
        assert session.get_one(Acquisition, before).sequence == "water"
    assert edit(opened, found["scan"], station="pelvis").changes == {}
    assert edit(opened, found["scan"], sex="unknown", age="", station="").changes["age"] == (61.5, None)
    assert values(opened, found["scan"]) == ("P1", "", "water", None, None)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, InvalidInput),
        ({"participant": " "}, InvalidInput),
        ({"participant": "a\x00b"}, InvalidInput),
        ({"sex": "maybe"}, InvalidInput),
        ({"age": "200"}, InvalidInput),
        ({"station": "x" * 256}, InvalidInput),
    ],
)
def test_what_cannot_be_used_changes_nothing(
    opened: OpenedWorkspace, tmp_path: Path, given: dict[str, str], error: type[Exception]
) -> None:
    found = imported(opened, tmp_path / "d", "scan")
    with pytest.raises(error):
        edit_examinations(opened.catalog, [found["scan"]], given, actor="ada")
    with pytest.raises(NotFound):
        edit_examinations(opened.catalog, [found["scan"], "ex-nothing"], {"station": "x"}, actor="ada")
    assert values(opened, found["scan"]) == ("scan", "", "", None, None)


def test_channels_move_together_or_one_alone(opened: OpenedWorkspace, tmp_path: Path) -> None:
    found = imported(opened, tmp_path / "d/P1", "x_in", "x_opp", "x_F", pattern="{participant}/{station}_{sequence}")
    done = edit(opened, found["x_in"], participant="P2")
    assert any(found["x_opp"] in note for note in done.notes)
    assert {values(opened, one)[0] for one in found.values()} == {"P2"}
    assert len({acquisition_of(opened, one) for one in found.values()}) == 1
    edit(opened, found["x_F"], participant="P3", alone=True)
    assert [values(opened, found[name])[0] for name in ("x_in", "x_opp", "x_F")] == ["P2", "P2", "P3"]
    # Back to the other channels: one acquisition again, and nobody is left behind.
    edit(opened, found["x_F"], participant="P2")
    assert len({acquisition_of(opened, one) for one in found.values()}) == 1
    assert codes(opened) == ["P2"]
    with pytest.raises(Conflict, match="opp channel of the same acquisition"):
        edit(opened, found["x_F"], sequence="opp")


def test_an_upload_is_given_to_its_participant(opened: OpenedWorkspace, tmp_path: Path) -> None:
    """T1 and T2 of one patient, uploaded one after the other, must not lie on both sides of the split."""
    t1 = register_upload(opened, Reader("anna"), write(tmp_path / "t1.nii.gz", 1), alias="mine T1")
    t2 = register_upload(opened, Reader("anna"), write(tmp_path / "t2.nii.gz", 2, shift=5), alias="mine T2")
    for one in (t1, t2):
        edit(opened, one, participant="P7")
    assert codes(opened) == ["P7"]
    assert acquisition_of(opened, t1) != acquisition_of(opened, t2)
    with opened.catalog.begin() as session:
        assert examination_rows.has_alias(session, t1, "anna")


def test_a_draft_is_no_obstacle_to_joining_and_a_readers_work_is(opened: OpenedWorkspace, tmp_path: Path) -> None:
    names = ("a_in", "b_opp", "c_W")
    found = imported(opened, tmp_path / "d", *names)
    with opened.catalog.begin() as session:
        for name in names:
            session.add(
                Presegmentation(
                    acquisition_id=session.get_one(Examination, found[name]).acquisition_id, examination_id=found[name],
                    model_version="bootstrap", source="raw", path=f"presegmentations/{name}", digest="d",
                )
            )  # fmt: skip
        add_annotation(session, session.get_one(Examination, found["c_W"]).acquisition)
    edit_examinations(opened.catalog, list(found.values()), {"participant": "P1"}, actor="ada")
    assert acquisition_of(opened, found["a_in"]) == acquisition_of(opened, found["b_opp"])
    assert acquisition_of(opened, found["c_W"]) != acquisition_of(opened, found["a_in"])
    with opened.catalog.read() as session:
        assert len(session.scalars(select(Acquisition)).all()) == 2
        drafted = session.scalars(select(Presegmentation.acquisition_id)).all()
        assert sorted(drafted) == sorted(acquisition_of(opened, found[name]) for name in ("a_in", "c_W"))


def split(workspace: OpenedWorkspace, **sides: bool | None) -> None:
    with workspace.catalog.begin() as session:
        for person in session.scalars(select(Participant)):
            person.held_out = sides[person.code]


def side_of(workspace: OpenedWorkspace, code: str) -> bool | None:
    with workspace.catalog.read() as session:
        person = participants.by_code(session, code)
        assert person is not None
        return person.held_out


@pytest.mark.parametrize("role", [CaseRole.TRAINING, CaseRole.HELD_OUT, None])
def test_a_case_that_was_trained_on_is_never_tested_on(
    opened: OpenedWorkspace, tmp_path: Path, role: CaseRole | None
) -> None:
    found = imported(opened, tmp_path / "d", "A", "B", "C")
    split(opened, A=role is CaseRole.HELD_OUT, B=True, C=False)
    with opened.catalog.begin() as session:
        annotation = add_annotation(session, session.get_one(Examination, found["A"]).acquisition)
        if role is not None:
            add_round(session, 1, [(annotation, role)])
    moved = edit(opened, found["A"], participant="B", station="x")
    trained = role is CaseRole.TRAINING
    assert side_of(opened, "B") is not trained
    assert any("training cases from now on" in note for note in moved.notes) is trained
    assert any("held out from training now" in note for note in moved.notes) is (role is None)
    fresh = edit(opened, found["A"], participant="new")
    assert fresh.changes["participant"] == ("B", "new")
    # What was in no round is still free to be decided; the others keep the side that they were on.
    assert side_of(opened, "new") is {CaseRole.TRAINING: False, CaseRole.HELD_OUT: True, None: None}[role]
    with opened.catalog.read() as session:
        cases = session.scalars(select(RoundCase)).all()
        assert [case.acquisition_id for case in cases] == [acquisition_of(opened, found["A"])] * len(cases)


def test_an_exclusion_follows_the_participant(opened: OpenedWorkspace, tmp_path: Path) -> None:
    found = imported(opened, tmp_path / "d", "A", "B")
    exclude(opened.catalog, "B", reason="withdrew consent", actor="ada")
    assert any("withdrew" in note for note in edit(opened, found["A"], participant="B").notes)
    assert any("included again" in note for note in edit(opened, found["A"], participant="C").notes)
    assert codes(opened) == ["B", "C"]
    edit(opened, found["B"], participant="C", station="y")
    assert codes(opened) == ["B", "C"]  # whoever withdrew is remembered, with or without images


def test_importing_again_with_a_pattern_fills_in_and_names_what_differs(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    names = ("P1/pelvis_in", "P1/pelvis_opp", "P1/scan_x", "P2/pelvis_in")
    first = imported(opened, tmp_path / "d", *names)
    assert len(codes(opened)) == 4
    options = ImportOptions(pattern="{participant}/{station}_{sequence}")
    dry = import_paths(opened, [tmp_path / "d"], ImportOptions(pattern=options.pattern, dry_run=True))
    report = import_paths(opened, [tmp_path / "d"], options)
    assert (len(report.updated), report.unchanged, report.accepted, report.refused) == (4, 0, [], [])
    assert [entry.changes for entry in dry.updated] == [entry.changes for entry in report.updated]
    assert codes(opened) == ["P1", "P2"]
    with opened.catalog.read() as session:
        rows = {Path(row.source).parent.name + "/" + row.sequence: row for row in session.scalars(select(Examination))}
    assert rows["P1/in"].acquisition_id == rows["P1/opp"].acquisition_id
    assert rows["P1/in"].acquisition.station == "pelvis"
    assert import_paths(opened, [tmp_path / "d"], options).unchanged == 4
    edit(opened, rows["P1/x"].id, station="thorax")
    again = import_paths(opened, [tmp_path / "d"], options)
    (note,) = again.passed_over
    assert "the station is 'thorax' in the catalogue, but 'scan' in this import" in note.reason
    assert f"examinations edit {rows['P1/x'].id} --station 'scan'" in note.reason
    assert values(opened, rows["P1/x"].id)[1] == "thorax"
    assert first["scan_x"] == rows["P1/x"].id


def test_stations_that_were_unknown_part_what_was_joined(opened: OpenedWorkspace, tmp_path: Path) -> None:
    names = ("P1/up_in", "P1/up_W", "P1/low_opp", "P1/low_F")
    imported(opened, tmp_path / "d", *names, pattern="{participant}/*")
    with opened.catalog.read() as session:
        assert len(session.scalars(select(Acquisition)).all()) == 1
    import_paths(opened, [tmp_path / "d"], ImportOptions(pattern="{participant}/{station}_{sequence}"))
    with opened.catalog.read() as session:
        stations = {
            row.station: {one.sequence for one in row.examinations} for row in session.scalars(select(Acquisition))
        }
    assert stations == {"up": {"in", "water"}, "low": {"opp", "fat"}}


def test_importing_again_with_a_table_gives_files_to_its_participants(opened: OpenedWorkspace, tmp_path: Path) -> None:
    found = imported(opened, tmp_path / "d", "0001/T1", "0001/T2")
    (tmp_path / "d/participants.csv").write_text("participant,sex,age\n1,F,61\n")
    report = import_paths(opened, [tmp_path / "d"], ImportOptions(match_ids=MatchIds.LOOSE))
    assert len(report.updated) == 2
    for one in found.values():
        assert values(opened, one)[0] == "0001" and values(opened, one)[3:] == ("F", 61.0)


def test_a_stated_participant_is_never_taken_for_a_derived_one(opened: OpenedWorkspace, tmp_path: Path) -> None:
    write(tmp_path / "d/P1/x_in.nii.gz", 1)
    import_paths(opened, [tmp_path / "d"], ImportOptions(participant="P1"))
    report = import_paths(opened, [tmp_path / "d"], ImportOptions(participant="P2"))
    assert "examinations edit" in report.refused[0].reason
    assert codes(opened) == ["P1"]


def test_an_upload_that_is_imported_gets_its_participant(opened: OpenedWorkspace, tmp_path: Path) -> None:
    file = write(tmp_path / "d/P1/x_T1.nii.gz", 1)
    uploaded = register_upload(opened, Reader("anna"), file, alias="mine")
    report = import_paths(opened, [tmp_path / "d"], ImportOptions(pattern="{participant}/{station}_{sequence}"))
    assert [entry.examination for entry in report.updated] == [uploaded]
    assert values(opened, uploaded)[:3] == ("P1", "x", "t1")


def test_the_command_and_its_document(opened: OpenedWorkspace, tmp_path: Path) -> None:
    found = imported(opened, tmp_path / "d", "A", "B")
    command = ["examinations", "edit", *found.values(), "--participant", "P1", "--workspace", str(opened.root)]
    result = CliRunner().invoke(app, [*command, "--age", "61,5", "--author", "ada"])
    assert result.exit_code == 0, result.output
    assert f"{found['A']}: participant 'A' to 'P1', age None to 61.5" in result.output
    again = CliRunner().invoke(app, [*command, "--sex", "f", "--json"])
    (first, second) = json.loads(again.stdout)["edited"]
    assert first["changes"] == {"sex": {"before": None, "after": "F"}}
    assert second["changes"] == {}
    assert first["examination"]["participant"] == "P1"


def test_dicom_of_a_stored_conversion_does_not_part_its_channels(opened: OpenedWorkspace, tmp_path: Path) -> None:
    affine = np.array([[-1.5, 0, 0, 30], [0, -2.5, 0, 20], [0, 0, 4.0, 100], [0, 0, 0, 1]])
    for seed, name in enumerate(("x_in", "x_opp")):
        path = tmp_path / f"d/P1/{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(dcm.noise(seed), affine), path)
    pattern = ImportOptions(pattern="{participant}/{station}_{sequence}")
    found = ids_by_name(import_paths(opened, [tmp_path / "d"], pattern))
    dcm.save(tmp_path / "dicom", dcm.series(dcm.noise(0), SeriesDescription="t1_vibe_dixon_W"))
    report = import_paths(opened, [tmp_path / "dicom"], ImportOptions(participant="P1"))
    assert report.unchanged == 1
    assert ["the sequence is 'in' in the catalogue, but 'water'" in entry.reason for entry in report.passed_over] == [
        True
    ]
    assert acquisition_of(opened, found["x_in"]) == acquisition_of(opened, found["x_opp"])
