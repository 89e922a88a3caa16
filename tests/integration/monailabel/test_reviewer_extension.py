"""The Slicer extension MONAILabelReviewer at our server: with sign-in by a reviewer's own address, and without."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import nrrd
import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.accounts import credentials
from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.types import CredentialKind, Role
from tests.integration.conftest import PASSWORD, Guarded, Running, serving
from tests.support.reviewer_extension import Case, ReviewerExtension, slicer_segments
from tests.support.signed_in import bearer

SETTINGS = 'AUTH = "on"\nREVIEW = "required"\nWORKERS = 0\nMAX_UPLOAD_MB = 4\n'


@pytest.fixture(scope="module")
def guarded_study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with serving(tmp_path_factory.mktemp("reviewed"), SETTINGS, 8) as server:
        for name, role in (("alice", Role.RADIOLOGIST), ("rita", Role.REVIEWER), ("ben", Role.REVIEWER), ("root", Role.ADMIN)):  # fmt: skip
            accounts.add(server.catalog, name, role, password=PASSWORD, actor="test")
        yield Guarded(**vars(server), tokens={})


@pytest.fixture(scope="module")
def open_study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("open"), SETTINGS.replace('"on"', '"off"'), 8) as server:
        yield server


def address_of(server: Running, name: str) -> str:
    """An address that a reviewer makes, without the way over the account page."""
    kind = CredentialKind.REVIEW_ADDRESS
    _, secret = credentials.make(server.catalog, name, kind, "test", actor=name, hours=12)
    return f"{server.url}/as/{secret}/"


def annotate(server: Running, headers: dict[str, str], client: str) -> str:
    """Submit the next case with its draft unchanged; returns the examination."""
    http = server.http
    sample = http.post("/activelearning/sequential", headers=headers, json={"client_id": client}).json()
    draft = http.get("/datastore/label", params={"label": sample["id"], "tag": "original"}, headers=headers)
    info = [{"name": name} for name in server.workspace.scheme.label_names]
    answer = http.put(
        "/datastore/label", params={"image": sample["id"]}, headers=headers,
        files={"label": ("label.nii.gz", draft.content)}, data={"params": json.dumps({"label_info": info, "client_id": client})},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    return str(answer.json()["image"])


@pytest.fixture(params=["with sign-in", "without sign-in"])
def place(
    request: pytest.FixtureRequest,
) -> tuple[Running, Callable[[str], ReviewerExtension], Callable[[], str]]:
    """A server, the extension of a reviewer at it, and a radiologist's next submission."""
    if request.param == "with sign-in":
        server: Guarded = request.getfixturevalue("guarded_study")
        headers = bearer(server.sign_in("alice"))
        return (
            server,
            lambda name: ReviewerExtension(address_of(server, name), "typed by anybody"),
            lambda: annotate(server, headers, "user-xyz"),
        )
    plain: Running = request.getfixturevalue("open_study")
    return (
        plain,
        lambda name: ReviewerExtension(plain.url, name),
        lambda: annotate(plain, {}, "alice"),
    )


def admin(server: Running) -> dict[str, str]:
    return bearer(server.sign_in("root")) if isinstance(server, Guarded) else {}


def states(server: Running, examination: str) -> list[tuple[str, str]]:
    """State and author of the annotations of a case, newest first."""
    path = f"/api/v1/examinations/{examination}/annotations"
    found = server.http.get(path, headers=admin(server)).json()["items"]
    return [(item["state"], item["author"]) for item in found]


def edited(
    server: Running, extension: ReviewerExtension, case: Case, tag: str, folder: Path
) -> tuple[Path, NDArray[np.uint8]]:
    """Edit a label as a reviewer does, and save it as Slicer does: by names, cropped, with values in another order."""
    names, voxels, header = slicer_segments(extension.label(case, tag, folder))
    first, *_, last = names
    cut = np.zeros_like(voxels)
    cut[voxels == names[first]] = 2  # Slicer numbers segments as it likes
    cut[voxels == names[last]] = 1
    where = np.argwhere(cut)
    cut[tuple(where[0])] = 0  # a correction
    expected = np.zeros(voxels.shape, dtype=np.uint8)
    expected[cut == 2] = server.workspace.scheme.shown_names[first]
    expected[cut == 1] = server.workspace.scheme.shown_names[last]
    low, high = np.argwhere(cut).min(axis=0), np.argwhere(cut).max(axis=0) + 1
    box = tuple(slice(*pair) for pair in zip(low, high, strict=True))
    fields = {
        "space": header["space"],
        "space directions": header["space directions"],
        "space origin": header["space origin"] + low @ header["space directions"],
        "encoding": "gzip",
    }
    for k, (name, value) in enumerate(((last, 1), (first, 2))):
        fields |= {f"Segment{k}_ID": f"Segment_{k}", f"Segment{k}_Name": name, f"Segment{k}_LabelValue": str(value), f"Segment{k}_Layer": "0"}  # fmt: skip
    target = folder / "edited.nrrd"
    nrrd.write(str(target), cut[box], fields)
    return target, expected


def test_extension_reviews_corrects_and_deletes(place, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    server, extension_of, annotate_next = place
    key = annotate_next()
    rita, ben = extension_of("rita"), extension_of("ben")
    assert rita.connect()
    case = rita.load()[key]
    assert case.segmented and case.annotator == "alice" and case.tags[-1] == "final"
    assert case.opened_first() == "final"
    image = rita.image(case)
    assert image.status_code == 200 and case.node_name.endswith(".nii.gz")

    # flag: it goes back to its author with the comment
    assert rita.decide(case, "final", status="flagged", level="hard", comment="liver leaks into the stomach") == 200
    assert states(server, key) == [("rejected", "alice")]
    meta = rita.load()[key].meta["final"]
    assert (meta["status"], meta["level"], meta["approvedBy"]) == ("flagged", "hard", "rita")
    assert meta["comment"] == "liver leaks into the stomach"
    author = bearer(server.sign_in("alice")) if isinstance(server, Guarded) else {}
    described = server.http.get("/info/", headers=author).json()["models"]["mrseg"]["description"]
    assert re.search(rf"Sent back.*{key}, by rita: liver leaks into the stomach", described)
    sample = server.http.post("/activelearning/sequential", headers=author, json={"client_id": "alice"}).json()
    assert "liver leaks into the stomach" in sample["description"]

    # the newest decision replaces the earlier one
    case = ben.load()[key]
    assert ben.decide(case, "final", status="approved") == 200
    assert states(server, key) == [("accepted", "alice")]
    meta = rita.load()[key].meta["final"]
    assert (meta["status"], meta["level"], meta["approvedBy"]) == ("approved", "hard", "ben")

    # a new version counts once another reviewer has approved it
    case = rita.load()[key]
    file, expected = edited(server, rita, case, "final", tmp_path)
    tag = case.next_version()
    assert tag == "version_1" and rita.save(case, tag, file) == 200
    listed = rita.load()[key]
    assert listed.tags[-2:] == ["final", "version_1"]
    _, voxels, _ = slicer_segments(rita.label(listed, "version_1", tmp_path))
    np.testing.assert_array_equal(voxels, expected)
    current = server.http.get(f"/api/v1/examinations/{key}/mask", headers=admin(server)).headers["etag"]
    assert states(server, key) == [("submitted", "rita"), ("accepted", "alice")]
    assert rita.decide(listed, "version_1", status="approved") == 403
    case = ben.load()[key]
    assert ben.decide(case, "version_1", status="approved") == 200
    assert states(server, key) == [("accepted", "rita"), ("accepted", "alice")]
    assert server.http.get(f"/api/v1/examinations/{key}/mask", headers=admin(server)).headers["etag"] != current

    # a deleted version is withdrawn, and stays on disk
    stored = set((server.workspace.root / "annotations").rglob("*.*"))
    assert rita.delete(case, "version_1") == 200
    assert states(server, key) == [("rejected", "rita"), ("accepted", "alice")]
    assert set((server.workspace.root / "annotations").rglob("*.*")) == stored
    assert server.http.get(f"/api/v1/examinations/{key}/mask", headers=admin(server)).headers["etag"] == current
    assert "version_1" not in rita.load()[key].tags
    assert rita.delete(case, "version_1") == 404
