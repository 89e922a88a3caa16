"""Import from a real Orthanc over DICOMweb: the same images as from a folder, also where it is killed meanwhile."""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.uid import RLELossless
from sqlalchemy import select

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.propagation import settle
from mrseg_label.catalog.tables import Annotation, AnnotationStructure, AuditEvent, Examination
from mrseg_label.catalog.types import AnnotationState, StructureState
from mrseg_label.cli import main
from mrseg_label.clock import now
from mrseg_label.dicomweb import DicomwebServer
from mrseg_label.dicomweb.query import parse_query
from mrseg_label.errors import InvalidInput
from mrseg_label.exports.dataset import Selection
from mrseg_label.exports.sending import SendReport, send_annotations
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.intake.dicomweb import import_studies, list_studies
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.workspace import Workspace
from tests.support import dicom_files as dcm
from tests.support.orthanc import PASSWORD, USER, Orthanc, orthanc

EVERYTHING = parse_query()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture
def archive(running: Orthanc) -> Iterator[Orthanc]:
    yield running
    running.empty()


@pytest.fixture
def opened(archive: Orthanc, tmp_path: Path) -> Iterator[OpenedWorkspace]:
    text = f'DICOMWEB_URL = "{archive.url}"\nDICOMWEB_USER = "{USER}"\nDICOMWEB_PASSWORD = "{PASSWORD}"\n'
    Workspace.init(tmp_path / "ws", settings_text=text)
    workspace = open_workspace(tmp_path / "ws")
    yield workspace
    workspace.catalog.close()


def new_uid() -> str:
    """A UID that leaves room for the numbers of series."""
    return f"1.2.826.0.1.3680043.8.498.{secrets.randbelow(10**12)}"


def dixon(study: str, seed: int, *, number: str = dcm.NUMBER, date: str = "20251124") -> list[list[FileDataset]]:
    """Two stations of a whole-body examination, each with two channels."""
    made = []
    for station, height in enumerate((500.0, 100.0)):
        for place, channel in enumerate(("in", "W")):
            made.append(
                dcm.series(
                    dcm.noise(seed + 10 * station + place),
                    origin=(-30.0, -20.0, height),
                    uid=f"{study}.{station}.{place}",
                    study=study,
                    SeriesNumber=3 + 2 * station + place,
                    SeriesDescription=f"t1_vibe_dixon_tra_{channel}",
                    StudyDescription="Whole body",
                    AccessionNumber=f"A{seed}",
                    PatientID=number,
                    StudyDate=date,
                )
            )
    return made


def voxels(workspace: OpenedWorkspace) -> dict[str, tuple[bytes, bytes, str, str, str]]:
    """What is stored of each image, by its id: digest of voxels, grid, and the names."""
    with workspace.catalog.read() as session:
        rows = session.scalars(select(Examination)).unique().all()
        found = {}
        for row in rows:
            image = nib.load(workspace.path(row.path))
            case = row.acquisition
            found[row.id] = (
                np.asarray(image.dataobj).tobytes(),
                image.affine.tobytes(),
                row.sequence,
                case.station,
                case.participant.code,
            )
        return found


def test_the_archive_gives_what_the_folder_gives(archive: Orthanc, opened: OpenedWorkspace, tmp_path: Path) -> None:
    studies = [dixon(new_uid(), 100), dixon(new_uid(), 200, number="H-2")]
    for files in (one for study in studies for one in study):
        archive.store(files)
        dcm.save(tmp_path / "folder" / str(files[0].SeriesInstanceUID), files)
    # Compressed files come as they are stored, and a report of the study is not asked for.
    compressed = dcm.series(dcm.noise(7), uid=new_uid(), study="1.2.3.9", PatientID="H-3")
    for ds in compressed:
        ds.compress(RLELossless)
    report = dcm.series(dcm.noise(8), uid=new_uid(), study="1.2.3.9", PatientID="H-3", Modality="SR")
    archive.store([*compressed, *report])
    dcm.save(tmp_path / "folder" / "compressed", compressed)

    server = DicomwebServer(opened.settings)
    outcome = import_studies(opened, server, EVERYTHING, ImportOptions())
    assert (len(outcome.report.accepted), outcome.report.refused, outcome.stopped) == (9, [], "")
    assert not list((opened.root / "tmp").iterdir())

    other_root = tmp_path / "other"
    Workspace.init(other_root)
    shutil.copy(opened.root / "pseudonyms.key", other_root)
    other = open_workspace(other_root)
    assert len(import_paths(other, [tmp_path / "folder"]).accepted) == 9
    assert voxels(opened) == voxels(other)
    other.catalog.close()
    assert {names[3] for names in voxels(opened).values()} == {"station1", "station2", ""}

    # Neither is anything fetched twice, nor is the folder another source of the same scans.
    again = import_studies(opened, server, EVERYTHING, ImportOptions()).report
    assert (again.unchanged, again.accepted, again.refused) == (9, [], [])
    assert sorted(one.known for one in list_studies(opened, server, EVERYTHING)) == [1, 4, 4]
    assert import_paths(opened, [tmp_path / "folder"]).unchanged == 9
    # A series that joins a study has it fetched again; what was there stays one examination.
    archive.store(dcm.series(dcm.noise(300), uid=new_uid(), study="1.2.3.9", PatientID="H-3", SeriesNumber=9))
    more = import_studies(opened, server, EVERYTHING, ImportOptions()).report
    assert (len(more.accepted), more.unchanged) == (1, 9)
    _check_nothing_of_the_patient(opened, [str(ds.SOPInstanceUID) for ds in compressed], studies)


def _check_nothing_of_the_patient(
    opened: OpenedWorkspace, sops: list[str], studies: list[list[list[FileDataset]]]
) -> None:
    first = studies[0][0][0]
    texts = [first.StudyInstanceUID, first.SeriesInstanceUID, *sops, "Musterfrau", dcm.NUMBER, "A100", PASSWORD]
    for file in opened.root.rglob("*"):
        if file.is_file() and file.name != "mrseg.toml":
            content = file.read_bytes()
            assert not [text for text in texts if str(text).encode() in content], file


def test_studies_are_chosen(archive: Orthanc, opened: OpenedWorkspace) -> None:
    first, second = new_uid(), new_uid()
    for files in dixon(first, 100, date="20250310"):
        archive.store(files)
    for files in dixon(second, 200, number="H-2", date="20250411"):
        archive.store(files)
    server = DicomwebServer(opened.settings)

    def found(**what: object) -> list[tuple[str, int]]:
        query = parse_query(**what)  # type: ignore[arg-type]
        return [(one.study.uid, len(one.series)) for one in list_studies(opened, server, query)]

    assert found(dates="2025-03-01..2025-03-31") == [(first, 4)]
    assert found(dates="2025-04-11") == [(second, 4)] and found(dates="2025-05-01..") == []
    assert found(description="WHOLE body", identifiers=["A200"]) == [(second, 4)]
    assert found(description="*_w") == [(first, 2), (second, 2)] and found(description="spine") == []
    assert found(identifiers=[f"{first}.1.0", second]) == [(first, 1), (second, 4)]
    assert found(identifiers=["A100", first]) == [(first, 4)] and found(modalities="CT") == []
    assert not (opened.root / "pseudonyms.key").exists()  # to list is not to import
    for options in (ImportOptions(pattern="{participant}/*"), ImportOptions(masks="*")):
        with pytest.raises(InvalidInput, match="is about files"):
            import_studies(opened, server, EVERYTHING, options)
    stated = import_studies(opened, server, parse_query(identifiers=["A100"]), ImportOptions(participant="W7"))
    assert {entry.participant for entry in stated.report.accepted} == {"W7"}


def _large(study: str, number: str, seed: int) -> list[FileDataset]:
    """A series that is far larger than what a connection holds on its way."""
    array = np.random.default_rng(seed).integers(0, 4000, (256, 256, 120), dtype=np.int16)
    return dcm.series(array, uid=f"{study}.1", study=study, PatientID=number)


@pytest.mark.soak
def test_a_kill_in_the_middle_leaves_no_half_examination(
    archive: Orthanc, opened: OpenedWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mrseg_label.dicomweb.server._CHUNK", 256 * 1024)  # or all may be here before the kill
    first, second = sorted((new_uid(), new_uid()))
    files = [_large(first, "H-1", 1), _large(second, "H-2", 2)]
    for number, one in enumerate(files):
        archive.store(one)
        dcm.save(tmp_path / "folder" / str(number), one)
    state = {"kills": 0, "starts": 0}

    def pulse() -> None:
        """Kill the archive while the second study arrives."""
        arriving = [path for path in (opened.root / "tmp").rglob("*.dcm") if path.stat().st_size]
        with opened.catalog.read() as session:
            done = session.query(Examination).count()
        if done == 1 and arriving and not state["kills"]:
            state["kills"] += 1
            archive.kill()

    server = DicomwebServer(opened.settings, pulse=pulse, pause_seconds=0.001)
    outcome = import_studies(opened, server, EVERYTHING, ImportOptions())
    assert state["kills"] == 1 and len(outcome.report.accepted) == 1 and not outcome.report.refused
    assert "Connection refused" in outcome.stopped and "1 of 2 studies were not imported" in outcome.stopped
    assert not list((opened.root / "tmp").iterdir()) and len(voxels(opened)) == 1

    archive.start()
    state["kills"] = 0

    def restart() -> None:
        """Kill it once more, and start it again while the import waits for the next attempt."""
        arriving = [path for path in (opened.root / "tmp").rglob("*.dcm") if path.stat().st_size]
        if arriving and not state["kills"]:
            state["kills"] += 1
            archive.kill()
        elif state["kills"] == 1 and not state["starts"] and not archive.alive:
            state["starts"] += 1
            archive.start()

    again = import_studies(
        opened, DicomwebServer(opened.settings, pulse=restart, pause_seconds=0.05), EVERYTHING, ImportOptions()
    )
    assert (len(again.report.accepted), again.report.unchanged, again.stopped) == (1, 1, "")
    assert (state["kills"], state["starts"]) == (1, 1)
    with ExitStack() as ending:
        Workspace.init(tmp_path / "other")
        shutil.copy(opened.root / "pseudonyms.key", tmp_path / "other")
        other = open_workspace(tmp_path / "other")
        ending.callback(other.catalog.close)
        import_paths(other, [tmp_path / "folder"])
        assert voxels(opened) == voxels(other)


def test_the_command(archive: Orthanc, opened: OpenedWorkspace, capsys: pytest.CaptureFixture[str]) -> None:
    study = new_uid()
    for files in dixon(study, 100):
        archive.store(files)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["import", "--workspace", os.fspath(opened.root), *arguments])
        return int(ended.value.code or 0), *capsys.readouterr()

    code, out, _ = run("--dicomweb", archive.url, "--dry-run")
    assert code == 0 and "2025-11-24" in out and study in out and "1 would be fetched, with 4 series" in out
    code, out, _ = run("--modality", "MR", "--dry-run", "--json")
    (listed,) = json.loads(out)["studies"]
    assert (listed["study"], listed["imported"], len(listed["series"])) == (study, 0, 4)
    ids = opened.root.parent / "list.txt"
    ids.write_text(f"{study}\n")
    code, out, _ = run("--list", str(ids), "--json")
    assert code == 0 and [entry["sequence"] for entry in json.loads(out)["accepted"]] == ["in", "water"] * 2
    code, out, _ = run("--dicomweb", archive.url)
    assert code == 0 and "0 accepted, 0 refused, 4 unchanged" in out
    for arguments, problem in (
        ((), "name the files or folders to import"),
        ((str(ids), "--dicomweb", archive.url), "not both at once"),
        (("--date", "yesterday"), "is not a date"),
        (("--list", "none.txt"), "no such list"),
        (("--modality", "MR", "--pattern", "{participant}"), "is about files"),
    ):
        code, _, err = run(*arguments)
        assert code == 2 and problem in " ".join(err.replace("│", " ").split()), arguments
    code, _, err = run("--dicomweb", "http://127.0.0.1:1/rs")
    assert code == 2 and "is not sent to" in err


def test_annotations_go_back_to_the_archive(
    archive: Orthanc, opened: OpenedWorkspace, capsys: pytest.CaptureFixture[str]
) -> None:
    study = new_uid()
    files = dixon(study, 100)
    for one in files:
        archive.store(one)
    server = DicomwebServer(opened.settings)
    accepted = import_studies(opened, server, EVERYTHING, ImportOptions()).report.accepted
    drawn = [annotate(opened, entry.id, seed) for seed, entry in enumerate(accepted) if entry.sequence == "in"]

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["annotations", "send", "--workspace", os.fspath(opened.root), *arguments])
        return int(ended.value.code or 0), capsys.readouterr().out

    assert run("--dry-run")[1].startswith("2 annotations would be sent")
    assert "SEG" not in str(archive.http.get("/series?expand").json())
    assert run("--json")[0] == 0
    code, out = run()
    assert code == 0 and out.startswith("0 annotations sent") and "2 are there already" in out
    stored = [series for series in archive.http.get("/series?expand").json() if _modality(series) == "SEG"]
    assert len(stored) == 2
    by_series = {str(one[0].SeriesInstanceUID): one for one in files}
    for series in stored:
        (instance,) = series["Instances"]
        seg = pydicom.dcmread(io.BytesIO(archive.http.get(f"/instances/{instance}/file").content))
        # The patient and the slices are the hospital's own, and every voxel lies where it was drawn.
        source = by_series[str(seg.ReferencedSeriesSequence[0].SeriesInstanceUID)]
        assert (seg.PatientID, str(seg.PatientName), seg.StudyInstanceUID) == (dcm.NUMBER, dcm.NAME, study)
        assert {str(ds.SOPInstanceUID) for ds in source} >= {
            str(item.ReferencedSOPInstanceUID) for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        }
        assert _places_of(seg) in drawn
    with opened.catalog.read() as session:
        entries = session.query(AuditEvent).filter(AuditEvent.action == "annotation.send").all()
        assert len(entries) == 2 and all(entry.detail == {"to": server.name} for entry in entries)
    # A series that is another one by now is not referred to: its segmentation would lie elsewhere.
    archive.empty()
    for one in files:
        for ds in one:
            ds.ImagePositionPatient[2] += 1
        archive.store(one)
    refused = send_annotations(opened, server, EVERYTHING, Selection())
    assert not refused.sent and len(refused.refused) == 2 and "has changed since" in refused.refused[0][1]
    archive.empty()
    assert send_annotations(opened, server, EVERYTHING, Selection()) == SendReport()


def _modality(series: dict[str, Any]) -> str:
    return str(series["MainDicomTags"]["Modality"])


Places = set[tuple[float, ...]]


def annotate(opened: OpenedWorkspace, examination_id: str, seed: int) -> Places:
    """Store an accepted annotation of an image, with a liver of single voxels; returns where they lie (LPS, mm)."""
    mask = (np.random.default_rng(seed).random((6, 5, 4)) < 0.3).astype(np.uint8) * opened.scheme["liver"].id
    with opened.catalog.begin() as session:
        examination = session.get_one(Examination, examination_id)
        case, geometry = examination.acquisition, Geometry.from_json(examination.geometry)
        path = f"annotations/{case.id}/0001.nii.gz"
        with opened.scratch() as folder:
            write_nifti(folder / "mask.nii.gz", mask, geometry)
            digest = opened.put_file(path, folder / "mask.nii.gz")
        annotation = Annotation(
            acquisition_id=case.id,
            examination_id=examination_id,
            number=1,
            state=AnnotationState.ACCEPTED,
            author="anna",
            client="slicer",
            path=path,
            digest=digest,
            upload_path=path,
            upload_digest=digest,
        )
        annotation.structures = [
            AnnotationStructure(
                structure=name, state=StructureState.CORRECTED, voxels=int((mask == opened.scheme[name].id).sum())
            )
            for name in opened.scheme.names
        ]
        session.add(annotation)
        case.annotated_at = now()
        settle(session, case)
        ras = np.argwhere(mask) @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    return _rounded(ras * (-1, -1, 1))


def _places_of(seg: FileDataset) -> Places:
    """Where the voxels of a segmentation with one segment lie, by its frames alone (LPS, mm)."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    directions = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    found: Places = set()
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        origin = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        rows, columns = np.nonzero(frame)
        steps = np.outer(columns * between_columns, directions[0]) + np.outer(rows * between_rows, directions[1])
        found |= _rounded(np.asarray(origin + steps, np.float64))
    return found


def _rounded(places: NDArray[np.float64]) -> Places:
    return {tuple(float(value) for value in np.round(place, 2) + 0.0) for place in places}
