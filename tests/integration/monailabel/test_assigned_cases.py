"""What a radiologist can reach of cases that are not assigned to them, in whatever way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlretrieve

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import Role
from mrseg_label.errors import InvalidInput
from mrseg_label.intake.service import register_upload
from mrseg_label.workspace import Workspace
from tests.integration.conftest import Guarded
from tests.support.signed_in import bearer, person, submit, take, url

__all__ = ["person"]


@pytest.fixture
def finished(guarded: Guarded, person: Callable[..., str], tmp_path: Path) -> tuple[str, str]:
    """A case that one radiologist has annotated: the examination, and that reader's token."""
    token = guarded.sign_in(person())
    sample = take(guarded, token)
    assert submit(guarded, token, sample["id"], tmp_path)[0] == 200
    return sample["name"].removesuffix(".nii.gz"), token


def ask(guarded: Guarded, token: str, **request: str) -> tuple[int, dict[str, str]]:
    reply = guarded.http.post("/api/v1/examinations/assign", headers=bearer(token), json=request)
    return reply.status_code, reply.json()


def test_anothers_case_is_not_assigned_for_correction(
    guarded: Guarded, person: Callable[..., str], finished: tuple[str, str]
) -> None:
    examination, author = finished
    other = guarded.sign_in(person())
    code, answer = ask(guarded, other, purpose="correct", examination=examination)
    assert code == 403 and "not annotated this case" in answer["detail"]
    assert ask(guarded, author, purpose="correct", examination=examination)[0] == 201
    reviewer = guarded.sign_in(person(Role.REVIEWER))
    assert ask(guarded, reviewer, purpose="correct", examination=examination)[0] == 409  # its author has it now


def test_a_reader_cannot_collect_cases_by_requesting_them(guarded: Guarded, person: Callable[..., str]) -> None:
    token = guarded.sign_in(person())
    waiting = guarded.http.get("/api/v1/examinations", params={"annotated": "false"}, headers=bearer(token)).json()
    codes = [ask(guarded, token, purpose="correct", examination=item["id"])[0] for item in waiting["items"]]
    assert codes and set(codes) == {403}
    reviewer = guarded.sign_in(name := person(Role.REVIEWER))
    free = [item["id"] for item in waiting["items"] if item["assigned_until"] is None][:5]
    tickets = [
        answer["ticket"] for code, answer in (ask(guarded, reviewer, examination=item) for item in free) if code == 201
    ]
    assert len(tickets) == 5
    listing = guarded.http.get("/datastore/", params={"output": "all"}, headers=bearer(reviewer)).json()["objects"]
    assert set(listing) == set(tickets[-3:])
    with guarded.catalog.read() as session:
        returned = [event for event in audit.page(session, 50, actor=name) if event.action == "returned"]
    assert [event.detail["reason"] for event in returned] == ["too many open cases"] * 2


def test_a_finished_case_is_not_marked_unusable_by_others(
    guarded: Guarded, person: Callable[..., str], finished: tuple[str, str]
) -> None:
    examination, _ = finished
    other = guarded.sign_in(person())
    assert ask(guarded, other, purpose="second_read", examination=examination)[0] == 201
    path = f"/api/v1/examinations/{examination}/unusable"
    assert guarded.http.post(path, headers=bearer(other), json={"reason": "mine"}).status_code == 403
    assert guarded.http.get(f"/api/v1/examinations/{examination}", headers=bearer(other)).json()["excluded"] is None


def test_a_second_reading_is_made_without_the_first(
    guarded: Guarded, person: Callable[..., str], finished: tuple[str, str], tmp_path: Path
) -> None:
    examination, author = finished
    revisions = f"/api/v1/examinations/{examination}/annotations"
    first = guarded.http.get(revisions, headers=bearer(author)).json()["items"][0]["id"]
    for role in (Role.RADIOLOGIST, Role.REVIEWER):
        token = guarded.sign_in(name := person(role))
        ticket = ask(guarded, token, purpose="second_read", examination=examination)[1]["ticket"]
        label = {"label": ticket, "tag": "final"}
        assert guarded.http.get("/datastore/label", params=label, headers=bearer(token)).status_code == 404
        info = guarded.http.get("/datastore/label/info", params=label, headers=bearer(token))
        assert info.status_code == 404
        listing = guarded.http.get("/datastore/", params={"output": "all"}, headers=bearer(token)).json()
        assert "final" not in listing["objects"][ticket]["labels"]
        for address in (f"examinations/{examination}/mask", f"annotations/{first}/mask"):
            refused = guarded.http.get(f"/api/v1/{address}", headers=bearer(token))
            assert refused.status_code == 403
            assert role is Role.RADIOLOGIST or "reading this case independently" in refused.json()["detail"]
        assert guarded.http.get(
            "/datastore/label", params={**label, "tag": "original"}, headers=bearer(token)
        ).is_success
        assert submit(guarded, token, ticket, tmp_path)[0] == 200, name
    own = guarded.http.get("/datastore/label", params={"label": examination}, headers=bearer(author))
    assert own.status_code == 200


def test_the_bytes_of_an_image_open_nothing_of_it(
    guarded: Guarded, person: Callable[..., str], finished: tuple[str, str]
) -> None:
    examination, _ = finished
    other = guarded.sign_in(person())
    image = guarded.images[examination].read_bytes()
    for name in ("mine", "mine again"):
        files = {"file": ("mine.nii.gz", image)}
        reply = guarded.http.put("/datastore/image", params={"image": name}, headers=bearer(other), files=files)
        assert reply.status_code == 409 and "comes with the worklist" in reply.json()["detail"]
        wanted = {"label": name, "tag": "final"}
        assert guarded.http.get("/datastore/label", params=wanted, headers=bearer(other)).status_code == 404
    files = {"file": ("mine.nii.gz", image)}
    same = guarded.http.put("/datastore/image", params={"image": examination}, headers=bearer(other), files=files)
    assert same.status_code == 200  # that is what it is
    refused = guarded.http.get("/datastore/label", params={"label": examination}, headers=bearer(other))
    assert refused.status_code == 403
    drafted = guarded.http.post(f"/infer/mrseg?image={examination}", headers=bearer(other), data={"params": "{}"})
    assert drafted.status_code == 403
    session = guarded.http.put("/session/", headers=bearer(other), files={"files": ("mine.nii.gz", image)}).json()
    params = {"session_id": session["session_id"]}
    drafted = guarded.http.post("/infer/mrseg", params=params, headers=bearer(other), data={"params": "{}"})
    assert drafted.status_code == 409


def test_an_image_of_ones_own_stays_ones_own(
    guarded: Guarded, person: Callable[..., str], finished: tuple[str, str], tmp_path: Path
) -> None:
    own, other = guarded.sign_in(person()), guarded.sign_in(person())
    sitk.WriteImage(sitk.ReadImage(str(guarded.images[finished[0]])) + 7, str(tmp_path / "own.nii.gz"))
    files = {"file": ("own.nii.gz", (tmp_path / "own.nii.gz").read_bytes())}
    for _ in range(2):  # sent again it is the same
        reply = guarded.http.put("/datastore/image", params={"image": "3: T1"}, headers=bearer(own), files=files)
        assert reply.status_code == 200
    assert guarded.http.get("/datastore/image/info", params={"image": "3: T1"}, headers=bearer(own)).is_success
    for image in ("3: T1", reply.json()["image"]):
        refused = guarded.http.get("/datastore/image", params={"image": image}, headers=bearer(other))
        assert refused.status_code in (403, 404)


def test_an_unusable_case_is_closed_to_its_ticket(guarded: Guarded, person: Callable[..., str], tmp_path: Path) -> None:
    token = guarded.sign_in(person())
    sample = take(guarded, token)
    assert submit(guarded, token, sample["id"], tmp_path)[0] == 200
    examination = sample["name"].removesuffix(".nii.gz")
    marked = guarded.http.post(
        f"/api/v1/examinations/{examination}/unusable", headers=guarded.as_(Role.ADMIN), json={"reason": "motion"}
    )
    assert marked.status_code == 200
    with pytest.raises(HTTPError):
        urlretrieve(url(guarded, sample["id"]), tmp_path / "none")


def test_the_annotation_that_a_reader_starts_from_has_its_old_name_beside_the_new(
    guarded: Guarded, finished: tuple[str, str]
) -> None:
    examination, author = finished
    assigned = ask(guarded, author, purpose="correct", examination=examination)[1]
    sample = take(guarded, author)
    assert sample["annotation"] == sample["revision"] == assigned["annotation"]
    query = {"image": sample["id"], "output": "json"}
    params = guarded.http.post("/infer/mrseg", params=query, headers=bearer(author), data={"params": "{}"}).json()
    assert params["annotation"] == params["revision"] == assigned["annotation"]
    assert params["label_names"] == guarded.workspace.scheme.label_names
    label = {"label": sample["id"], "tag": "final"}
    info = guarded.http.get("/datastore/label/info", params=label, headers=bearer(author)).json()
    assert (info["annotation"], info["revision"]) == (assigned["annotation"], 1)


def test_an_upload_is_no_larger_than_is_allowed_when_it_is_unpacked(tmp_path: Path) -> None:
    """A file of some kilobytes can hold gigabytes."""
    workspace = Workspace.init(tmp_path / "ws", settings_text="MAX_IMAGE_MB = 1\n")
    workspace = open_workspace(workspace.root)
    x, y, z = np.ogrid[:128, :128, :64]
    image = (7 * x + 3 * y + z).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(image, np.diag([1.0, 1.0, 1.0, 1.0])), tmp_path / "large.nii.gz")
    with pytest.raises(InvalidInput, match="cannot be used"):
        register_upload(workspace, Reader("ada"), tmp_path / "large.nii.gz", alias="large")
    nibabel.save(nibabel.Nifti1Image(image[:64, :64], np.diag([1.0, 1.0, 1.0, 1.0])), tmp_path / "small.nii.gz")
    assert register_upload(workspace, Reader("ada"), tmp_path / "small.nii.gz", alias="small")
    workspace.catalog.close()
