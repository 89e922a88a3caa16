"""Review, second readings and the worklist over REST and as commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from typer.testing import CliRunner

from mrseg_label import api
from mrseg_label.annotation.record import Submitted
from mrseg_label.catalog.reader import Reader
from mrseg_label.cli import app
from mrseg_label.http import problems
from mrseg_label.worklist.service import assign_next_case
from tests.support.annotation_house import House, draft_array, make_house


@pytest.fixture
def house(tmp_path: Path, database_settings: str) -> Iterator[House]:
    yield from make_house(tmp_path, f'AUTH = "off"\nREVIEW = "required"\n{database_settings}')


@pytest.fixture
def client(house: House) -> Iterator[TestClient]:
    application = FastAPI()
    application.include_router(api.router(house.workspace))
    problems.install(application)
    with TestClient(application, raise_server_exceptions=False) as client:
        yield client


def send(house: House, reader: str, shift: int = 0) -> Submitted:
    array = np.roll(draft_array(), shift, axis=2)
    array[3, 0, shift] = 1
    return house.send(array, *house.workspace.scheme.names[:5], client=reader)


def post(http: TestClient, path: str, status: int = 200, /, **body: Any) -> dict[str, Any]:
    answer = http.post(f"/api/v1/{path}", json=body)
    assert answer.status_code == status, answer.text
    document: dict[str, Any] = answer.json()
    return document


def command(house: House, *words: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*words, "--workspace", str(house.workspace.root), "--json"])
    assert result.exit_code == code, (result.output, result.exception)
    return json.loads(result.stdout) if code == 0 else None


def test_review_over_rest(house: House, client: TestClient) -> None:
    sent = send(house, "ada")
    queue = client.get("/api/v1/annotations", params={"state": "submitted"}).json()["items"]
    assert [item["id"] for item in queue] == [sent.annotation_id]
    path = f"annotations/{sent.annotation_id}"
    assert "client" in post(client, f"{path}/accept", 422)["detail"]
    assert "another reader" in post(client, f"{path}/accept", 403, client="ada")["detail"]
    assert "comment" in post(client, f"{path}/reject", 422, client="bob")["detail"]
    rejected = post(client, f"{path}/reject", client="bob", comment="spleen too large")
    assert rejected["state"] == "rejected"
    assert [
        (described["reviewer"], described["verdict"], described["comment"]) for described in rejected["reviews"]
    ] == [("bob", "rejected", "spleen too large")]
    again = send(house, "ada", 1)
    accepted = post(client, f"annotations/{again.annotation_id}/accept", client="bob")
    assert (accepted["state"], accepted["number"]) == ("accepted", 2)
    assert (
        "not awaiting review" in post(client, f"annotations/{again.annotation_id}/accept", 409, client="bob")["detail"]
    )
    history = client.get(f"/api/v1/examinations/{house.examination}/annotations").json()["items"]
    assert [(item["number"], item["state"], len(item["reviews"])) for item in history] == [
        (2, "accepted", 1), (1, "rejected", 1),
    ]  # fmt: skip
    assert client.get("/api/v1/annotations/rv-none").status_code == 404
    assert client.get("/api/v1/annotations", params={"author": "eve"}).json()["items"] == []


def test_submissions_are_listed_in_pages(house: House, client: TestClient) -> None:
    ids = [send(house, f"reader-{number}", number).annotation_id for number in range(5)]
    seen, cursor = [], None
    while True:
        page = client.get("/api/v1/annotations", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == ids[::-1]


def test_withdraw_restore_compare_and_mask_over_rest(house: House, client: TestClient) -> None:
    first, second = send(house, "ada"), send(house, "bob", 1)
    for sent, reviewer in ((first, "bob"), (second, "ada")):
        post(client, f"annotations/{sent.annotation_id}/accept", client=reviewer)
    found = client.get(f"/api/v1/annotations/{first.annotation_id}/compare/{second.annotation_id}").json()
    assert list(found["structures"]) == list(house.workspace.scheme.names[:5])
    assert found["structures"]["liver"] == {"dsc": 1.0, "hd95_mm": 0.0, "hd95_infinite": False, "nsd": 1.0}
    assert found["structures"]["left_kidney"] == {"dsc": None, "hd95_mm": None, "hd95_infinite": False, "nsd": None}
    assert 0.9 < found["structures"]["spleen"]["dsc"] < 1 and 0.9 < found["mean_dsc"] < 1
    mask = client.get(f"/api/v1/annotations/{second.annotation_id}/mask")
    (house.folder / "mask.nii.gz").write_bytes(mask.content)
    stored = house.workspace.path(f"annotations/{house.acquisition}/0002-{second.annotation_id}.nii.gz")
    assert mask.content == stored.read_bytes()
    assert nib.load(house.folder / "mask.nii.gz").shape == (6, 7, 8)
    post(client, f"annotations/{first.annotation_id}/withdraw", client="ada", comment="wrong patient")
    assert client.get(f"/api/v1/examinations/{house.examination}").json()["annotated"] is None
    restored = post(client, f"annotations/{first.annotation_id}/restore", client="ada")
    assert (restored["number"], restored["state"], restored["author"]) == (3, "accepted", "ada")
    assert restored["report"] == {"restored_from": first.annotation_id}


def test_cases_are_assigned_returned_and_marked_over_rest(house: House, client: TestClient) -> None:
    sent = send(house, "ada")
    post(client, f"annotations/{sent.annotation_id}/accept", client="bob")
    request = {"client": "bob", "purpose": "correct", "examination": house.other_channel}
    assigned = post(client, "examinations/assign", 201, **request)
    assert (assigned["examination"], assigned["annotation"]) == (house.examination, sent.annotation_id)
    assert "until" in post(client, "examinations/assign", 409, **{**request, "client": "eve"})["detail"]
    assert (
        "not assigned to eve" in post(client, f"examinations/{house.examination}/return", 409, client="eve")["detail"]
    )
    assert post(client, f"examinations/{house.examination}/return", client="bob")["assigned_until"] is None
    assert post(client, "examinations/assign", 201, client="eve", purpose="second_read")["annotation"] is None
    for broken in ({"purpose": "steal"}, {"client": "\x07"}, {"client": "x" * 201}):
        post(client, "examinations/assign", 422, **{**request, **broken})
    post(client, "examinations/assign", 404, **{**request, "examination": "ex-none"})
    post(client, f"examinations/{house.examination}/unusable", 422, client="eve", reason="")
    marked = post(client, f"examinations/{house.examination}/unusable", client="eve", reason="motion")
    assert (marked["excluded"], marked["assigned_until"]) == ("motion", None)
    assert "motion" in post(client, "examinations/assign", 409, **request)["detail"]


def test_deprecated_routes_and_fields_still_work(house: House, client: TestClient) -> None:
    sent = send(house, "ada")
    post(client, f"annotations/{sent.annotation_id}/accept", client="bob")
    request = {"client": "bob", "purpose": "correct", "examination": house.examination}
    assigned = post(client, "examinations/hand-out", 201, **request)
    assert assigned["revision"] == assigned["annotation"] == sent.annotation_id
    shown = client.get(f"/api/v1/examinations/{house.examination}").json()
    assert shown["group"] == shown["acquisition"] == house.acquisition
    assert shown["handed_out_until"] == shown["assigned_until"] == assigned["until"]
    progress = client.get("/api/v1/progress").json()
    assert progress["handed_out"] == progress["assigned"]
    returned = post(client, f"examinations/{house.examination}/release", client="bob")
    assert returned["handed_out_until"] is None


def test_the_same_as_commands(house: House) -> None:
    first = send(house, "ada")
    assert [item["id"] for item in command(house, "annotations", "list", "--state", "submitted")["items"]] == [
        first.annotation_id
    ]
    assigned = command(house, "cases", "assign", house.examination, "--reader", "bob", "--purpose", "review")
    assert assigned["annotation"] == first.annotation_id
    case = assign_next_case(house.workspace, Reader("bob"), "balanced")
    assert case is not None and case.ticket == assigned["ticket"]
    rejected = command(house, "annotations", "reject", first.annotation_id, "--reader", "bob", "--comment", "no")
    assert rejected["state"] == "rejected"
    second = send(house, "ada", 1)
    assert command(house, "annotations", "accept", second.annotation_id)["reviews"][0]["reviewer"] == "local"
    command(house, "annotations", "accept", second.annotation_id, code=1)
    assert len(command(house, "annotations", "list", house.examination)["items"]) == 2
    assert command(house, "annotations", "list", house.examination, "--state", "accepted")["items"][0]["number"] == 2
    compared = command(house, "annotations", "compare", first.annotation_id, second.annotation_id)
    assert compared["structures"]["liver"]["dsc"] == 1.0
    command(house, "annotations", "withdraw", second.annotation_id, "--comment", "oops")
    restored = command(house, "annotations", "restore", second.annotation_id)
    assert command(house, "annotations", "show", restored["id"])["report"] == {"restored_from": second.annotation_id}
    command(house, "cases", "assign", house.examination, "--reader", "ada")
    assert command(house, "cases", "return", house.examination, "--reader", "ada")["assigned_until"] is None
    assert command(house, "cases", "unusable", house.examination, "--reason", "motion")["excluded"] == "motion"


def test_commands_for_people(house: House) -> None:
    sent = send(house, "ada")
    folder = ("--workspace", str(house.workspace.root))
    for words, expected in (
        (("annotations", "list"), "submitted"),
        (("annotations", "show", sent.annotation_id), "unchanged"),
        (("annotations", "reject", sent.annotation_id, "--reader", "bob", "--comment", "no"), "bob: no"),
        (("annotations", "compare", sent.annotation_id, sent.annotation_id), "mean DSC 1.000"),
        (("cases", "assign", house.examination, "--reader", "ada"), "sent back"),
        (("cases", "return", house.examination, "--reader", "ada"), "returned to the queue"),
        (("cases", "unusable", house.examination, "--reason", "motion"), "unusable"),
    ):
        result = CliRunner().invoke(app, [*words, *folder])
        assert result.exit_code == 0 and expected in result.output, (words, result.output, result.exception)
