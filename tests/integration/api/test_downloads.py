"""Images and masks over REST: who may fetch them, and what a nightly pipeline relies on."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest

from mrseg_label.accounts import credentials
from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import audit, examinations
from mrseg_label.catalog.types import CredentialKind, Role, Scope
from mrseg_label.clock import now
from mrseg_label.errors import InvalidInput
from mrseg_label.ids import new_id
from mrseg_label.reports import mask_archive
from tests.integration.api.test_api import Opened, opened, problem_of
from tests.integration.conftest import Guarded
from tests.support.signed_in import bearer
from tests.support.stored_cases import AFFINE, store_case

__all__ = ["opened"]
NIGHTLY = "/api/v1/masks"


def unpack(content: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest of an archive, and its other files."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(files.pop("manifest.json")), files


def test_an_image_and_its_mask_are_what_is_stored(opened: Opened) -> None:
    workspace, client = opened
    case = store_case(workspace, "p1")
    with workspace.catalog.read() as session:
        mask = annotation_rows.final(session, case)
        assert mask is not None
        image = examinations.get(session, mask.examination_id)
        assert image is not None
    for address, stored in (
        (f"/api/v1/examinations/{image.id}/image", image),
        (f"/api/v1/examinations/{image.id}/mask", mask),
        (f"/api/v1/annotations/{mask.id}/mask", mask),
    ):
        got = client.get(address)
        assert got.content == workspace.path(stored.path).read_bytes()
        assert got.headers["etag"] == f'"{stored.digest}"' == f'"{hashlib.sha256(got.content).hexdigest()}"'
        assert got.headers["content-disposition"] == f'attachment; filename="{stored.id}.nii.gz"'
        for condition in (got.headers["etag"], "*", f'"other", W/{got.headers["etag"]}'):
            same = client.get(address, headers={"If-None-Match": condition})
            assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", got.headers["etag"])
        assert client.get(address, headers={"If-None-Match": '"other"'}).status_code == 200
        part = client.get(address, headers={"Range": "bytes=2-9", "If-Range": got.headers["etag"]})
        assert (part.status_code, part.content) == (206, got.content[2:10])
        head = client.head(address)
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(got.content)))
    with workspace.catalog.read() as session:
        done = audit.page(session, 100, actions=["downloaded"])
    assert [event.subject for event in reversed(done)][:3] == [f"{image.id}.nii.gz"] * 3  # neither 304 nor HEAD
    assert len(done) == 9
    problem_of(client.get("/api/v1/examinations/none/image"), 404)
    problem_of(client.get("/api/v1/examinations/none/mask"), 404)


def test_masks_and_images_come_as_dicom(opened: Opened) -> None:
    workspace, client = opened
    case = store_case(workspace, "p1", not_annotated=("aorta",))
    empty = store_case(workspace, "p2", at=(slice(0),))
    with workspace.catalog.read() as session:
        mask, other = annotation_rows.final(session, case), annotation_rows.final(session, empty)
        assert mask is not None and other is not None
    address = f"/api/v1/annotations/{mask.id}/mask?format=dicom-seg"
    got = client.get(address)
    assert (got.status_code, got.headers["content-type"]) == (200, "application/dicom")
    assert got.headers["content-disposition"] == f'attachment; filename="{mask.id}.dcm"'
    assert client.get(address, headers={"If-None-Match": got.headers["etag"]}).status_code == 304
    assert client.head(address).headers["etag"] == got.headers["etag"]
    written = pydicom.dcmread(io.BytesIO(got.content))
    assert [ds.SegmentLabel for ds in written.SegmentSequence] == ["liver"] and written.PatientID == "p1"
    assert client.get(f"/api/v1/examinations/{mask.examination_id}/mask?format=dicom-seg").content == got.content
    image = f"/api/v1/examinations/{mask.examination_id}/image?format=dicom"
    with zipfile.ZipFile(io.BytesIO(client.get(image).content)) as archive:
        slices = [pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()]
    referred = written.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {ds.SOPInstanceUID for ds in slices} == {item.ReferencedSOPInstanceUID for item in referred}
    assert client.head(image).status_code == 200
    with workspace.catalog.read() as session:
        done = [event.subject for event in audit.page(session, 100, actions=["downloaded"])]
    assert done == [f"{mask.examination_id}.zip", f"{mask.id}.dcm", f"{mask.id}.dcm"]
    refused = problem_of(client.get(f"/api/v1/annotations/{other.id}/mask?format=dicom-seg"), 422)
    assert "no structure of this mask has voxels" in refused["detail"]
    problem_of(client.get("/api/v1/examinations/none/image?format=dicom"), 404)
    problem_of(client.get(f"/api/v1/annotations/{mask.id}/mask?format=stl"), 422)


def test_masks_come_as_one_archive(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_archive, "_ROWS", 2)
    workspace, client = opened
    for number in range(5):
        store_case(workspace, f"p{number}", not_annotated=("spleen",) if number == 0 else ())
    answer = client.get(NIGHTLY)
    assert answer.headers["content-disposition"] == 'attachment; filename="masks.zip"'
    manifest, files = unpack(answer.content)
    assert manifest["labels"] == workspace.scheme.label_names
    assert files.pop("labels.tsv").decode() == (workspace.root / "labels.tsv").read_text()
    assert len(manifest["masks"]) == len(files) == 5
    for entry in manifest["masks"]:
        assert hashlib.sha256(files[entry["file"]]).hexdigest() == entry["sha256"]
        image = nib.Nifti1Image.from_bytes(gzip.decompress(files[entry["file"]]))
        assert np.allclose(image.affine, AFFINE)
        assert entry["not_annotated"] == (["spleen"] if entry["participant"] == "p0" else [])
        assert workspace.scheme["liver"].id in np.asarray(image.dataobj)


def test_masks_are_chosen_by_model_author_and_date(opened: Opened) -> None:
    workspace, client = opened
    kept, older = store_case(workspace, "p1"), store_case(workspace, "p2")
    store_case(workspace, "p3", drafted=False)
    with workspace.catalog.begin() as session:
        row = annotation_rows.final(session, older)
        assert row is not None
        row.created_at, row.author = now() - timedelta(days=30), "ben"

    def found(**query: object) -> list[str]:
        answer = client.get(NIGHTLY, params={name: str(value) for name, value in query.items()})
        assert answer.status_code == 200, answer.text
        return sorted(entry["participant"] for entry in unpack(answer.content)[0]["masks"])

    assert found() == ["p1", "p2", "p3"]
    assert found(model="bootstrap") == ["p1", "p2"]
    assert found(author="ben") == ["p2"]
    yesterday = now() - timedelta(days=1)
    assert found(since=yesterday.date()) == found(since=yesterday.isoformat()) == ["p1", "p3"]
    assert found(until=yesterday.date()) == ["p2"]
    assert found(since=yesterday.date(), model="bootstrap", author="anna") == ["p1"]
    assert found(model="r9") == []
    with workspace.catalog.begin() as session:
        row = annotation_rows.final(session, kept)
        assert row is not None
        row.is_final = False
    assert found() == ["p2", "p3"] and found(every_annotation=True) == ["p1", "p2", "p3"]
    assert "since" in problem_of(client.get(NIGHTLY, params={"since": "yesterday"}), 422)["detail"]


def test_what_was_made_is_named_by_its_address(opened: Opened) -> None:
    workspace, client = opened
    for number in range(3):
        store_case(workspace, f"p{number}", held_out=number == 0)
    started = client.post("/api/v1/rounds")
    assert (started.status_code, started.headers["location"]) == (201, "/api/v1/rounds/1")
    assert client.get(started.headers["location"]).json()["number"] == 1
    cancelled = client.post("/api/v1/rounds/1/cancel")
    assert (cancelled.status_code, cancelled.headers["location"]) == (202, "/api/v1/rounds/1")


@pytest.fixture
def key(guarded: Guarded) -> Callable[..., dict[str, str]]:
    """A function that creates an API key with some scopes, and returns the headers of its requests."""

    def make(*scopes: Scope) -> dict[str, str]:
        name = accounts.add(guarded.catalog, new_id("u"), Role.SERVICE, password=None, actor="test").name
        _, secret = credentials.make(
            guarded.catalog, name, CredentialKind.API_KEY, "nightly", actor="test", scopes=scopes
        )
        return bearer(secret)

    return make


def test_a_key_fetches_what_its_scopes_name(guarded: Guarded, key: Callable[..., dict[str, str]]) -> None:
    image = f"/api/v1/examinations/{next(iter(guarded.images))}/image"
    answers = {
        scopes: tuple(
            guarded.http.request(method, path, headers=key(*scopes)).status_code
            for method in ("GET", "HEAD")
            for path in (NIGHTLY, image)
        )
        for scopes in ((), (Scope.MASKS,), (Scope.IMAGES,), (Scope.IMAGES, Scope.MASKS))
    }
    assert answers == {
        (): (403, 403, 403, 403),
        (Scope.MASKS,): (200, 403, 200, 403),
        (Scope.IMAGES,): (403, 200, 403, 200),
        (Scope.IMAGES, Scope.MASKS): (200, 200, 200, 200),
    }
    refused = guarded.http.get(NIGHTLY, headers=key()).json()["detail"]
    assert "API keys with the scope masks" in refused
    # A scope opens these routes and nothing else.
    assert guarded.http.post("/api/v1/rounds", headers=key(*Scope)).status_code == 403
    assert guarded.http.get("/datastore/image", params={"image": "x"}, headers=key(*Scope)).status_code == 403
    for role in Role:
        assert (guarded.http.get(NIGHTLY, headers=guarded.as_(role)).status_code == 200) == (
            role in (Role.REVIEWER, Role.ADMIN)
        )
    with pytest.raises(InvalidInput, match="no scopes"):
        credentials.make(
            guarded.catalog, Role.ADMIN, CredentialKind.APP_PASSWORD, "x", actor="test", scopes=[Scope.MASKS]
        )


def test_head_is_answered_wherever_get_is(guarded: Guarded) -> None:
    admin = guarded.as_(Role.ADMIN)
    for path in ("/api/v1/examinations", "/api/v1/progress", "/healthz", "/info/", "/api/v1/models/none"):
        got, head = guarded.http.get(path, headers=admin), guarded.http.head(path, headers=admin)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    assert guarded.http.head("/api/v1/progress").status_code == 401
    assert guarded.http.head("/api/v1/rounds/1/cancel", headers=admin).status_code == 405
