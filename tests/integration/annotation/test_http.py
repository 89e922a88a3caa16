"""What a reader submits over HTTP, by MONAI Label's own client, is what is stored; what cannot be is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException
from numpy.typing import NDArray

from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, AuditEvent, Job
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.intake.service import register_upload
from tests.integration.annotation.test_refusals import CORPUS
from tests.integration.conftest import SETTINGS, Running, add_draft, serving, write_image
from tests.support.annotation_house import GRID as SMALL_GRID
from tests.unit.segments.test_edits import GRID, Screen, edited

GIGABYTE = 1024**3


def add_image(running: Running, folder: Path, name: str, grid: Geometry) -> str:
    """Put an image of that grid into the server's workspace; returns its id."""
    image = folder / f"{name}.nii.gz"
    # The same content would be the same image.
    content = np.arange(np.prod(grid.shape), dtype=np.int16) + 100 * ord(name[0])
    write_nifti(image, content.reshape(grid.shape), grid)
    return register_upload(running.workspace, Reader("test"), image, alias=name)


@pytest.fixture(scope="module")
def corrected(running: Running, tmp_path_factory: pytest.TempPathFactory) -> str:
    identifier = add_image(running, tmp_path_factory.mktemp("edits"), "edits", GRID)
    add_draft(running.workspace, identifier)
    return identifier


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("client")


@pytest.fixture(scope="module")
def client(running: Running, folder: Path) -> MONAILabelClient:
    return MONAILabelClient(running.url, tmpdir=str(folder), client_id="reader-of-edits")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    screen=edited(),
    suffix=st.sampled_from([".nii.gz", ".nrrd", ".seg.nrrd", ".nii"]),
    axcodes=st.sampled_from(["LPS", "RAS", "SAR"]),
)
def test_two_hundred_edits_are_stored_as_they_were_on_the_screen(
    running: Running, client: MONAILabelClient, corrected: str, folder: Path, screen: Screen, suffix: str, axcodes: str
) -> None:
    path = screen.save(folder, suffix, axcodes)
    answer = client.save_label(corrected, str(path), params={"label_info": screen.label_info(), "model": "mrseg"})
    assert answer == {"image": corrected, "label": corrected}
    final = nib.load(client.download_label(corrected, "final"))
    np.testing.assert_allclose(final.affine, GRID.affine, atol=1e-4)
    mask, drawn, empty = screen.expected()
    np.testing.assert_array_equal(np.asarray(final.dataobj), mask)
    newest = running.http.get(f"/api/v1/examinations/{corrected}/annotations", params={"limit": 1}).json()["items"][0]
    states = {item["structure"]: item["state"] for item in newest["structures"]}
    voxels = {item["structure"]: item["voxels"] for item in newest["structures"] if item["voxels"]}
    assert set(voxels) == drawn
    assert all(voxels[name] == (mask == running.workspace.scheme[name].id).sum() for name in drawn)
    absent = {name for name, state in states.items() if state == "absent"}
    assert absent == empty if suffix == ".seg.nrrd" else absent >= empty
    judged = {name for name, state in states.items() if state not in ("not_annotated", "filled")}
    assert judged == drawn | absent


def test_doubts_about_a_submission_are_told_in_headers_and_listed(
    running: Running, corrected: str, folder: Path
) -> None:
    mask = np.zeros(GRID.shape, dtype=np.uint8)
    behind = 0 if "A" in GRID.axcodes else -1
    axis = next(k for k, code in enumerate(GRID.axcodes) if code in "AP")
    np.moveaxis(mask, axis, 0)[behind] = 1
    np.moveaxis(mask, axis, 0)[-1 - behind] = 2
    path = folder / "doubtful.nii.gz"
    write_nifti(path, mask, GRID)
    sent = {"label_info": [{"name": "aorta"}, {"name": "spine"}]}
    with path.open("rb") as stream:
        answer = running.http.put(
            "/datastore/label", params={"image": corrected}, data={"params": json.dumps(sent)}, files={"label": (path.name, stream)}
        )  # fmt: skip
    assert answer.json() == {"image": corrected, "label": corrected}
    (warning,) = answer.headers.get_list("Warning")
    assert re.fullmatch(
        r'299 mrseg-label "aorta lies \d+ mm behind spine, but the aorta runs in front of the vertebral column"',
        warning,
    )
    found = running.http.get("/api/v1/doubts", params={"kind": "annotation"}).json()["items"]
    assert [doubt["text"] for item in found for doubt in item["doubts"] if item["examination"] == corrected] == [
        warning.removeprefix('299 mrseg-label "').removesuffix('"')
    ]


@pytest.fixture(scope="module")
def attacked(running: Running, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image on the grid of the corpus of bad uploads."""
    return add_image(running, tmp_path_factory.mktemp("corpus"), "corpus", SMALL_GRID)


@pytest.fixture(scope="module")
def idle_memory(running: Running, request: pytest.FixtureRequest) -> Iterator[int]:
    """Bytes that the server uses before the uploads; afterwards its peak is compared with them."""
    request.getfixturevalue("attacked")  # its import uses memory too
    before = _memory(running.pid, "VmRSS")
    yield before
    peak = _memory(running.pid, "VmHWM") - before
    print(f"{len(CORPUS)} bad uploads: at most {peak / 1024**2:.0f} MB above idle")
    assert peak < GIGABYTE


# What a client sends without a file name is no file for HTTP, and is refused before anybody looks at it.
OVER_HTTP = {"no name": r"label: not a file: .*file name"}


@pytest.mark.parametrize("case", CORPUS)
def test_bad_upload_is_refused_over_http(
    running: Running, attacked: str, idle_memory: int, tmp_path: Path, case: str
) -> None:
    make, file_name, label_info, message = CORPUS[case]
    content = make(tmp_path)
    before = _everything(running)
    answer = running.http.put(
        "/datastore/label",
        params={"image": attacked},
        data={"params": json.dumps({"label_info": label_info, "client_id": "attacker"})},
        files={"label": (file_name, content, "application/octet-stream")},
    )
    assert 400 <= answer.status_code < 500, answer.text
    detail = answer.json()["detail"]
    assert re.search(f"(?is){OVER_HTTP.get(case, message)}", detail), detail
    assert str(running.workspace.root) not in detail
    assert _everything(running) == before
    assert _memory(running.pid, "VmHWM") - idle_memory < GIGABYTE


def test_the_client_reads_why_it_was_refused(client: MONAILabelClient, corrected: str, folder: Path) -> None:
    bad = folder / "bad.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((7, 6, 4), dtype=np.uint8), GRID.affine), bad)
    with pytest.raises(MONAILabelClientException, match="number of voxels differs"):
        client.save_label(corrected, str(bad), params={"label_info": [{"name": "liver"}]})


def test_requested_case_comes_with_its_accepted_mask(running: Running, tmp_path: Path) -> None:
    grid = Geometry((14, 12, 10), GRID.affine)
    image = add_image(running, tmp_path, "again", grid)
    add_draft(running.workspace, image)
    names = list(running.workspace.scheme.names)
    reader = MONAILabelClient(running.url, tmpdir=str(tmp_path), client_id="reader-again")
    last = names[-1]
    mask = np.zeros(grid.shape, dtype=np.int16)
    mask[1:3] = 2
    nib.save(nib.Nifti1Image(mask, grid.affine), tmp_path / "first.nii.gz")
    # The last structure is removed from the list: it is not judged, and it is in the draft.
    reader.save_label(image, str(tmp_path / "first.nii.gz"), params={"label_info": [{"name": n} for n in names[:-1]]})
    submitted = running.http.get(f"/api/v1/examinations/{image}/annotations").json()["items"][0]
    states = {item["structure"]: item["state"] for item in submitted["structures"]}
    assert states[last] == "filled" and states[names[0]] == "absent"

    drafted, params = _infer(reader, image)
    assert params["source"] == "inverted"
    request = {"client": "reader-again", "purpose": "correct", "examination": image}
    given = running.http.post("/api/v1/examinations/assign", json=request).json()
    assert given["revision"] == submitted["id"]
    sample = reader.next_sample("random", {})
    assert (sample["id"], sample["revision"], sample["comment"]) == (image, submitted["id"], "")
    again, params = _infer(reader, image)
    assert (params["source"], params["revision"]) == ("revision", submitted["id"])
    assert list(params["label_names"].values()) == list(range(1, len(names) + 1))
    assert not np.array_equal(again, drafted)
    # As it was submitted, and what was not judged as in the draft; the accepted mask itself is not filled.
    final = sitk.GetArrayFromImage(sitk.ReadImage(reader.download_label(image, "final")))
    assert set(np.unique(final)) == {0, 2}
    free = (final == 0) & (drafted == len(names))
    np.testing.assert_array_equal(again, np.where(free, len(names), final))
    other, params = _infer(MONAILabelClient(running.url, tmpdir=str(tmp_path), client_id="somebody"), image)
    assert params["source"] == "inverted" and np.array_equal(other, drafted)
    returned = running.http.post(f"/api/v1/examinations/{image}/return", json={"client": "reader-again"})
    assert returned.status_code == 200
    assert _infer(reader, image)[1]["source"] == "inverted"


def test_an_alias_that_is_an_id_stands_for_nothing_else(running: Running, tmp_path: Path) -> None:
    identifier, file = next(iter(running.images.items()))
    same = running.http.put(
        "/datastore/", params={"image": identifier}, files={"file": ("a.nii.gz", file.read_bytes())}
    )
    assert same.json() == {"image": identifier}
    stored = running.http.get("/datastore/image", params={"image": identifier}).content
    same = running.http.put("/datastore/", params={"image": identifier}, files={"file": ("a.nii.gz", stored)})
    assert same.json() == {"image": identifier}
    other = write_image(tmp_path / "other.nii.gz", 300).read_bytes()
    refused = running.http.put("/datastore/", params={"image": identifier}, files={"file": ("a.nii.gz", other)})
    assert refused.status_code == 409 and "another image" in refused.json()["detail"]
    unknown = "ex-0000000000000000"
    refused = running.http.put("/datastore/", params={"image": unknown}, files={"file": ("a.nii.gz", other)})
    assert refused.status_code == 422 and "like the id of an examination" in refused.json()["detail"]
    assert running.http.get("/datastore/image", params={"image": identifier}).content == stored


def test_nothing_left_is_another_answer_than_all_assigned_to_others(tmp_path: Path) -> None:
    with serving(tmp_path, SETTINGS, 11) as server:  # of its own: there is nothing left of it afterwards
        _assign_and_submit_everything(server, tmp_path)


def _assign_and_submit_everything(running: Running, tmp_path: Path) -> None:
    def ask() -> Any:
        return running.http.post("/activelearning/sequential", json={"client_id": "user-xyz"})

    taken: list[str] = []
    while (answer := ask()).status_code == 200:
        assert answer.json(), "an empty answer although all cases are only assigned"
        taken.append(answer.json()["id"])
    assert len(taken) == len(set(taken)) > 10
    assert answer.status_code == 409
    assert re.search(r"until \d{4}-\d\d-\d\dT[\d:.]+Z", answer.json()["detail"])
    for image in taken:
        empty = tmp_path / "empty.nii.gz"
        stored = running.http.get("/datastore/image", params={"image": image}).content
        (tmp_path / "image.nii.gz").write_bytes(stored)
        opened = nib.load(tmp_path / "image.nii.gz")
        nib.save(nib.Nifti1Image(np.zeros(opened.shape, np.uint8), opened.affine), empty)
        params = json.dumps({"label_info": [{"name": "liver"}], "client_id": "user-xyz"})
        with empty.open("rb") as file:
            files = {"label": ("empty.nii.gz", file)}
            sent = running.http.put("/datastore/label", params={"image": image}, data={"params": params}, files=files)
        assert sent.status_code == 200, sent.text
        assert (ask().status_code, ask().json() == {}) == ((200, True) if image == taken[-1] else (409, False))


def _infer(reader: MONAILabelClient, image: str) -> tuple[NDArray[Any], dict[str, Any]]:
    file, params = reader.infer("mrseg", image, {"result_extension": ".nrrd", "result_dtype": "uint8"})
    return sitk.GetArrayFromImage(sitk.ReadImage(file)), params


def _memory(pid: int, field: str) -> int:
    """Bytes that a process has (VmRSS) or had at most (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def _everything(running: Running) -> tuple[set[str], list[int]]:
    """Every file around the workspace and the number of rows that a submission would add or change."""
    base = running.workspace.root.parent
    files = {str(p.relative_to(base)) for p in base.rglob("*") if p.is_file() and ".db" not in p.name}
    with running.catalog.read() as session:
        rows = [session.query(table).count() for table in (Annotation, Job, AuditEvent)]
        rows.append(session.query(Acquisition).filter(Acquisition.annotated_at.is_not(None)).count())
    return files, rows
