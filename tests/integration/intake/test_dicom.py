"""DICOM exports into a real workspace: geometry, splits, refusals, and nothing of the patient left."""

from __future__ import annotations

import gzip
import json
import locale
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless
from sqlalchemy import select

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.tables import Examination, Participant
from mrseg_label.intake.options import ImportOptions, ImportReport
from mrseg_label.intake.service import import_paths
from mrseg_label.workspace import Workspace
from tests.support import dicom_files as dcm

Opened = OpenedWorkspace


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    Workspace.init(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws")
    yield workspace
    workspace.catalog.close()


def only(report: ImportReport) -> str:
    assert not report.accepted
    assert len(report.refused) == 1
    return report.refused[0].reason


def tilted(degrees: float) -> tuple[float, ...]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (1.0, 0.0, 0.0, 0.0, c, s)


@pytest.mark.parametrize("directions", [dcm.AXIAL, dcm.CORONAL, tilted(17), (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)])
def test_geometry_is_that_of_the_positions(opened: Opened, tmp_path: Path, directions: tuple[float, ...]) -> None:
    array = dcm.noise(1)
    files = dcm.series(array, directions=directions, RescaleSlope=1, RescaleIntercept=-7)
    folder = dcm.save(tmp_path / "d", files[::-1])
    report = import_paths(opened, [folder])
    assert not report.refused
    (entry,) = report.accepted
    assert (entry.sequence, entry.geometry.shape) == ("t1", (6, 5, 4))
    assert np.allclose(entry.geometry.spacing_mm, (1.5, 2.5, 4.0), atol=1e-4)
    stored = opened.path(entry.stored)
    by_nibabel, by_itk = nib.load(stored), sitk.ReadImage(str(stored))
    row, column = np.array(directions[:3]), np.array(directions[3:])
    for i, j, k in ((0, 0, 0), (5, 0, 0), (0, 4, 0), (0, 0, 3), (2, 3, 1)):
        place = np.array((-30.0, -20.0, 100.0)) + i * 1.5 * row + j * 2.5 * column + k * 4 * np.cross(row, column)
        assert np.allclose(by_itk.TransformIndexToPhysicalPoint((i, j, k)), place, atol=1e-3)
        assert np.allclose((by_nibabel.affine @ (i, j, k, 1))[:3] * (-1, -1, 1), place, atol=1e-3)
        assert by_itk.GetPixel(i, j, k) == by_nibabel.dataobj[i, j, k] == array[i, j, k] - 7
    # GDCM through SimpleITK puts the same voxels in the same place.
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    theirs = reader.Execute()
    for index in ((0, 0, 0), (3, 2, 1), (5, 4, 3)):
        place = theirs.TransformIndexToPhysicalPoint(index)
        assert by_itk.GetPixel(by_itk.TransformPhysicalPointToIndex(place)) == theirs.GetPixel(index)


def test_axial_files_are_lps_and_gaps_between_slices_are_kept(opened: Opened, tmp_path: Path) -> None:
    dcm.save(tmp_path / "d", dcm.series(dcm.noise(1), step=9.0, SliceThickness=5.0))
    (entry,) = import_paths(opened, [tmp_path / "d"]).accepted
    assert entry.geometry.axcodes == "LPS"
    assert entry.geometry.spacing_mm[2] == pytest.approx(9)


def test_rescaled_values_are_real_and_slopes_may_differ(opened: Opened, tmp_path: Path) -> None:
    array = dcm.noise(2)
    files = dcm.series(array)
    for k, ds in enumerate(files):
        ds.RescaleSlope, ds.RescaleIntercept = 0.5 * (k + 1), 10
    dcm.save(tmp_path / "d", files)
    (entry,) = import_paths(opened, [tmp_path / "d"]).accepted
    stored = nib.load(opened.path(entry.stored)).get_fdata()
    assert np.allclose(stored, array * (0.5 * np.arange(1, 5)) + 10)


def test_missing_slices_are_refused(opened: Opened, tmp_path: Path) -> None:
    files = dcm.series(dcm.noise(1, (6, 5, 8)))
    dcm.save(tmp_path / "d", files[:3] + files[4:])
    assert "1 slices are missing" in only(import_paths(opened, [tmp_path / "d"]))


def test_uneven_slices_are_refused(opened: Opened, tmp_path: Path) -> None:
    files = dcm.series(dcm.noise(1, (6, 5, 8)))
    files[3].ImagePositionPatient = [-30.0, -20.0, 112.9]
    dcm.save(tmp_path / "d", files)
    assert "unevenly" in only(import_paths(opened, [tmp_path / "d"]))


def test_tilted_stacks_are_refused(opened: Opened, tmp_path: Path) -> None:
    files = dcm.series(dcm.noise(1))
    for k, ds in enumerate(files):
        ds.ImagePositionPatient = [-30.0, -20.0 + 0.4 * k, 100.0 + 4 * k]
    dcm.save(tmp_path / "d", files)
    assert "tilted" in only(import_paths(opened, [tmp_path / "d"]))


def test_identical_duplicates_are_dropped_and_conflicting_ones_refused(opened: Opened, tmp_path: Path) -> None:
    files = dcm.series(dcm.noise(1))
    dcm.save(tmp_path / "d", files)
    dcm.save(tmp_path / "d", files[1:2], "copy")
    (entry,) = import_paths(opened, [tmp_path / "d"]).accepted
    assert any("twice" in warning for warning in entry.warnings)
    assert entry.geometry.shape == (6, 5, 4)
    other = dcm.series(dcm.noise(9), uid=files[0].SeriesInstanceUID)
    dcm.save(tmp_path / "e", files)
    dcm.save(tmp_path / "e", other[2:3], "other")
    assert "different voxels lie in the same place" in only(import_paths(opened, [tmp_path / "e"]))


def test_one_series_is_split_by_orientation_channel_echo_and_time(opened: Opened, tmp_path: Path) -> None:
    uid = "1.2.3.77"
    parts = [
        dcm.series(
            dcm.noise(1), uid=uid, SeriesDescription="dixon", ImageType=["DERIVED", "PRIMARY", "DIXON", "WATER"]
        ),
        dcm.series(dcm.noise(2), uid=uid, SeriesDescription="dixon", ImageType=["DERIVED", "PRIMARY", "DIXON", "FAT"]),
        dcm.series(dcm.noise(3), uid=uid, SeriesDescription="dixon", directions=dcm.CORONAL),
        dcm.series(dcm.noise(4), uid="1.2.3.78", SeriesDescription="t2_tse", EchoNumbers=1, EchoTime=80),
        dcm.series(dcm.noise(5), uid="1.2.3.78", SeriesDescription="t2_tse", EchoNumbers=2, EchoTime=160),
        dcm.series(dcm.noise(6), uid="1.2.3.79", SeriesDescription="t1_dyn", TemporalPositionIdentifier=1),
        dcm.series(dcm.noise(7), uid="1.2.3.79", SeriesDescription="t1_dyn", TemporalPositionIdentifier=2),
        dcm.series(
            dcm.noise(8), uid="1.2.3.80", SeriesDescription="t2_gre", ImageType=["ORIGINAL", "PRIMARY", "M", "ND"]
        ),
        dcm.series(
            dcm.noise(9), uid="1.2.3.80", SeriesDescription="t2_gre", ImageType=["ORIGINAL", "PRIMARY", "P", "ND"]
        ),
    ]
    for number, files in enumerate(parts):
        dcm.save(tmp_path / "d", files, f"{number}-")
    report = import_paths(opened, [tmp_path / "d"])
    assert ["phase image" in entry.reason for entry in report.refused] == [True]
    assert len(report.accepted) == 8
    stored = {
        nib.load(opened.path(entry.stored)).get_fdata().astype(np.int16).tobytes(): entry for entry in report.accepted
    }
    by_seed = {seed: stored[dcm.noise(seed).astype(np.int16).tobytes()] for seed in range(1, 9)}
    assert (by_seed[1].sequence, by_seed[2].sequence) == ("water", "fat")
    assert by_seed[1].acquisition_id == by_seed[2].acquisition_id != by_seed[3].acquisition_id
    assert by_seed[3].geometry.axcodes == "LIP"
    assert (by_seed[4].sequence, by_seed[5].sequence) == ("t2 echo 1", "t2 echo 2")
    assert by_seed[6].acquisition_id != by_seed[7].acquisition_id
    assert by_seed[6].sequence == by_seed[7].sequence == "t1"
    assert by_seed[8].sequence == "t2"


def test_echoes_that_no_number_tells_apart_are_split_by_their_times(opened: Opened, tmp_path: Path) -> None:
    for seed, echo in ((1, 2.3), (2, 4.6)):
        dcm.save(tmp_path / "d", dcm.series(dcm.noise(seed), uid="1.2.3.5", EchoTime=echo), f"{seed}-")
    report = import_paths(opened, [tmp_path / "d"])
    assert sorted(entry.sequence for entry in report.accepted) == ["t1 echo time 2.3", "t1 echo time 4.6"]


def test_localizers_projections_and_colours_are_refused(opened: Opened, tmp_path: Path) -> None:
    dcm.save(tmp_path / "a", dcm.series(dcm.noise(1), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    dcm.save(tmp_path / "b", dcm.series(dcm.noise(2), SeriesDescription="Survey 3-plane"))
    dcm.save(tmp_path / "c", dcm.series(dcm.noise(3), ImageType=["DERIVED", "SECONDARY", "MIP"]))
    dcm.save(tmp_path / "e", dcm.series(dcm.noise(4), PhotometricInterpretation="MONOCHROME1"))
    reasons = [only(import_paths(opened, [tmp_path / name])) if name != "e" else "" for name in "abce"]
    assert "localizer" in reasons[0] and "localizer" in reasons[1] and "projection" in reasons[2]
    assert "MONOCHROME2" in import_paths(opened, [tmp_path / "e"]).refused[0].reason


def test_enhanced_multiframe_in_any_order(opened: Opened, tmp_path: Path) -> None:
    array = dcm.noise(3)
    dcm.save(tmp_path / "d", [dcm.enhanced(array, (2, 0, 3, 1))])
    (entry,) = import_paths(opened, [tmp_path / "d"]).accepted
    assert (entry.sequence, entry.geometry.axcodes) == ("t2", "LPS")
    expected = np.array([[-1.5, 0, 0, 30], [0, -2.5, 0, 20], [0, 0, 4, 100], [0, 0, 0, 1]])
    assert np.allclose(entry.geometry.affine, expected)
    assert np.array_equal(nib.load(opened.path(entry.stored)).get_fdata(), array * 2.0 - 5)


@pytest.mark.parametrize(
    "names",
    [
        ("InPhase: Ax LAVA Flex", "OutPhase: Ax LAVA Flex", "FAT: Ax LAVA Flex", "WATER: Ax LAVA Flex"),
        ("IP mDIXON tra", "OP mDIXON tra", "F mDIXON tra", "W mDIXON tra"),
        ("t1_vibe_dixon_in_tra", "t1_vibe_dixon_opp_tra", "t1_vibe_dixon_F_tra", "t1_vibe_dixon_W_tra"),
    ],
)
def test_four_dixon_series_on_one_grid_are_one_acquisition(
    opened: Opened, tmp_path: Path, names: tuple[str, ...]
) -> None:
    for number, name in enumerate(names):
        files = dcm.series(dcm.noise(number), SeriesDescription=name, SeriesNumber=number)
        dcm.save(tmp_path / "d" / str(number), files)
    report = import_paths(opened, [tmp_path / "d"])
    assert [entry.sequence for entry in report.accepted] == ["in", "opp", "fat", "water"]
    assert len({entry.acquisition_id for entry in report.accepted}) == 1
    for number, entry in enumerate(report.accepted):
        assert np.array_equal(nib.load(opened.path(entry.stored)).get_fdata(), dcm.noise(number))


def test_run_length_encoding_is_read(opened: Opened, tmp_path: Path) -> None:
    array = dcm.noise(3)
    files = dcm.series(array)
    for ds in files:
        ds.compress(RLELossless)
    dcm.save(tmp_path / "d", files)
    (entry,) = import_paths(opened, [tmp_path / "d"]).accepted
    assert np.array_equal(nib.load(opened.path(entry.stored)).get_fdata(), array)


def test_jpeg_lossless_is_read_through_gdcm(opened: Opened, tmp_path: Path) -> None:
    # SimpleITK writes a slice compressed; the position of each comes from its own file.
    array = dcm.noise(3).astype(np.uint16)
    (tmp_path / "d").mkdir()
    for k in range(4):
        image = sitk.GetImageFromArray(np.ascontiguousarray(array[:, :, k].T)[np.newaxis])
        image.SetSpacing((1.5, 2.5, 4.0))
        image.SetOrigin((-30.0, -20.0, 100.0 + 4 * k))
        tags = {"0008|0016": dcm.MR, "0008|0060": "MR", "0020|000e": "1.2.3.4.5", "0020|000d": "1.2.3"}
        tags |= {"0020|0037": "1\\0\\0\\0\\1\\0", "0020|0032": f"-30\\-20\\{100 + 4 * k}", "0010|0020": dcm.NUMBER}
        for key, value in tags.items():
            image.SetMetaData(key, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetImageIO("GDCMImageIO")
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG")
        writer.SetFileName(str(tmp_path / f"d/{k}.dcm"))
        writer.Execute(image)
    locale.setlocale(locale.LC_ALL, "")  # ITK's writer leaves "C" behind, and with it ASCII for every later test
    report = import_paths(opened, [tmp_path / "d"])
    assert not report.refused
    assert np.array_equal(nib.load(opened.path(report.accepted[0].stored)).get_fdata(), array)


@pytest.mark.filterwarnings("ignore:The SOP Class:UserWarning")
def test_other_files_beside_the_images_are_reported_and_never_fatal(opened: Opened, tmp_path: Path) -> None:
    folder = dcm.save(tmp_path / "d", dcm.series(dcm.noise(1)))
    (folder / "DICOMDIR").write_bytes(dcm.as_bytes(dcm.empty("1.2.840.10008.1.3.10")))
    (folder / "report").write_bytes(dcm.as_bytes(dcm.empty("1.2.840.10008.5.1.4.1.1.88.11")))
    (folder / "notes.txt").write_text("hello")
    (folder / "broken.dcm").write_bytes(b"nothing at all")
    whole = dcm.as_bytes(dcm.series(dcm.noise(2), uid="1.9.9")[0])
    (folder / "cut.dcm").write_bytes(whole[: len(whole) - 40])
    report = import_paths(opened, [folder])
    assert len(report.accepted) == 1
    document = json.dumps(report.to_json())
    for name in ("DICOMDIR", "report", "notes.txt", "broken.dcm", "cut.dcm"):
        assert name in document
    assert {Path(entry.source).name for entry in report.refused} == {"broken.dcm", "cut.dcm"}


def test_nothing_of_the_patient_leaves_the_import(opened: Opened, tmp_path: Path) -> None:
    workspace = opened
    files = dcm.series(
        dcm.noise(1),
        study="1.2.826.5.6",
        AccessionNumber="A998877",
        InstitutionName="Klinik Musterstadt",
        ReferringPhysicianName="Arzt^Anton",
        SeriesDescription="Musterfrau t1 tse",
        PatientComments="allergic",
        ProtocolName="Erika",
    )
    folder = dcm.save(tmp_path / "Musterfrau_Erika" / "H4711-0815" / "A998877", files)
    (folder / "Erika Musterfrau.txt").write_text("letter")
    (folder / "Musterfrau.dcm").write_bytes(b"broken")
    (folder / "MR.1.2.826.5.6.77.8.dcm").write_bytes(b"broken too")
    (folder / "Arzt, Anton, Klinik Musterstadt.txt").write_text("another letter")
    report = import_paths(workspace, [tmp_path / "Musterfrau_Erika"])
    (entry,) = report.accepted
    assert entry.participant.startswith("P-")
    workspace.catalog.close()
    texts = [json.dumps(report.to_json(), ensure_ascii=False)]
    texts += [gzip.decompress(workspace.path(entry.stored).read_bytes()).decode("latin-1")]
    texts += [file.read_bytes().decode("latin-1") for file in workspace.root.glob("mrseg.db*")]
    for text in texts:
        for word in ("Muster", "Erika", "H4711", "0815", "A998877", "1964", "Klinik", "Arzt", "allergic", "1.2.826.5"):
            assert word.lower() not in text.lower(), word
    again = open_workspace(workspace.root)
    with again.catalog.read() as session:
        person = session.scalars(select(Participant)).one()
        assert (person.sex, person.age) == ("F", 61.0)
    # The same person in another export, another study: the same participant. Another workspace: another code.
    dcm.save(tmp_path / "later", dcm.series(dcm.noise(2), study="1.2.9"))
    assert import_paths(again, [tmp_path / "later"]).accepted[0].participant == entry.participant
    again.catalog.close()
    Workspace.init(tmp_path / "other")
    other = open_workspace(tmp_path / "other")
    assert import_paths(other, [tmp_path / "later"]).accepted[0].participant != entry.participant
    other.catalog.close()


def test_values_that_break_the_standard_are_not_quoted_on_the_screen(
    opened: Opened, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = dcm.series(dcm.noise(1))
    data = [dcm.as_bytes(ds).replace(b"19640812", b"Born1964") for ds in files]
    zipped = dcm.save_zip(tmp_path / "z.zip", {f"a/{k}": file for k, file in enumerate(data)})
    report = import_paths(opened, [zipped])
    assert len(report.accepted) == 1
    assert "Born1964" not in "".join(capfd.readouterr()) + json.dumps(report.to_json())


def test_participants_by_statement_pattern_and_pseudonym(opened: Opened, tmp_path: Path) -> None:
    dcm.save(tmp_path / "d/P1/series", dcm.series(dcm.noise(1)))
    stated = import_paths(opened, [tmp_path / "d"], ImportOptions(participant="S7"))
    assert stated.accepted[0].participant == "S7"
    dcm.save(tmp_path / "e/P1/series", dcm.series(dcm.noise(2)))
    by_pattern = import_paths(opened, [tmp_path / "e"], ImportOptions(pattern="{participant}/*"))
    assert by_pattern.accepted[0].participant == "P1"
    assert "does not match" in only(import_paths(opened, [tmp_path / "e"], ImportOptions(pattern="x{participant}")))


def test_the_same_export_again_changes_nothing(opened: Opened, tmp_path: Path) -> None:
    files = dcm.series(dcm.noise(1))
    dcm.save(tmp_path / "d", files)
    assert len(import_paths(opened, [tmp_path / "d"]).accepted) == 1
    assert import_paths(opened, [tmp_path / "d"]).unchanged == 1
    zipped = dcm.save_zip(tmp_path / "z.zip", {f"a/{k}": dcm.as_bytes(ds) for k, ds in enumerate(files)})
    assert import_paths(opened, [zipped]).unchanged == 1
    report = import_paths(opened, [tmp_path / "d"], ImportOptions(participant="somebody else"))
    assert "leak" in only(report)


def test_dicom_is_copied_and_not_linked(opened: Opened, tmp_path: Path) -> None:
    dcm.save(tmp_path / "d", dcm.series(dcm.noise(1)))
    (entry,) = import_paths(opened, [tmp_path / "d"], ImportOptions(reference=True)).accepted
    assert any("converted copy" in warning for warning in entry.warnings)
    assert not opened.path(entry.stored).is_symlink()


def test_dry_run_of_dicom_leaves_nothing(opened: Opened, tmp_path: Path) -> None:
    dcm.save(tmp_path / "d", dcm.series(dcm.noise(1)))
    report = import_paths(opened, [tmp_path / "d"], ImportOptions(dry_run=True))
    assert len(report.accepted) == 1
    assert not (opened.root / "pseudonyms.key").exists()
    with opened.catalog.read() as session:
        assert session.scalars(select(Examination)).all() == []


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:\\evil", "..\\evil"])
def test_a_zip_with_a_member_outside_is_refused_whole(opened: Opened, tmp_path: Path, name: str) -> None:
    members = {f"a/{k}": dcm.as_bytes(ds) for k, ds in enumerate(dcm.series(dcm.noise(1)))}
    zipped = dcm.save_zip(tmp_path / "z.zip", members | {name: b"x"})
    assert "outside" in only(import_paths(opened, [zipped]))


def test_a_zip_of_other_images_says_to_unpack_it(opened: Opened, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p1.zip", "w") as archive:
        archive.writestr("p1/t1.nii.gz", b"any")
        archive.writestr("p1/t2.NRRD", b"any")
    assert "unpack the zip" in only(import_paths(opened, [tmp_path / "p1.zip"]))


def test_links_bombs_and_damage_in_zips(opened: Opened, tmp_path: Path) -> None:
    members = {f"a/{k}": dcm.as_bytes(ds) for k, ds in enumerate(dcm.series(dcm.noise(1)))}
    linked = dcm.save_zip(tmp_path / "link.zip", members)
    with zipfile.ZipFile(linked, "a") as archive:
        info = zipfile.ZipInfo("a/link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert "link" in only(import_paths(opened, [linked]))
    bomb = dcm.save_zip(tmp_path / "bomb.zip", {"zeros": bytes(100_000_000)})
    assert "unpacks to" in only(import_paths(opened, [bomb]))
    many = dcm.save_zip(tmp_path / "many.zip", {f"zeros {n}": bytes(30_000_000) for n in range(3)})
    assert "times its size" in only(import_paths(opened, [many]))
    # Hidden beside what does not pack, so that the zip as a whole looks honest.
    ballast = np.random.default_rng(0).bytes(1_000_000)
    hidden = dcm.save_zip(tmp_path / "hidden.zip", {"ballast": ballast, "zeros": bytes(100_000_000)})
    assert "a member that unpacks to 100,000,000" in only(import_paths(opened, [hidden]))
    (tmp_path / "text.zip").write_text("no zip")
    assert "cannot be read" in only(import_paths(opened, [tmp_path / "text.zip"]))
    damaged = dcm.save_zip(tmp_path / "damaged.zip", members)
    data = bytearray(damaged.read_bytes())
    data[200:220] = bytes(20)
    damaged.write_bytes(data)
    assert "damaged" in only(import_paths(opened, [damaged]))


def test_a_series_with_a_broken_file_is_refused_whole(opened: Opened, tmp_path: Path) -> None:
    files = dcm.series(dcm.noise(1))
    folder = dcm.save(tmp_path / "d", files)
    last = folder / "IM0003"  # at the end, where no gap would tell
    last.write_bytes(last.read_bytes()[:-30])
    assert "whole series is refused" in only(import_paths(opened, [folder]))
    last.unlink()
    (folder / "IM0003.dcm").write_bytes(b"garbage")
    report = import_paths(opened, [folder])
    assert any("could not be read" in warning for warning in report.accepted[0].warnings)


def test_time_points_without_a_number_are_acquisitions_of_their_own(opened: Opened, tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        files = dcm.series(dcm.noise(seed), uid="1.2.3.5", AcquisitionNumber=seed)
        dcm.save(tmp_path / "d", files, f"{seed}-")
    report = import_paths(opened, [tmp_path / "d"])
    assert [entry.sequence for entry in report.accepted] == ["t1"] * 3
    assert len({entry.acquisition_id for entry in report.accepted}) == 3


def test_dicom_sources_of_a_bids_data_set_are_left_out(opened: Opened, tmp_path: Path) -> None:
    data = tmp_path / "bids"
    dcm.save(data / "sourcedata/sub-01", dcm.series(dcm.noise(1)))
    (data / "dataset_description.json").write_text("{}")
    array = dcm.noise(2)
    (data / "sub-01/anat").mkdir(parents=True)
    nib.save(nib.Nifti1Image(array, np.diag((2.0, 2.0, 2.0, 1.0))), data / "sub-01/anat/sub-01_T1w.nii.gz")
    report = import_paths(opened, [data])
    assert [entry.participant for entry in report.accepted] == ["sub-01"]
    assert not report.refused


def test_headers_that_promise_more_than_the_file_holds_are_refused_unread(opened: Opened, tmp_path: Path) -> None:
    """Before memory is spent: a deflated file of zeros, and a compressed image of 60,000 x 60,000 voxels."""
    bomb, lie = dcm.series(dcm.noise(1), uid="1.2.9")[0], dcm.series(dcm.noise(2), uid="1.2.8")[0]
    bomb.Rows = bomb.Columns = 8192
    bomb.PixelData = bytes(8192 * 8192 * 2)
    bomb.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    lie.PixelData = encapsulate([b"\0" * 64])
    lie["PixelData"].is_undefined_length = True
    lie.Rows = lie.Columns = 60000
    lie.file_meta.TransferSyntaxUID = RLELossless
    folder = dcm.save(tmp_path / "d", [bomb, lie])
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1_000_000
    tracemalloc.start()
    report = import_paths(opened, [folder])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.accepted == []
    reasons = " ".join(entry.reason for entry in report.refused)
    assert "unpacks to more than" in reasons
    assert "promises 7,200,000,000 bytes" in reasons
    assert peak < 100_000_000


def test_a_deflated_image_is_read(opened: Opened, tmp_path: Path) -> None:
    files = dcm.series(dcm.noise(1))
    for ds in files:
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    report = import_paths(opened, [dcm.save(tmp_path / "d", files)])
    assert len(report.accepted) == 1
    assert np.array_equal(np.asarray(nib.load(opened.path(report.accepted[0].stored)).dataobj), dcm.noise(1))


def test_only_images_of_one_frame_of_reference_and_grid_are_one_acquisition(opened: Opened, tmp_path: Path) -> None:
    same: dict[str, Any] = {"FrameOfReferenceUID": "1.2.3.1"}
    parts = {
        "t1_in": dcm.series(dcm.noise(1), SeriesDescription="dixon_in", **same),
        "t1_opp": dcm.series(dcm.noise(2), SeriesDescription="dixon_opp", **same),
        "moved table": dcm.series(dcm.noise(3), SeriesDescription="t2_tse", FrameOfReferenceUID="1.2.3.2"),
        "other grid": dcm.series(dcm.noise(4), SeriesDescription="t1_fs", step=5.0, **same),
    }
    for name, files in parts.items():
        dcm.save(tmp_path / "d" / name, files)
    seen: list[tuple[int, int]] = []
    report = import_paths(opened, [tmp_path / "d"], progress=lambda done, known: seen.append((done, known)))
    groups = {entry.sequence: entry.acquisition_id for entry in report.accepted}
    assert groups.keys() == {"in", "opp", "t2", "t1fs"}
    assert groups["in"] == groups["opp"]
    assert len(set(groups.values())) == 3
    assert seen[-1] == (4, 4)
    assert seen == sorted(seen)
