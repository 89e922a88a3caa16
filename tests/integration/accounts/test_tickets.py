"""Tickets: they open the image of one assignment, and end with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlretrieve

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Annotation, Assignment
from mrseg_label.catalog.types import Role
from mrseg_label.clock import now
from mrseg_label.worklist.requests import Purpose, request_case
from tests.integration.conftest import PASSWORD, Guarded
from tests.support.signed_in import bearer, submit, take, url


def test_urlretrieve_opens_a_case_by_its_ticket(guarded: Guarded, person: Callable[..., str], tmp_path: Path) -> None:
    name = person()
    token = guarded.sign_in(name)
    case = take(guarded, token)
    ticket = case["id"]
    assert not ticket.startswith("ex-") and len(ticket) >= 22  # 128 bits
    target, _ = urlretrieve(url(guarded, ticket), tmp_path / case["name"])
    with guarded.catalog.read() as session:
        assignment = session.query(Assignment).filter_by(ticket=ticket).one()
        assert (assignment.account, assignment.client) == (name, "user-xyz")
    examination = case["name"].removesuffix(".nii.gz")
    assert sitk.ReadImage(str(target)).GetSize() == sitk.ReadImage(str(guarded.images[examination])).GetSize()
    # The ticket opens that image and nothing else.
    strangers = {
        "the id of an image": url(guarded, examination),
        "a ticket that was never given": url(guarded, "A" * 32),
        "two images": url(guarded, ticket) + f"&image={examination}",
        "what is known of the image": f"{guarded.url}/datastore/image/info?image={ticket}",
        "its draft": f"{guarded.url}/datastore/label?label={ticket}&tag=original",
        "the examination": f"{guarded.url}/api/v1/examinations/{examination}",
    }
    for what, address in strangers.items():
        with pytest.raises(HTTPError) as refused:
            urlretrieve(address, tmp_path / "none")
        assert refused.value.code in (401, 422), what
    log = (guarded.workspace.root.parent / "serve.log").read_text()
    assert ticket not in log and token not in log and PASSWORD not in log and examination not in log
    assert "GET /datastore/image: 200" in log, "the route is logged, and nothing that was asked of it"
    # Who has signed in has no use for another's ticket.
    other = bearer(guarded.sign_in(person()))
    assert guarded.http.get(url(guarded, ticket), headers=other).status_code == 404
    # The whole listing is the reader's own cases, under their tickets.
    listing = guarded.http.get("/datastore/", params={"output": "all"}, headers=bearer(token)).json()
    assert list(listing["objects"]) == [ticket]
    names = listing["objects"][ticket]["labels"]["original"]["info"]["params"]["label_names"]
    assert names == guarded.workspace.scheme.label_names
    assert guarded.http.get("/datastore/", params={"output": "all"}, headers=other).json()["objects"] == {}
    label = guarded.http.get("/datastore/label", params={"label": ticket, "tag": "original"}, headers=bearer(token))
    assert label.status_code == 200


def test_a_ticket_outlasts_submissions_whose_author_is_the_account(
    guarded: Guarded, person: Callable[..., str], tmp_path: Path
) -> None:
    name, other = person(), person()
    token = guarded.sign_in(name)
    ticket = take(guarded, token)["id"]
    assert submit(guarded, token, ticket, tmp_path, client_id=other)[0] == 200
    assert submit(guarded, token, ticket, tmp_path, client_id="chief", mrseg_reader="admin", user="admin")[0] == 200
    with guarded.catalog.read() as session:
        case = session.query(Assignment).filter_by(ticket=ticket).one().acquisition_id
        found = session.query(Annotation).filter_by(acquisition_id=case).all()
        assert {(row.author, row.client) for row in found} <= {(name, other), (name, "chief")} and found
    assert urlretrieve(url(guarded, ticket), tmp_path / "image.nii.gz")
    accounts.disable(guarded.catalog, name, actor="test")
    with pytest.raises(HTTPError) as refused:
        urlretrieve(url(guarded, ticket), tmp_path / "none")
    assert refused.value.code == 401
    accounts.enable(guarded.catalog, name, actor="test")
    with pytest.raises(HTTPError):  # it has ended for good
        urlretrieve(url(guarded, ticket), tmp_path / "none")
    assert urlretrieve(url(guarded, take(guarded, guarded.sign_in(name))["id"]), tmp_path / "image.nii.gz")


def test_a_ticket_ends_with_its_time(guarded: Guarded, person: Callable[..., str], tmp_path: Path) -> None:
    ticket = take(guarded, guarded.sign_in(person()))["id"]
    with guarded.catalog.begin() as session:
        session.query(Assignment).filter_by(ticket=ticket).one().expires_at = now() - timedelta(seconds=1)
    with pytest.raises(HTTPError) as refused:
        urlretrieve(url(guarded, ticket), tmp_path / "none")
    assert refused.value.code == 401


def test_a_ticket_ends_when_its_case_is_returned_to_the_queue(
    guarded: Guarded, person: Callable[..., str], tmp_path: Path
) -> None:
    token = guarded.sign_in(person())
    case = take(guarded, token)
    examination = case["name"].removesuffix(".nii.gz")
    released = guarded.http.post(f"/api/v1/examinations/{examination}/release", headers=bearer(token), json={})
    assert released.status_code == 200
    with pytest.raises(HTTPError):
        urlretrieve(url(guarded, case["id"]), tmp_path / "none")
    for image in (case["id"], examination):
        refused = guarded.http.get(url(guarded, image), headers=bearer(token))
        assert refused.status_code in (403, 404)
        stranger = guarded.sign_in(person())
        assert submit_refused(guarded, stranger, image)
    assert guarded.http.get(url(guarded, examination), headers=guarded.as_(Role.REVIEWER)).status_code == 200


def submit_refused(guarded: Guarded, token: str, image: str) -> bool:
    files = {"label": ("label.nii.gz", b"x")}
    reply = guarded.http.put("/datastore/label", params={"image": image}, headers=bearer(token), files=files)
    return reply.status_code in (403, 404)


def test_a_reader_holds_three_cases_at_most(guarded: Guarded, person: Callable[..., str], tmp_path: Path) -> None:
    token = guarded.sign_in(person())
    # The case before comes back whenever she asks for another: Slicer may have crashed.
    tickets = [take(guarded, token)["id"] for _ in range(7)]
    assert tickets[:-1:2] == tickets[1::2]
    tickets = tickets[::2]
    with pytest.raises(HTTPError):
        urlretrieve(url(guarded, tickets[0]), tmp_path / "none")
    for ticket in tickets[1:]:
        assert urlretrieve(url(guarded, ticket), tmp_path / "image.nii.gz")


def test_a_submission_under_an_ended_ticket_is_kept_as_a_further_reading(
    guarded: Guarded, person: Callable[..., str], tmp_path: Path
) -> None:
    """Next, Next, Next, Next in Slicer, and then back to the first case."""
    late, other = person(), person()
    token = guarded.sign_in(late)
    first, *_ = (take(guarded, token) for _ in range(7))
    examination = first["name"].removesuffix(".nii.gz")
    mask = guarded.http.get(url(guarded, examination), headers=guarded.as_(Role.REVIEWER)).content
    (tmp_path / "image.nii.gz").write_bytes(mask)
    image = nib.load(tmp_path / "image.nii.gz")

    def send(name: str, ticket: str, structure: str) -> None:
        nib.save(nib.Nifti1Image(np.ones(image.shape, np.uint8), image.affine), tmp_path / "label.nii.gz")
        reply = guarded.http.put(
            "/datastore/label",
            params={"image": ticket},
            headers=bearer(guarded.sign_in(name)),
            files={"label": ("label.nii.gz", (tmp_path / "label.nii.gz").read_bytes())},
            data={"params": json.dumps({"label_info": [{"name": structure}]})},
        )
        assert reply.status_code == 200, reply.text

    with guarded.catalog.read() as session:
        case = session.query(Assignment).filter_by(ticket=first["id"]).one().acquisition_id
    request_for(guarded, case, other)
    send(other, take(guarded, guarded.sign_in(other))["id"], "liver")
    send(late, first["id"], "spleen")
    with guarded.catalog.read() as session:
        found = session.query(Annotation).filter_by(acquisition_id=case).order_by(Annotation.number).all()
    assert [(row.author, row.is_final) for row in found] == [(other, True), (late, False)]
    with pytest.raises(HTTPError):  # it opens nothing all the same
        urlretrieve(url(guarded, first["id"]), tmp_path / "none")


def request_for(guarded: Guarded, acquisition: str, reader: str) -> None:
    """Make this case the reader's next one."""
    request_case(guarded.workspace, Reader("user-xyz", reader), Purpose.CORRECT, acquisition)
