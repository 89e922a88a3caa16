"""The annotated data set over REST."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np

from mrseg_label.catalog.queries import audit
from mrseg_label.exports.folder import LIST
from mrseg_label.exports.service import Form, Options, export
from tests.integration.api.test_api import Opened, opened, problem_of
from tests.support.stations import body, grid, store_station

__all__ = ["opened"]
ADDRESS = "/api/v1/export"


def test_the_archive_has_the_files_of_the_folder(opened: Opened, tmp_path: Path) -> None:
    workspace, client = opened
    problem_of(client.get(ADDRESS), 422)
    problem_of(client.get(ADDRESS, params={"format": "nnunet"}), 422)
    for name, bottom in (("pelvis", 0.0), ("abdomen", 28.0)):
        mask = np.full(grid(bottom, 10).shape, workspace.scheme["liver"].id, dtype=np.uint8)
        store_station(workspace, "p1", name, grid(bottom, 10), mask=mask)
    for form in ("bids", "participants"):
        answer = client.get(ADDRESS, params={"format": form})
        assert answer.headers["content-disposition"] == f'attachment; filename="{form}.zip"'
        assert answer.content == client.get(ADDRESS, params={"format": form}).content
        sent = unpack(answer.content)
        folder = export(workspace, tmp_path / form, Options(Form(form))).folder
        kept = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert kept.pop(LIST)
        assert sent == kept
        head = client.head(ADDRESS, params={"format": form})
        assert (head.status_code, head.content) == (200, b"")
    with workspace.catalog.read() as session:
        assert [event.subject for event in audit.page(session, 100, actions=["downloaded"])] == ["data set"] * 4
    assert list((workspace.root / "tmp").iterdir()) == []


def test_the_whole_body_of_a_participant(opened: Opened) -> None:
    workspace, client = opened
    alone = store_station(workspace, "p2", "pelvis", grid(0, 5))
    mask = np.full(grid(0, 10).shape, workspace.scheme["liver"].id, dtype=np.uint8)
    stations = [
        store_station(workspace, "p1", name, grid(bottom, 10), mask=mask if bottom else None)
        for name, bottom in (("pelvis", 0.0), ("abdomen", 28.0))
    ]
    address = f"/api/v1/examinations/{stations[0].examinations['water']}/whole-body"
    answer = client.get(address)
    assert answer.headers["content-disposition"].endswith('-whole-body.zip"')
    sent = unpack(answer.content)
    assert list(sent) == ["water.nii.gz", "water_mask.nii.gz", "water.json"]
    image, labels = (nib.Nifti1Image.from_bytes(gzip.decompress(sent[name])) for name in list(sent)[:2])
    np.testing.assert_array_equal(np.asarray(image.dataobj), body(grid(0, 17)) + 1000)
    assert (
        set(np.unique(labels.dataobj[..., 7:])) == {workspace.scheme["liver"].id} and not labels.dataobj[..., :7].any()
    )
    described = json.loads(sent["water.json"])
    assert (described["participant"], [one["mask"] for one in described["stations"]]) == (
        "p1",
        ["propagated", "without"],
    )
    assert client.head(address).status_code == 200
    assert b"no other station" in client.get(f"/api/v1/examinations/{alone.examinations['in']}/whole-body").content
    problem_of(client.get("/api/v1/examinations/none/whole-body"), 404)
    assert list((workspace.root / "tmp").iterdir()) == []


def unpack(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}
