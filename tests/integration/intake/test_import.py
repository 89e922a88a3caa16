"""Imports into a real workspace and database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from sqlalchemy import func, select

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Alias, AuditEvent, Examination, Job, Participant
from mrseg_label.errors import InvalidInput
from mrseg_label.files import sha256_of
from mrseg_label.imaging import write_nifti
from mrseg_label.intake.options import ImportOptions, ImportReport, MatchIds
from mrseg_label.intake.service import import_paths, register_upload
from mrseg_label.jobs import queue
from mrseg_label.nnunet.dataset import TrainingCase, write_raw_dataset
from mrseg_label.workspace import Workspace
from tests.support.paths import REAL_MR as REAL_MR_FOLDER

DIXON = ImportOptions(pattern="{participant}/{station}_{sequence}.nii.gz")
REAL_MR = REAL_MR_FOLDER / "example_mr_sm.nii.gz"
Opened = OpenedWorkspace


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    Workspace.init(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws")
    yield workspace
    workspace.catalog.close()


def write(path: Path, seed: int, *, shape: tuple[int, int, int] = (6, 7, 8), shift: float = 0.0) -> Path:
    """A noise image with axes LPS, 2 x 2 x 3 mm, sform and qform equal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-2.0, -2.0, 3.0, 1.0])
    affine[:3, 3] = (10 + shift, 20, -30)
    image = nib.Nifti1Image(np.random.default_rng(seed).integers(-50, 900, shape).astype(np.int16), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    nib.save(image, path)
    return path


def dixon(folder: Path, participants: tuple[str, ...] = ("P1", "P2")) -> Path:
    """Two stations with four channels each."""
    for number, participant in enumerate(participants):
        for place, station in enumerate(("abdomen", "pelvis")):
            for channel, sequence in enumerate(("F", "W", "in", "opp")):
                write(
                    folder / participant / f"{station}_{sequence}.nii.gz",
                    100 * number + 10 * place + channel,
                    shift=50 * place,
                )
    return folder


def reasons(report: ImportReport) -> dict[str, str]:
    return {Path(entry.source).name: entry.reason for entry in report.refused}


def test_real_mr_keeps_its_voxels_and_world_coordinates(opened: Opened) -> None:
    if not REAL_MR.is_file():
        pytest.skip("the real MR is not beside the repository")
    workspace = opened
    report = import_paths(workspace, [REAL_MR])
    (entry,) = report.to_json()["accepted"]
    assert entry["shape"] == [117, 91, 20]
    assert np.allclose(entry["spacing_mm"], 3)
    assert entry["axcodes"] == "LPS"
    before, after = sitk.ReadImage(str(REAL_MR)), sitk.ReadImage(str(workspace.root / entry["stored"]))
    assert np.array_equal(sitk.GetArrayFromImage(before), sitk.GetArrayFromImage(after))
    by_nibabel = nib.load(workspace.root / entry["stored"])
    for index in ((0, 0, 0), (116, 0, 0), (0, 90, 0), (0, 0, 19), (116, 90, 19)):
        place = np.array(before.TransformIndexToPhysicalPoint(index))
        assert np.allclose(after.TransformIndexToPhysicalPoint(index), place, atol=1e-3)
        ras = by_nibabel.affine @ (*index, 1)
        assert np.allclose(ras[:3] * (-1, -1, 1), place, atol=1e-3)
        assert by_nibabel.dataobj[index] == after.GetPixel(index)
    # nnU-Net reads the case of its raw data set, with axes RAS; the same voxel is in the same place.
    label = workspace.root / "tmp/label.nii.gz"
    write_nifti(label, np.ones((117, 91, 20), np.uint8), report.accepted[0].geometry)
    case = TrainingCase("case", workspace.path(entry["stored"]), label, "P")
    dataset = write_raw_dataset(workspace.root / "nnunet/raw", "Dataset501_real", [case], workspace.scheme)
    theirs, properties = SimpleITKIO().read_images([str(dataset.folder / "imagesTr/case_0000.nii.gz")])
    grid = sitk.GetImageFromArray(theirs[0])
    grid.SetSpacing(properties["sitk_stuff"]["spacing"])
    grid.SetOrigin(properties["sitk_stuff"]["origin"])
    grid.SetDirection(properties["sitk_stuff"]["direction"])
    for index in ((0, 0, 0), (116, 0, 0), (0, 90, 0), (0, 0, 19), (60, 45, 10)):
        there = grid.TransformPhysicalPointToContinuousIndex(before.TransformIndexToPhysicalPoint(index))
        assert np.allclose(there, np.rint(there), atol=1e-3)
        assert grid.GetPixel([int(n) for n in np.rint(there)]) == before.GetPixel(index)


def test_channels_are_one_acquisition_with_the_preferred_one_first(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    report = import_paths(workspace, [dixon(tmp_path / "data")], DIXON)
    assert not report.refused
    assert Counter(entry.acquisition_id for entry in report.accepted) == Counter(
        {entry.acquisition_id: 4 for entry in report.accepted}
    )
    assert len({entry.acquisition_id for entry in report.accepted}) == 4
    with workspace.catalog.read() as session:
        for acquisition in session.scalars(select(Acquisition)):
            primary = session.get_one(Examination, acquisition.primary_examination_id)
            assert (primary.sequence, acquisition.sequence) == ("in", "in")
            assert {channel.sequence for channel in acquisition.examinations} == {"in", "opp", "fat", "water"}
            for channel in acquisition.examinations:
                workspace.verify(channel.path, channel.digest)
        assert session.scalar(select(func.count()).select_from(Job).where(Job.kind == queue.PRESEGMENT_PENDING)) == 1
        assert session.scalars(select(AuditEvent.action)).first() == "import"


def test_the_channel_to_presegment_can_be_chosen(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    options = ImportOptions(pattern=DIXON.pattern, primary_sequences=("W", "in"))
    import_paths(workspace, [dixon(tmp_path / "data")], options)
    with workspace.catalog.read() as session:
        assert set(session.scalars(select(Acquisition.sequence))) == {"water"}


def test_another_grid_is_another_acquisition(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    write(tmp_path / "d/P/abdomen_in.nii.gz", 1)
    write(tmp_path / "d/P/abdomen_opp.nii.gz", 2, shift=0.001)  # rounding
    write(tmp_path / "d/P/abdomen_T1.nii.gz", 3, shift=1.0)
    write(tmp_path / "d/P/abdomen_T2.nii.gz", 4, shape=(6, 7, 9))
    report = import_paths(workspace, [tmp_path / "d"], DIXON)
    group = {entry.sequence: entry.acquisition_id for entry in report.accepted}
    assert group["in"] == group["opp"]
    assert len(set(group.values())) == 3


def test_the_same_sequence_again_is_reported_as_a_repeat(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    write(tmp_path / "a/P/abdomen_in.nii.gz", 1)
    write(tmp_path / "a/P/abdomen_opp.nii.gz", 2)
    write(tmp_path / "b/P/abdomen_in.nii.gz", 3)
    write(tmp_path / "b/P/abdomen_opp.nii.gz", 4)
    first = import_paths(workspace, [tmp_path / "a"], DIXON)
    second = import_paths(workspace, [tmp_path / "b"], DIXON)
    assert len({entry.acquisition_id for entry in (*first.accepted, *second.accepted)}) == 2
    assert any("repeat" in warning for warning in second.accepted[0].warnings)
    assert second.accepted[0].acquisition_id == second.accepted[1].acquisition_id


def test_again_changes_nothing_and_new_files_join_their_acquisition(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    folder = dixon(tmp_path / "data", ("P1",))
    late = folder / "P1/abdomen_in.nii.gz"
    late.rename(tmp_path / "late.nii.gz")
    first = import_paths(workspace, [folder], DIXON)
    (tmp_path / "late.nii.gz").rename(late)
    second = import_paths(workspace, [folder], DIXON)
    assert (len(first.accepted), len(second.accepted), second.unchanged) == (7, 1, 7)
    with workspace.catalog.read() as session:
        assert (
            session.get_one(Acquisition, second.accepted[0].acquisition_id).primary_examination_id
            == second.accepted[0].id
        )
    assert import_paths(workspace, [folder], DIXON).unchanged == 8
    assert len(list((workspace.root / "images").iterdir())) == 8
    assert not list((workspace.root / "tmp").iterdir())


def test_the_same_bytes_under_two_participants_are_refused(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    write(tmp_path / "d/P1/abdomen_in.nii.gz", 1)
    copy = tmp_path / "d/P2/abdomen_in.nii.gz"
    copy.parent.mkdir()
    copy.write_bytes((tmp_path / "d/P1/abdomen_in.nii.gz").read_bytes())
    report = import_paths(workspace, [tmp_path / "d"], DIXON)
    assert [entry.participant for entry in report.accepted] == ["P1"]
    assert "participant P1" in report.refused[0].reason
    with workspace.catalog.read() as session:
        assert session.scalars(select(Participant.code)).all() == ["P1"]


def test_two_imports_at_once_do_not_give_one_image_to_two_participants(tmp_path: Path, database_settings: str) -> None:
    Workspace.init(tmp_path / "ws", settings_text=database_settings or None)
    workspace = open_workspace(tmp_path / "ws")
    for turn in range(5):
        write(tmp_path / "d/x.nii.gz", turn)
        start = threading.Barrier(4)

        def one(code: str, start: threading.Barrier = start) -> ImportReport:
            start.wait(30)
            return import_paths(workspace, [tmp_path / "d"], ImportOptions(participant=code))

        with ThreadPoolExecutor(4) as pool:
            reports = list(pool.map(one, [f"P{turn}-{n}" for n in range(4)]))
        assert sorted(len(report.accepted) for report in reports) == [0, 0, 0, 1]
        assert sum(len(report.refused) for report in reports) == 3
    workspace.catalog.close()


def test_the_same_image_in_another_format_is_the_same_image(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    first = write(tmp_path / "d/P1/abdomen_in.nii.gz", 1)
    sitk.WriteImage(sitk.ReadImage(str(first)), str(tmp_path / "other.nrrd"))
    import_paths(workspace, [tmp_path / "d"], DIXON)
    again = import_paths(workspace, [tmp_path / "other.nrrd"], ImportOptions(participant="P1"))
    assert (again.unchanged, len(again.accepted)) == (1, 0)
    other = import_paths(workspace, [tmp_path / "other.nrrd"], ImportOptions(participant="P2"))
    assert len(other.refused) == 1


def test_a_duplicate_within_one_import_is_named(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    first = write(tmp_path / "P1/a.nii.gz", 1)
    (tmp_path / "P1/b.nii.gz").write_bytes(first.read_bytes())
    report = import_paths(workspace, [tmp_path / "P1"], ImportOptions(participant="P1"))
    assert (len(report.accepted), report.unchanged) == (1, 1)
    assert "b.nii.gz has the same content" in report.accepted[0].warnings[0]


def test_without_anything_stated_each_file_is_a_participant_of_its_own(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    write(tmp_path / "d/one/scan.v1.2.nii.gz", 1)
    write(tmp_path / "d/two/scan.v1.2.nii.gz", 2)
    write(tmp_path / "d/Jürgen Groß.nii.gz", 3)
    write(tmp_path / "d/._hidden.nii.gz", 4)
    (tmp_path / "d/notes.txt").write_text("not an image")
    (tmp_path / "d/old.hdr").write_bytes(b"x")
    report = import_paths(workspace, [tmp_path / "d"])
    assert {entry.participant for entry in report.accepted} == {"one/scan.v1.2", "two/scan.v1.2", "Jürgen Groß"}
    assert len({entry.acquisition_id for entry in report.accepted}) == 3
    assert "convert" in reasons(report)["old.hdr"]
    # The files one by one, and from another folder on: the same files, the same participants.
    files = sorted((tmp_path / "d").rglob("*.nii.gz"))
    assert import_paths(workspace, [file for file in files if file.name[0] != "."]).unchanged == 3
    assert import_paths(workspace, [tmp_path / "d/one"]).unchanged == 1


def test_the_same_name_in_two_folders_is_two_images(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    first = import_paths(workspace, [write(tmp_path / "a/scan.nii.gz", 1)])
    second = import_paths(workspace, [write(tmp_path / "b/scan.nii.gz", 2)])
    assert (first.accepted[0].participant, second.accepted[0].participant) == ("scan", "b/scan")
    copy = tmp_path / "c/copy.nii.gz"
    copy.parent.mkdir()
    copy.write_bytes((tmp_path / "a/scan.nii.gz").read_bytes())
    assert "participant scan" in import_paths(workspace, [copy]).refused[0].reason


def test_unusable_files_are_refused_and_the_rest_imported(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    folder = tmp_path / "d"
    write(folder / "good.nii.gz", 1)
    whole = write(folder / "cut.nii.gz", 2).read_bytes()
    (folder / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), folder / "constant.nii.gz")
    (folder / "text.nrrd").write_text("hello")
    report = import_paths(workspace, [folder, tmp_path / "missing", folder / "nothing.png"])
    assert [Path(entry.source).name for entry in report.accepted] == ["good.nii.gz"]
    assert set(reasons(report)) == {"cut.nii.gz", "constant.nii.gz", "text.nrrd", "missing", "nothing.png"}
    assert len(list((workspace.root / "images").iterdir())) == 1


def test_orientation_is_stated_only_where_the_file_gives_none(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), None)
    image.header.set_zooms((1, 2, 3))
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    (tmp_path / "d").mkdir()
    nib.save(image, tmp_path / "d/none.nii.gz")
    assert "--orientation" in import_paths(workspace, [tmp_path / "d"]).refused[0].reason
    report = import_paths(workspace, [tmp_path / "d"], ImportOptions(orientation="LPS"))
    assert report.accepted[0].geometry.axcodes == "LPS"
    assert any("LPS" in warning for warning in report.accepted[0].warnings)


def test_participants_of_a_table(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    folder = dixon(tmp_path / "data")
    (folder / "participants.csv").write_text("Participant;Sex;Age\nP1;male;61,5\nP2;f;n/a\nP3;zebra;3\n")
    report = import_paths(workspace, [folder], DIXON)
    assert len(report.accepted) == 16
    assert [entry.source for entry in report.refused] == [f"{folder / 'participants.csv'}, line 4"]
    (folder / "participants.csv").write_text("participant,sex,age\nP1,F,61.5\nP2,F,44\n")
    again = import_paths(workspace, [folder], DIXON)
    assert "the sex of participant P1 is M in the catalogue, but F" in again.refused[0].reason
    with workspace.catalog.read() as session:
        people = {person.code: (person.sex, person.age) for person in session.scalars(select(Participant))}
    assert people == {"P1": ("M", 61.5), "P2": ("F", 44.0)}


NUMBERED = ("0001", "0002", "0003", "0004")


def numbered(folder: Path) -> Path:
    """Four folders of an image each, beside a table that numbers them 1 to 4, and a fifth that nobody has."""
    for seed, code in enumerate(NUMBERED):
        write(folder / code / "T1.nii.gz", seed)
    (folder / "participants.csv").write_text("participant,sex,age\n1,F,61\n2,M,44\n3,F,50\n4,M,70\n5,M,9\n")
    return folder


def people(workspace: Opened) -> dict[str, tuple[str | None, float | None]]:
    with workspace.catalog.read() as session:
        return {person.code: (person.sex, person.age) for person in session.scalars(select(Participant))}


@pytest.mark.parametrize("pattern", ["{participant}/{sequence}.nii.gz", None])
def test_rows_that_match_no_participant_are_named_and_taken_loosely(
    opened: Opened, tmp_path: Path, pattern: str | None
) -> None:
    folder = numbered(tmp_path / "d")
    strict = import_paths(opened, [folder], ImportOptions(pattern=pattern, dry_run=True))
    assert {row.row: row.likely for row in strict.unmatched_rows} == {
        **{str(int(code)): (code,) for code in NUMBERED},
        "5": (),
    }
    assert strict.unmatched_rows[0].source == f"{folder / 'participants.csv'}, line 2"
    assert strict.participants_without_row == 4
    options = ImportOptions(pattern=pattern, match_ids=MatchIds.LOOSE)
    dry = import_paths(opened, [folder], replace(options, dry_run=True))
    report = import_paths(opened, [folder], options)
    assert [(row.row, row.participant) for row in report.matched_rows] == [(str(int(code)), code) for code in NUMBERED]
    assert [row.row for row in report.unmatched_rows] == ["5"]
    assert (dry.matched_rows, dry.unmatched_rows) == (report.matched_rows, report.unmatched_rows)
    assert "participants_without_row" not in report.to_json()
    assert people(opened) == {"0001": ("F", 61), "0002": ("M", 44), "0003": ("F", 50), "0004": ("M", 70)}
    # A row of a participant who was imported before is not missing; a contradiction is named and changes nothing.
    (folder / "participants.csv").write_text("participant,sex,age\n1,M,61\n0002,M,44\n")
    again = import_paths(opened, [folder / "0001"], replace(options, csv=folder / "participants.csv"))
    assert again.unmatched_rows == []
    assert ["the sex of participant 0001 is F" in entry.reason for entry in again.refused] == [True]


def test_a_table_without_a_pattern_names_participants_by_folder_or_beginning(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    for seed, name in enumerate(("P1/in.nii.gz", "P1/opp.nii.gz", "P10_T1.nii.gz", "stranger.nii.gz")):
        write(tmp_path / "d" / name, seed)
    table = tmp_path / "people.csv"
    table.write_text("participant,sex,age\nP1,M,60\nP10,F,50\n")
    report = import_paths(workspace, [tmp_path / "d"], ImportOptions(csv=table))
    found = {Path(entry.source).name: (entry.participant, entry.sequence) for entry in report.accepted}
    assert found == {
        "in.nii.gz": ("P1", "in"),
        "opp.nii.gz": ("P1", "opp"),
        "P10_T1.nii.gz": ("P10", "t1"),
        "stranger.nii.gz": ("stranger", ""),
    }
    groups = {entry.sequence: entry.acquisition_id for entry in report.accepted}
    assert groups["in"] == groups["opp"]


def test_dry_run_reports_the_same_and_stores_nothing(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    folder = dixon(tmp_path / "data")
    (folder / "P2/pelvis_in.nii.gz").write_bytes((folder / "P1/pelvis_in.nii.gz").read_bytes())
    dry = import_paths(workspace, [folder], ImportOptions(pattern=DIXON.pattern, dry_run=True))
    with workspace.catalog.read() as session:
        for table in (Participant, Acquisition, Examination, Job, AuditEvent):
            assert session.scalar(select(func.count()).select_from(table)) == 0
    assert not list((workspace.root / "images").iterdir())
    assert not list((workspace.root / "tmp").iterdir())
    real = import_paths(workspace, [folder], DIXON)
    assert [entry.id for entry in dry.accepted] == [entry.id for entry in real.accepted]
    assert (len(dry.accepted), len(dry.refused)) == (15, 1)


def test_reference_leaves_the_file_where_it_is_unless_it_needs_conversion(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    plain = write(tmp_path / "d/plain.nii.gz", 1)
    scaled = nib.load(write(tmp_path / "d/scaled.nii.gz", 2))
    scaled.header.set_slope_inter(2.0, 1.0)
    nib.save(scaled, tmp_path / "d/scaled.nii.gz")
    nib.save(
        nib.Nifti1Image(np.asarray(nib.load(plain).dataobj) + 1, nib.load(plain).affine), tmp_path / "d/noqform.nii.gz"
    )
    report = import_paths(workspace, [tmp_path / "d"], ImportOptions(reference=True))
    stored = {entry.participant: workspace.path(entry.stored) for entry in report.accepted}
    assert stored["plain"].is_symlink()
    assert stored["plain"].resolve() == plain.resolve()
    for name in ("scaled", "noqform"):
        assert not stored[name].is_symlink()
    warnings = {entry.participant: " ".join(entry.warnings) for entry in report.accepted}
    assert "scaled" in warnings["scaled"]
    assert "mm" in warnings["noqform"]
    with workspace.catalog.read() as session:
        for examination in session.scalars(select(Examination)):
            workspace.verify(examination.path, examination.digest)
    assert plain.is_file()
    assert np.array_equal(nib.load(stored["scaled"]).get_fdata(), nib.load(tmp_path / "d/scaled.nii.gz").get_fdata())


@pytest.mark.parametrize(
    "pattern", ["{station}/{sequence}.nii.gz", "{participant}/{who}.nii.gz", "{participant}/{participant}"]
)
def test_a_pattern_that_cannot_be_used_is_an_error(opened: Opened, tmp_path: Path, pattern: str) -> None:
    with pytest.raises(InvalidInput, match="pattern"):
        import_paths(opened, [tmp_path], ImportOptions(pattern=pattern))


def test_uploads_under_a_readers_own_name(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    first, second = write(tmp_path / "a.nii.gz", 1), write(tmp_path / "b.nii.gz", 2)
    name = "3: T1 VIBE dixon"
    one = register_upload(workspace, Reader("anna"), first, alias=name)
    assert register_upload(workspace, Reader("anna"), first, alias=name) == one
    assert register_upload(workspace, Reader("ben"), first, alias="other") == one
    two = register_upload(workspace, Reader("anna"), second, alias=name)
    assert two != one
    with workspace.catalog.read() as session:
        assert session.get_one(Alias, ("anna", name)).examination_id == two
        assert session.get_one(Alias, ("ben", "other")).examination_id == one
        examinations = [session.get_one(Examination, each) for each in (one, two)]
        # The same name does not mean the same participant: two images are two participants.
        assert len({each.acquisition.participant_id for each in examinations}) == 2
        assert all(each.acquisition.primary_examination_id == each.id for each in examinations)
        assert session.scalar(select(func.count()).select_from(Job).where(Job.kind == queue.PRESEGMENT_PENDING)) == 1
    for bad in ("", "a/b", "x\\y", "..", "a\nb", "x" * 201):
        with pytest.raises(InvalidInput):
            register_upload(workspace, Reader("anna"), first, alias=bad)
    (tmp_path / "junk.nii.gz").write_bytes(b"junk")
    with pytest.raises(InvalidInput, match="junk name"):
        register_upload(workspace, Reader("anna"), tmp_path / "junk.nii.gz", alias="junk name")


def test_a_downloaded_image_that_is_uploaded_again_is_the_same(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    report = import_paths(workspace, [write(tmp_path / "a.nii.gz", 1)])
    entry = report.accepted[0]
    saved = tmp_path / "saved.nrrd"
    sitk.WriteImage(sitk.ReadImage(str(workspace.path(entry.stored))), str(saved))
    assert register_upload(workspace, Reader("anna"), saved, alias="mine") == entry.id


def test_killed_in_the_middle_and_run_again(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    for number in range(60):
        write(folder / f"P{number:03d}/abdomen_in.nii.gz", number)
    Workspace.init(tmp_path / "ws")
    program = (
        "import sys; from pathlib import Path\n"
        "from mrseg_label.catalog.opening import open_workspace\n"
        "from mrseg_label.intake.service import import_paths, ImportOptions\n"
        f"workspace = open_workspace(Path({str(tmp_path / 'ws')!r}))\n"
        f"import_paths(workspace, [Path({str(folder)!r})], ImportOptions(pattern={DIXON.pattern!r}))\n"
    )
    images = tmp_path / "ws/images"
    killed = 0
    for wanted in (20,):
        process = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "OMP_NUM_THREADS": "1"})
        while process.poll() is None and len(list(images.iterdir())) < wanted:
            time.sleep(0.01)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
    assert killed, "the import was over before it could be killed"
    workspace = open_workspace(tmp_path / "ws")
    with workspace.catalog.read() as session:
        before = session.scalar(select(func.count()).select_from(Examination)) or 0
        for examination in session.scalars(select(Examination)):
            workspace.verify(examination.path, examination.digest)
    report = import_paths(workspace, [folder], DIXON)
    assert (len(report.accepted) + before, report.unchanged, report.refused) == (60, before, [])
    with workspace.catalog.read() as session:
        stored = {each.path: each.digest for each in session.scalars(select(Examination))}
        assert session.scalar(select(func.count()).select_from(Acquisition)) == 60
    assert {f"images/{file.name}" for file in images.iterdir() if not file.name.startswith(".")} == set(stored)
    assert all(sha256_of(workspace.path(path)) == digest for path, digest in stored.items())
    workspace.catalog.close()


def test_report_as_json(opened: Opened, tmp_path: Path) -> None:
    report = import_paths(opened, [dixon(tmp_path / "data", ("P1",))], DIXON)
    document = json.loads(json.dumps(report.to_json()))
    assert set(document) == {"accepted", "refused", "unchanged", "passed_over"}
    assert set(document["accepted"][0]) == {
        *(
            "id",
            "source",
            "stored",
            "participant",
            "station",
            "sequence",
            "acquisition",
            "group",
            "shape",
            "spacing_mm",
            "affine",
            "axcodes",
            "warnings",
        ),
    }
