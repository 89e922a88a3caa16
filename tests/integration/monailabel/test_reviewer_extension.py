"""The Slicer extension MONAILabelReviewer at our server: with sign-in by a reviewer's own address, and without."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nrrd
import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.accounts import credentials
from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import AuditEvent, Credential
from mrseg_label.catalog.types import CredentialKind, Role
from mrseg_label.errors import Forbidden
from mrseg_label.ids import new_id
from mrseg_label.reports.cases import read_annotations_of
from mrseg_label.reports.downloads import find_current_mask
from tests.integration.conftest import PASSWORD, Guarded, Running
from tests.support.browsers import open_browser, post_form
from tests.support.reviewer_extension import Case, ReviewerExtension, slicer_segments
from tests.support.signed_in import bearer, person

__all__ = ["person"]

ROLES = {"alice": Role.RADIOLOGIST, "rita": Role.REVIEWER, "ben": Role.REVIEWER}


def address_of(server: Guarded, name: str, hours: float = 12) -> str:
    """An address that a reviewer makes, without the way over the account page."""
    kind = CredentialKind.REVIEW_ADDRESS
    _, secret = credentials.make(server.catalog, name, kind, "test", actor=name, hours=hours)
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


@dataclass
class Place:
    """A server, the extension of a reviewer at it, and a radiologist (alice) who submits."""

    server: Running
    names: dict[str, str]  # of alice and two reviewers at this server
    headers: dict[str, str]  # of alice's requests

    def extension(self, who: str) -> ReviewerExtension:
        if isinstance(self.server, Guarded):
            return ReviewerExtension(address_of(self.server, self.names[who]), "typed by anybody")
        return ReviewerExtension(self.server.url, self.names[who])

    def annotate(self) -> str:
        return annotate(self.server, self.headers, self.names["alice"])

    def states(self, examination: str) -> list[tuple[str, str]]:
        """State and author of the annotations of a case, newest first."""
        found = read_annotations_of(self.server.catalog, examination, 10).items
        by_name = {name: who for who, name in self.names.items()}
        return [(str(item.state), by_name[item.author]) for item in found]

    def mask(self, examination: str) -> str:
        """The digest of the mask that counts."""
        return find_current_mask(self.server.workspace, examination, Reader("test")).digest


@pytest.fixture(params=["with sign-in", "without sign-in"])
def place(request: pytest.FixtureRequest, person: Callable[..., str]) -> Place:
    if request.param == "without sign-in":
        return Place(request.getfixturevalue("running"), {who: f"{who}-{new_id('x')}" for who in ROLES}, {})
    server: Guarded = request.getfixturevalue("guarded")
    names = {who: person(role) for who, role in ROLES.items()}
    return Place(server, names, bearer(server.sign_in(names["alice"])))


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


def test_extension_reviews_corrects_and_deletes(place: Place, tmp_path: Path) -> None:
    http, names = place.server.http, place.names
    key = place.annotate()
    rita, ben = place.extension("rita"), place.extension("ben")
    assert rita.connect()
    case = rita.load()[key]
    assert case.segmented and case.annotator == names["alice"] and case.tags[-1] == case.opened_first() == "final"
    image = rita.image(case)
    assert image.status_code == 200 and case.node_name == f"{key}.nii.gz"

    # What is flagged goes back to its author, with the comment.
    assert rita.decide(case, "final", status="flagged", level="hard", comment="liver leaks into the stomach") == 200
    assert place.states(key) == [("rejected", "alice")]
    meta = rita.load()[key].meta["final"]
    assert (meta["status"], meta["level"], meta["approvedBy"]) == ("flagged", "hard", names["rita"])
    assert meta["comment"] == "liver leaks into the stomach"
    described = http.get("/info/", headers=place.headers).json()["models"]["mrseg"]["description"]
    assert f"{key}, by {names['rita']}: liver leaks into the stomach" in described
    params = {"client_id": names["alice"]}
    sample = http.post("/activelearning/sequential", headers=place.headers, json=params).json()
    assert sample["description"] == "sent back to you: liver leaks into the stomach"

    # The newest decision replaces the earlier one.
    assert ben.decide(ben.load()[key], "final", status="approved") == 200
    assert place.states(key) == [("accepted", "alice")]
    meta = rita.load()[key].meta["final"]
    assert (meta["status"], meta["level"], meta["approvedBy"]) == ("approved", "hard", names["ben"])

    # A new version counts once another reviewer has approved it.
    case = rita.load()[key]
    file, expected = edited(place.server, rita, case, "final", tmp_path)
    tag = case.next_version()
    assert tag == "version_1" and rita.save(case, tag, file) == 200
    listed = rita.load()[key]
    assert listed.tags[-2:] == ["final", "version_1"] and listed.next_version() == "version_2"
    _, voxels, _ = slicer_segments(rita.label(listed, "version_1", tmp_path))
    np.testing.assert_array_equal(voxels, expected)
    before = place.mask(key)
    assert place.states(key) == [("submitted", "rita"), ("accepted", "alice")]
    assert rita.decide(listed, "version_1", status="approved") == 403
    case = ben.load()[key]
    assert ben.decide(case, "version_1", status="approved") == 200
    assert place.states(key) == [("accepted", "rita"), ("accepted", "alice")]
    assert place.mask(key) != before
    assert ben.load()[key].opened_first() == "final"  # which is the version now
    final, _, _ = slicer_segments(ben.label(case, "final", tmp_path))
    assert len(final) == 2  # what nobody judged is no segment: an empty one would mean absent

    # A deleted version is withdrawn, and stays on disk.
    stored = set((place.server.workspace.root / "annotations").rglob("*.*"))
    assert rita.delete(case, "version_1") == 200
    assert place.states(key) == [("rejected", "rita"), ("accepted", "alice")] and place.mask(key) == before
    assert set((place.server.workspace.root / "annotations").rglob("*.*")) == stored
    assert "version_1" not in rita.load()[key].tags
    assert rita.delete(case, "version_1") == 404


def test_to_others_final_stays_the_newest_accepted_annotation(guarded: Guarded, person: Callable[..., str]) -> None:
    author, reviewer = person(), person(Role.REVIEWER)
    headers, token = bearer(guarded.sign_in(author)), bearer(guarded.sign_in(reviewer))
    key = annotate(guarded, headers, author)
    extension = ReviewerExtension(address_of(guarded, reviewer), "")
    assert extension.decide(extension.load()[key], "final", status="flagged") == 200  # without a comment
    wanted = {"label": key, "tag": "final"}
    assert guarded.http.get("/datastore/label", params=wanted, headers=headers).status_code == 404
    assert guarded.http.get("/datastore/label", params=wanted, headers=token).status_code == 200
    assert key in guarded.http.get("/datastore/?output=all", headers=token).json()["objects"]
    assert key not in guarded.http.get("/datastore/?output=all", headers=headers).json()["objects"]
    mine = {"label": key}
    for tag in ("final", "version_1", "original"):
        data = {"params": json.dumps({"segmentationMeta": {"status": "approved"}})}
        sent = guarded.http.put("/datastore/updatelabelinfo", params=mine | {"tag": tag}, headers=headers, data=data)
        assert sent.status_code == 403
        assert (
            guarded.http.delete("/datastore/label", params={"id": key, "tag": tag}, headers=headers).status_code == 403
        )
    files = {"label": ("a.nrrd", b"x")}
    sent = guarded.http.put("/datastore/label", params={"image": key, "tag": "version_1"}, headers=headers, files=files)
    assert sent.status_code == 403


def test_an_address_is_made_on_the_account_page_and_opens_nothing_else(
    guarded: Guarded, person: Callable[..., str]
) -> None:
    name = person(Role.REVIEWER)
    with open_browser(guarded) as browser:
        post_form(browser, "/account/sign-in", username=name, password=PASSWORD)
        made = post_form(browser, "/account/review-addresses")
        assert made.status_code == 201
        found = re.search(r'<code class="secret">([^<]+)</code>', made.text)
        assert found is not None
        address, page = found[1], browser.get("/account").text
        assert address not in page and "not used yet" in page
    secret = re.fullmatch(rf"{re.escape(guarded.url)}/as/([A-Za-z0-9_-]{{43}})/", address)
    assert secret is not None
    assert ReviewerExtension(address, "").connect() and ReviewerExtension(address.rstrip("/"), "").connect()
    get, path = guarded.http.get, f"/as/{secret[1]}"
    for form in (f"{path}/datastore/?output=all", f"{path}//datastore/?output=all", f"{path}/datastore?output=all"):
        assert get(form).status_code == 200, form
    others = (
        "/api/v1/models",
        "/info/",
        "/dashboard",
        "/account",
        "/as",
        "/datastore/label/info",
        "/metrics",
    )
    for other in (*others, "/datastore/image/info", f"/as/{secret[1]}/", "/%2e%2e/info/", "/datastore/%2e%2e/info/"):
        assert get(path + other).status_code == 404, other
    for method, other in (
        ("POST", "/datastore/"),
        ("PUT", "/datastore/image"),
        ("OPTIONS", "/datastore/label"),
        ("PATCH", "/"),
    ):
        assert guarded.http.request(method, path + other).status_code == 404
    assert guarded.http.head(f"{path}/").status_code == 200
    browser_like = get(f"{path}/", headers={"Accept": "text/html", "Cookie": "mrseg_session=x", "Authorization": "x"})
    assert browser_like.status_code == 200 and browser_like.headers["referrer-policy"] == "no-referrer"
    output = get(f"{path}/datastore/?output=train")
    assert output.status_code == 403 and secret[1] not in output.text  # for admins and programs
    with guarded.catalog.read() as session:
        rows = [str(vars(row)) for table in (Credential, AuditEvent) for row in session.query(table)]
    assert not [row for row in rows if secret[1] in row]
    assert secret[1] not in (guarded.workspace.root.parent / "serve.log").read_text()

    with open_browser(guarded) as browser:
        post_form(browser, "/account/sign-in", username=name, password=PASSWORD)
        action = re.search(r'action="(/account/app-passwords/[^"]+/revoke)"', browser.get("/account").text)
        assert action is not None and post_form(browser, action[1]).status_code == 303
    assert get(f"{path}/").status_code == 401


def test_an_address_ends_with_its_time_its_owner_and_their_role(guarded: Guarded, person: Callable[..., str]) -> None:
    name, catalog = person(Role.REVIEWER), guarded.catalog

    def status(address: str) -> int:
        return guarded.http.get(address).status_code

    assert status(address_of(guarded, name, hours=-1)) == 401
    address = address_of(guarded, name)
    assert status(address) == 200
    accounts.set_role(catalog, name, Role.RADIOLOGIST, actor="test")
    assert status(address) == 401
    with pytest.raises(Forbidden, match="for reviewers and admins"):
        address_of(guarded, name)
    accounts.set_role(catalog, name, Role.REVIEWER, actor="test")
    assert status(address) == 401
    for end in (accounts.sign_out, accounts.disable):
        address = address_of(guarded, name)
        assert status(address) == 200
        end(catalog, name, actor="test")
        assert status(address) == 401
    accounts.enable(catalog, name, actor="test")
    assert status(address) == 401


def test_guessed_addresses_are_slowed_down_and_hinder_no_other(guarded: Guarded, person: Callable[..., str]) -> None:
    address = address_of(guarded, person(Role.REVIEWER))
    guesses = [guarded.http.get(f"/as/{number:043d}/").status_code for number in range(55)]
    assert guesses[0] == 401 and guesses[-1] == 429
    assert guarded.http.get("/as/short/datastore/").status_code == 429
    assert guarded.http.get(address).status_code == 200
    assert guarded.sign_in(person())


HOSTILE_PARAMS = (
    "", "x", "[]", "1", "null", "{}", '{"segmentationMeta": []}', '{"segmentationMeta": "approved"}', '{"segmentationMeta": null}',
    '{"segmentationMeta": {"level": NaN}}', '{"segmentationMeta": {"level": 1}}', '{"segmentationMeta": {"status": ["approved"]}}',
    '{"segmentationMeta": {"status": "' + "x" * 101 + '"}}', '{"segmentationMeta": {"comment": "a\\u0000b"}}',
    '{"segmentationMeta": {"comment": "\\ud800"}}', '{"segmentationMeta": {"comment": {"a": 1}}}',
    '{"segmentationMeta": {"comment": "' + "x" * 10_001 + '"}}', '{"segmentationMeta": {"approvedBy": "a\\nb"}}',
    '{"segmentationMeta": {"approvedBy": "' + "x" * 201 + '"}}', '{"segmentationMeta": {"editTime": NaN}}',
    '{"segmentationMeta": {"editTime": 1e999}}', '{"segmentationMeta": {"editTime": -1}}', '{"segmentationMeta": {"editTime": true}}',
    '{"segmentationMeta": {"editTime": 1' + "0" * 400 + '}}', '{"segmentationMeta": {"editTime": "now"}}', "[" * 100_000,
)  # fmt: skip


def test_hostile_remarks_are_refused(running: Running) -> None:
    key = annotate(running, {}, f"alice-{new_id('x')}")
    put, wanted = running.http.put, {"label": key, "tag": "final"}
    for params in HOSTILE_PARAMS:
        code = put("/datastore/updatelabelinfo", params=wanted, data={"params": params}).status_code
        assert 400 <= code < 500, (params[:80], code)
    good = {"params": json.dumps({"segmentationMeta": {"level": "easy"}})}
    for tag in (
        "original",
        "version_0",
        "version_01",
        "version_-1",
        "version_1e3",
        "version_" + "9" * 50,
        "version_٣",
        "FINAL",
        "a\x00",
    ):
        for method, name in (("PUT", "label"), ("DELETE", "id")):
            path = "/datastore/updatelabelinfo" if method == "PUT" else "/datastore/label"
            answer = running.http.request(
                method, path, params={name: key, "tag": tag}, data=good if name == "label" else None
            )
            assert answer.status_code == 422, (tag, answer.text)
    for missing, code in ((new_id("ex"), 404), ("../etc", 422), ("", 422), ("x" * 300, 422)):
        assert put("/datastore/updatelabelinfo", params=wanted | {"label": missing}, data=good).status_code == code
    assert put("/datastore/updatelabelinfo", params=wanted | {"tag": "version_7"}, data=good).status_code == 404
    assert running.http.delete("/datastore/label", params={"id": key, "tag": "version_7"}).status_code == 404
    # An address that was typed with a slash at its end.
    assert ReviewerExtension(f"{running.url}/", "rita").load().keys() >= {key}
    large = {"params": json.dumps({"segmentationMeta": {"comment": "x" * 2_000_000}})}
    assert put("/datastore/updatelabelinfo", params=wanted, data=large).status_code == 413
    (label,) = ReviewerExtension(running.url, "rita").load()[key].meta.values()
    assert (label["status"], label["level"], label["comment"]) == ("", "", "")
