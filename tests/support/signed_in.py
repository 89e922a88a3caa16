"""Requests of a signed-in reader, as Slicer sends them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest

from mrseg_label.accounts import service as accounts
from mrseg_label.accounts.passwords import digest
from mrseg_label.catalog.queries import examinations, presegmentations
from mrseg_label.catalog.types import Role
from mrseg_label.ids import new_id
from tests.integration.conftest import PASSWORD, Guarded, add_draft


@pytest.fixture
def person(guarded: Guarded) -> Callable[..., str]:
    """A function that creates an account with a new name, and returns the name."""

    def make(role: Role = Role.RADIOLOGIST) -> str:
        return accounts.add(guarded.catalog, new_id("u").replace("-", "."), role, password=PASSWORD, actor="test").name

    return make


def token_id(token: str) -> str:
    """Id of a token's row."""
    return digest(jwt.decode(token, options={"verify_signature": False})["jti"])


def bearer(token: str) -> dict[str, str]:
    """Headers with an access token or API key."""
    return {"Authorization": f"Bearer {token}"}


def take(guarded: Guarded, token: str) -> dict[str, str]:
    """Get the next case."""
    reply = guarded.http.post("/activelearning/sequential", headers=bearer(token), json={"client_id": "user-xyz"})
    assert reply.status_code == 200, reply.text
    case: dict[str, str] = reply.json()
    add_missing_draft(guarded, case["name"].removesuffix(".nii.gz"))
    return case


def add_missing_draft(guarded: Guarded, examination_id: str) -> None:
    """Do the work of a worker, of which the server has none: other tests upload images, and a request would wait for their drafts."""
    with guarded.catalog.read() as session:
        examination = examinations.get(session, examination_id)
        assert examination is not None
        is_lacking = presegmentations.best(session, examination.acquisition_id) is None
    if is_lacking:
        add_draft(guarded.workspace, examination_id)


def url(guarded: Guarded, image: str) -> str:
    """Return the address from which Slicer downloads an image."""
    return f"{guarded.url}/datastore/image?image={image}"


def submit(guarded: Guarded, token: str, ticket: str, tmp_path: Path, **params: object) -> tuple[int, dict[str, str]]:
    """Submit the draft of a case unchanged; returns status and body of the reply."""
    reply = guarded.http.post(f"/infer/mrseg?image={ticket}", headers=bearer(token), data={"params": "{}"})
    assert reply.status_code == 200, reply.text
    presegmentation = guarded.http.get(
        "/datastore/label", params={"label": ticket, "tag": "original"}, headers=bearer(token)
    )
    file = tmp_path / "label.nii.gz"
    file.write_bytes(presegmentation.content)
    info = [{"name": name, "idx": index} for index, name in enumerate(guarded.workspace.scheme.label_names, start=1)]
    answer = guarded.http.put(
        "/datastore/label",
        params={"image": ticket},
        headers=bearer(token),
        files={"label": ("C:\\Temp\\label.nii.gz", file.read_bytes())},
        data={"params": json.dumps({"label_info": info, **params})},
    )
    return answer.status_code, answer.json()
