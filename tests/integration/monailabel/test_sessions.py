"""Sessions judge their image as an import does, when it is sent and not when it is segmented."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException
from pydicom.uid import UID

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.tables import Examination
from mrseg_label.errors import Unavailable
from mrseg_label.intake.service import SentFile, import_paths
from mrseg_label.workspace import Workspace
from mrseg_monailabel.protocol_app import ProtocolApp
from tests.integration.conftest import Running, write_image
from tests.support.dicom_files import CT, NAME, NUMBER, as_bytes, noise, save, save_zip, series

File = tuple[str, bytes]


def open_session(running: Running, files: Sequence[File], **query: Any) -> httpx.Response:
    return running.http.put("/session/", files=[("files", file) for file in files], params=query)


def files_of(running: Running) -> set[Path]:
    """Everything in the temporary folder, where uploads are received and sessions are kept."""
    return set((running.workspace.root / "tmp").rglob("*"))


def written(tmp_path: Path, name: str, array: Any) -> bytes:
    nib.save(nib.Nifti1Image(array, np.diag([2.0, 2.5, 3.0, 1.0])), tmp_path / name)
    return (tmp_path / name).read_bytes()


def dicom(seed: int = 1, **attributes: Any) -> list[bytes]:
    return [as_bytes(file) for file in series(noise(seed), **attributes)]


def not_finite(tmp_path: Path) -> list[File]:
    array = np.full((6, 5, 4), np.nan, np.float32)
    return [("a.nii.gz", written(tmp_path, "a.nii.gz", array))]


def without_volume(tmp_path: Path) -> list[File]:
    data = bytearray(written(tmp_path, "a.nii", noise(1)))
    data[252:256] = np.array([0, 1], "<i2").tobytes()  # no qform, but an sform
    data[280:328] = np.array([[2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 3, 0]], "<f4").tobytes()
    return [("a.nii", bytes(data))]


def many_volumes(tmp_path: Path) -> list[File]:
    return [("a.nii", written(tmp_path, "a.nii", np.arange(360, dtype=np.int16).reshape(6, 5, 4, 3)))]


def truncated(tmp_path: Path) -> list[File]:
    data = gzip.decompress(written(tmp_path, "a.nii.gz", noise(1)))
    return [("a.nii.gz", gzip.compress(data[:-50]))]


def segmentation(tmp_path: Path) -> list[File]:
    header = {
        "space": "left-posterior-superior",
        "space directions": np.diag([2.0, 2.5, 3.0]),
        "space origin": [0, 0, 0],
    }
    segment = {"ID": "a", "Name": "liver", "LabelValue": "1", "Layer": "0", "Extent": "0 1 0 1 0 1", "Color": "1 0 0"}
    header |= {f"Segment0_{key}": value for key, value in segment.items()}
    nrrd.write(str(tmp_path / "a.seg.nrrd"), np.ones((6, 5, 4), np.uint8), header)
    return [("Case 1.SEG.nrrd", (tmp_path / "a.seg.nrrd").read_bytes())]


def with_gap(_: Path) -> list[File]:
    slices = [as_bytes(file) for file in series(noise(2, (6, 5, 6)))]
    return [(f"{number}.dcm", slices[number]) for number in (0, 1, 2, 4, 5)]


REFUSED: dict[str, tuple[Callable[[Path], list[File]], str]] = {
    "bytes that are no image": (lambda _: [("a.nii.gz", b"junk")], "cannot be used"),
    "an HTML page": (lambda _: [("a.nrrd", b"<html>sign in</html>")], "cannot be used"),
    "an empty file": (lambda _: [("a.nii.gz", b"")], "empty"),
    "a format that is not read": (lambda _: [("a.mgz", b"x" * 400)], "send one image"),
    "a text": (lambda _: [("notes.txt", b"read me")], "no DICOM images"),
    "a file of the operating system": (lambda _: [("._a.nii.gz", b"x")], "not one image"),
    "NaN everywhere": (not_finite, "cannot be used"),
    "an axis of no length": (without_volume, "cannot be used"),
    "several time points": (many_volumes, "cannot be used"),
    "half a file": (truncated, "cannot be used"),
    "a segmentation": (segmentation, "is a segmentation"),
    "two images": (lambda _: [("a.nii", b"1"), ("b.nii", b"2")], "not one image"),
    "an image and a zip": (lambda _: [("a.nii", b"1"), ("b.zip", b"2")], "not one image"),
    "damaged DICOM": (lambda _: [("a.dcm", b"x" * 400)], "cannot be used"),
    "a series with a gap": (with_gap, "cannot be used"),
    "two series": (lambda _: [(f"{n}", file) for n, file in enumerate(dicom(1) + dicom(2))], "are 2 images"),
    "a zip that is none": (lambda _: [("a.zip", b"PK no")], "the zip cannot be read"),
    "a zip without images": (
        lambda folder: [("a.zip", save_zip(folder / "a.zip", {"a.txt": b"x"}).read_bytes())],
        "no DICOM images",
    ),
    "a zip that leads out of its folder": (
        lambda folder: [("a.zip", save_zip(folder / "b.zip", {"../a.dcm": dicom()[0]}).read_bytes())],
        "outside its folder",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_an_import_refuses_makes_no_session(running: Running, tmp_path: Path, what: str) -> None:
    make, message = REFUSED[what]
    before = files_of(running)
    reply = open_session(running, make(tmp_path))
    assert reply.status_code == 422, reply.text
    detail = reply.json()["detail"]
    assert message in detail and str(running.workspace.root) not in detail
    assert NAME.partition("^")[0] not in detail and NUMBER not in detail
    assert files_of(running) <= before


def test_an_image_above_the_limit_is_refused(running: Running, tmp_path: Path) -> None:
    before = files_of(running)
    huge = written(tmp_path, "a.nii.gz", np.zeros((2, 2, 2), np.int16))
    head = bytearray(gzip.decompress(huge))
    head[40:56] = np.array([3, 3000, 3000, 3000, 1, 1, 1, 1], "<i2").tobytes()  # 54 GB, of which nothing is there
    reply = open_session(running, [("a.nii.gz", gzip.compress(bytes(head)))])
    assert reply.status_code in (413, 422) and files_of(running) <= before
    too_large = open_session(running, [("a.nii", bytes(5 * 1024 * 1024))])
    assert too_large.status_code == 413 and files_of(running) <= before
    many = open_session(running, [(f"{n}.dcm", b"x") for n in range(600)])
    assert many.status_code == 400 and "Too many files" in many.text and files_of(running) <= before


def test_the_client_hears_the_reason_when_it_sends_the_image(running: Running, tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(b"junk")
    client = MONAILabelClient(running.url, tmpdir=str(tmp_path))
    with pytest.raises(MONAILabelClientException, match="scan.nii.gz.*cannot be used"):
        client.create_session(str(tmp_path / "scan.nii.gz"))


@pytest.mark.parametrize("form", ["files", "zip", "stock zip", "one enhanced file's worth without suffix"])
def test_the_files_of_a_series_are_one_image(running: Running, tmp_path: Path, form: str) -> None:
    array = noise(hash(form) % 1000)
    slices = [as_bytes(file) for file in series(array, SeriesDescription="t2_tse")]
    names = [f"IM{number:03d}{'' if 'suffix' in form else '.dcm'}" for number in range(len(slices))]
    files = list(zip(names, slices, strict=True))[::-1]
    if "zip" in form:
        members = {f"scan/{name}": data for name, data in files} | {"__MACOSX/scan/._IM000.dcm": b"x"}
        files = [("scan.zip", save_zip(tmp_path / "scan.zip", members).read_bytes())]
    else:
        files.append((".DS_Store", b"x"))
    reply = open_session(running, files, uncompress="stock" in form)
    assert reply.status_code == 200, reply.text
    assert reply.json()["session_info"]["image"] == "image.nii.gz" and NAME not in json.dumps(reply.json())
    session = reply.json()["session_id"]
    image = tmp_path / "image.nii.gz"
    image.write_bytes(running.http.get(f"/session/{session}", params={"image": True}).content)
    found = sitk.ReadImage(str(image))
    assert np.array_equal(sitk.GetArrayFromImage(found), array.transpose(2, 1, 0))
    assert np.allclose(found.GetSpacing(), (1.5, 2.5, 4.0)) and np.allclose(found.GetOrigin(), (-30, -20, 100))
    assert NAME.encode() not in gzip.decompress(image.read_bytes())
    assert running.http.delete(f"/session/{session}").status_code == 200


def test_a_series_is_segmented_and_may_be_in_the_catalogue(tmp_path: Path) -> None:
    Workspace.init(tmp_path / "ws", settings_text='AUTH = "off"\nWORKERS = 0\n')
    workspace = open_workspace(tmp_path / "ws")
    app = ProtocolApp(workspace)
    try:
        for count, imported in ((1, False), (2, True)):
            files = series(noise(count), uid=f"1.2.{count}")
            if imported:
                import_paths(workspace, [save(tmp_path / "exported", files)])
            folder = save(tmp_path / f"sent-{count}", files)
            session = app.sessions().add([SentFile(path.name, path) for path in sorted(folder.iterdir())])
            image = sitk.GetArrayFromImage(sitk.ReadImage(str(session.image)))
            assert np.array_equal(image, noise(count).transpose(2, 1, 0))
            # Without a worker there is no draft; the session's image is an examination by then.
            request = {"model": "mrseg", "session_id": session.id, "folder": str(tmp_path), "wait_seconds": 0}
            with pytest.raises(Unavailable, match="no draft"):
                app.infer(request)
            with workspace.catalog.read() as rows:
                assert rows.query(Examination).count() == count
    finally:
        workspace.catalog.close()


def test_ct_and_an_image_of_every_format_are_accepted(running: Running, tmp_path: Path) -> None:
    source = sitk.ReadImage(str(write_image(tmp_path / "x.nii.gz", 77)))
    for suffix in (".nii", ".nii.gz", ".NRRD", ".mha"):
        path = tmp_path / f"Müller: 3{suffix}"
        sitk.WriteImage(source, str(path.with_name("y" + suffix.lower())))
        data = path.with_name("y" + suffix.lower()).read_bytes()
        reply = open_session(running, [(f"C:\\Temp\\{path.name}", data)], expiry=60)
        assert reply.status_code == 200, reply.text
        session = reply.json()["session_id"]
        assert running.http.get(f"/session/{session}", params={"image": True}).content == data
        assert running.http.delete(f"/session/{session}").status_code == 200
    files = series(noise(9))
    for file in files:
        file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = UID(CT)
        file.Modality = "CT"
    reply = open_session(running, [(f"{n}.ima", as_bytes(file)) for n, file in enumerate(files)])
    assert reply.status_code == 200, reply.text
    assert running.http.delete(f"/session/{reply.json()['session_id']}").status_code == 200
