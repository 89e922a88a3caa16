"""Names that are not UTF-8, and companions of operating systems: one of them stops nothing."""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.tables import Examination, Participant
from mrseg_label.cli import app, main
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from tests.support import dicom_files as dcm
from tests.support.intake_files import boxes, picture, save, stored, work


def place(folder: Path, name: bytes, seed: int) -> Path:
    """Save an image under a name of bytes."""
    plain = save(folder / "x.nii.gz", picture(seed))
    target = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    target.parent.mkdir(parents=True, exist_ok=True)
    return plain.rename(target)


def test_names_of_old_shares_come_in_and_can_be_printed_and_stored(opened: OpenedWorkspace, tmp_path: Path) -> None:
    data = tmp_path / "d"
    place(data, b"plain.nii.gz", 1)
    place(data, b"M\xfcller/T1.nii.gz", 2)
    place(data, b"J\xf6rg \x81.nii.gz", 3)
    place(data, b"a\nb.nii.gz", 4)
    (data / os.fsdecode(b"kaputt\xe9.nii.gz")).write_bytes(b"no image")
    (data / os.fsdecode(b"dead\xe9.nii.gz")).symlink_to(data / "nowhere")
    dcm.save(data / os.fsdecode(b"M\xfcller 2"), dcm.series(dcm.noise(1), PatientName="M\xfcller^Uwe"))
    (data / "participants.csv").write_bytes("participant;sex;age\nMüller;F;50\n".encode("latin-1"))
    arguments = ["import", str(data), "--workspace", str(opened.root)]
    shown = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert shown.exit_code == 1, shown.output
    assert "4 would be accepted, 3 refused" in shown.output
    done = CliRunner().invoke(app, [*arguments, "--json"])
    document = json.loads(done.stdout)
    assert {entry["participant"] for entry in document["accepted"]} > {"plain", "Müller", "Jörg \\x81"}
    assert {Path(entry["source"]).name for entry in document["refused"]} == {
        "a\nb.nii.gz",
        "kaputté.nii.gz",
        "deadé.nii.gz",
    }
    assert sum("not UTF-8" in " ".join(entry["warnings"]) for entry in document["accepted"]) == 2
    assert any("Windows-1252" in entry["reason"] for entry in document["passed_over"])
    with opened.catalog.read() as session:
        sources = set(session.scalars(select(Examination.source)))
        assert str(data / "M\\xfcller/T1.nii.gz") in sources
        # Beside DICOM a name in a foreign encoding is the patient's name too.
        (series,) = (source for source in sources if "series" in source)
        assert "ller" not in series
        (participant,) = session.scalars(select(Participant).where(Participant.code == "Müller"))
        assert (participant.sex, participant.age) == ("F", 50)
    missing = CliRunner().invoke(app, [*arguments[:1], os.fsdecode(b"/gone/M\xfcller"), *arguments[2:]])
    assert "/gone/Müller: no such file or folder" in missing.output
    again = import_paths(opened, [data])
    assert (len(again.accepted), again.unchanged, len(again.refused)) == (0, 4, 3)


def test_masks_of_a_folder_that_is_not_utf_8(opened: OpenedWorkspace, tmp_path: Path) -> None:
    place(tmp_path / "d", b"M\xfcller/ct.nii.gz", 1)
    folder = tmp_path / "d" / os.fsdecode(b"M\xfcller") / "segmentations"
    save(folder / "liver.nii.gz", boxes(1))
    (folder / "x.nii.gz").touch()
    (folder / "x.nii.gz").rename(folder / os.fsdecode(b"M\xfcll.nii.gz"))
    options = ImportOptions(pattern="{participant}/ct.nii.gz", masks="{participant}/segmentations", reference=True)
    report = import_paths(opened, [tmp_path / "d"], options)
    assert (report.accepted[0].participant, report.masks, report.refused) == ("Müller", 1, [])
    assert "Müll" in report.passed_over[0].reason
    work(opened)
    assert len(stored(opened)) == 1


def test_names_that_differ_only_in_their_encoding_are_not_taken_for_one_another(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    data = tmp_path / "d"
    place(data, b"M\xfcller.nii.gz", 1)
    place(data, "Müller.nii.gz".encode(), 2)
    place(data, "Mu\u0308ller.nii.gz".encode(), 3)
    place(data, b"other.nii.gz", 4)
    report = import_paths(opened, [data])
    assert {entry.participant for entry in report.accepted} >= {"Müller", "other"}
    assert len(report.accepted) + len(report.refused) == 4
    assert all("rename" in entry.reason or "--participant" in entry.reason for entry in report.refused)
    codes = [entry.participant for entry in report.accepted]
    assert len(set(codes)) == len(codes)


def test_a_terminal_that_cannot_show_a_name_ends_no_command(
    opened: OpenedWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path / "d", b"M\xfcller.nii.gz", 1)
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    with pytest.raises(SystemExit) as ended:
        main(["import", str(tmp_path / "d"), "--workspace", str(opened.root)])
    terminal.flush()
    assert ended.value.code == 0
    assert b"M\\xfcller" in terminal.buffer.getvalue()


@pytest.mark.parametrize("zipped", [False, True])
def test_companions_in_folders_and_zips(opened: OpenedWorkspace, tmp_path: Path, zipped: bool) -> None:
    members = {f"case/{k}.dcm": dcm.as_bytes(ds) for k, ds in enumerate(dcm.series(dcm.noise(1)))}
    companion = b"\0\5\x16\7\0\2\0\0Mac OS X        "
    for name in ("__MACOSX/case/._0.dcm", "case/._0.dcm", "__MACOSX/case/scan.dcm", "case/.DS_Store", "@eaDir/0.dcm"):
        members[name] = companion
    members |= {"case/Thumbs.db": b"\xd0\xcf\x11\xe0", "case/desktop.ini": b"[.ShellClassInfo]", "case/Icon\r": b""}
    if zipped:
        dcm.save_zip(tmp_path / "d/case.zip", members)
    else:
        for name, content in members.items():
            (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "d" / name).write_bytes(content)
    report = import_paths(opened, [tmp_path / "d"])
    assert (len(report.accepted), report.refused, report.passed_over) == (1, [], [])
    assert report.accepted[0].warnings == []


def test_names_in_zips_of_other_programs(opened: OpenedWorkspace, tmp_path: Path) -> None:
    files = [dcm.as_bytes(ds) for ds in dcm.series(dcm.noise(1), PatientName="M\xfcller^Uwe")]
    members = {f"M\xfcller/{k}": content for k, content in enumerate(files)} | {"M\xfcller/report.txt": b"text"}
    dcm.save_zip(tmp_path / "d/right.zip", members)
    content = (tmp_path / "d/right.zip").read_bytes()
    for name, spelt in (("bytes", b"M\xfc_ller/"), ("unmarked", "Müller/".encode())):
        with zipfile.ZipFile(tmp_path / f"d/{name}.zip", "w") as archive:
            for number, data in enumerate((*files, b"text")):
                archive.writestr(f"M__ller/{number}", data)
        raw = (tmp_path / f"d/{name}.zip").read_bytes().replace(b"M__ller/", spelt)
        (tmp_path / f"d/{name}.zip").write_bytes(raw)
    invalid = content.replace("Müller/".encode(), b"M\xfc_ller/")
    (tmp_path / "d/invalid.zip").write_bytes(invalid)
    report = import_paths(opened, [tmp_path / "d"])
    assert len(report.accepted) == 1 and report.unchanged == 2
    (refused,) = report.refused
    assert "invalid.zip" in refused.source and "marked as UTF-8" in refused.reason
    assert "ller/" not in json.dumps([entry.source for entry in report.passed_over if "bytes" not in entry.source])
