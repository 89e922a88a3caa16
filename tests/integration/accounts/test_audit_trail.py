"""The audit trail: sign-ins and every change over HTTP, with the account that made it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.tables import Annotation, AuditEvent
from mrseg_label.catalog.types import Role
from tests.integration.conftest import Guarded
from tests.support.signed_in import add_missing_draft, bearer, submit, take


def test_writes_and_sign_ins_are_in_the_audit_trail(
    guarded: Guarded, person: Callable[..., str], tmp_path: Path
) -> None:
    name = person()
    token = guarded.sign_in(name)
    guarded.http.post("/auth/token", data={"username": name, "password": "not the secret at all"})
    guarded.http.post("/auth/token", data={"username": "my secret password", "password": "x"})
    ticket = take(guarded, token)["id"]
    submit(guarded, token, ticket, tmp_path)
    with guarded.catalog.read() as session:
        mine = [event.action for event in audit.page(session, 20, actor=name)]
        everything = [str(vars(event)) for event in session.query(AuditEvent)]
    assert {"sign-in", "sign-in.failed", "assigned"} <= set(mine) and len(mine) >= 4
    assert not any("my secret password" in event or ticket in event or token in event for event in everything)
    trail = guarded.http.get("/api/v1/audit", params={"actor": name}, headers=guarded.as_(Role.ADMIN)).json()
    assert [event["action"] for event in trail["items"]] == mine


def test_every_change_over_http_is_an_audit_event_of_the_account(
    guarded: Guarded, person: Callable[..., str], tmp_path: Path
) -> None:
    reader, reviewer, admin = person(), person(Role.REVIEWER), person(Role.ADMIN)
    signed = {name: guarded.sign_in(name) for name in (reader, reviewer, admin)}

    def written(name: str, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        with guarded.catalog.read() as session:
            before = session.query(AuditEvent).filter_by(actor=name).count()
        reply = guarded.http.request(method, path, headers=bearer(signed[name]), **arguments)
        assert reply.is_success, f"{method} {path}: {reply.text}"
        with guarded.catalog.read() as session:
            assert session.query(AuditEvent).filter_by(actor=name).count() > before, f"{method} {path}"
        return reply.json() if reply.content else {}

    image = next(iter(guarded.images.values())).read_bytes()
    altered = tmp_path / "own.nii.gz"
    altered.write_bytes(image)
    own = sitk.ReadImage(str(altered)) + 1
    sitk.WriteImage(own, str(altered))
    written(reader, "PUT", "/datastore/?image=own scan", files={"file": ("own.nii.gz", altered.read_bytes())})
    sample = written(reader, "POST", "/activelearning/sequential", json={})
    examination = str(sample["name"]).removesuffix(".nii.gz")
    add_missing_draft(guarded, examination)
    assert submit(guarded, signed[reader], str(sample["id"]), tmp_path)[0] == 200
    with guarded.catalog.read() as session:
        events = [event.action for event in session.query(AuditEvent).filter_by(actor=reader)]
        annotation = session.query(Annotation).filter_by(author=reader).one().id
    assert "submitted" in events
    again = {"purpose": "correct", "examination": examination}
    written(reader, "POST", "/api/v1/examinations/hand-out", json=again)
    written(reader, "POST", f"/api/v1/examinations/{examination}/release", json={})
    written(reader, "POST", f"/api/v1/annotations/{annotation}/withdraw", json={"comment": "wrong side"})
    written(reviewer, "POST", f"/api/v1/annotations/{annotation}/restore", json={})
    other = written(reader, "POST", "/activelearning/sequential", json={})
    other_id = str(other["name"]).removesuffix(".nii.gz")
    written(reader, "POST", f"/api/v1/examinations/{other_id}/unusable", json={"reason": "motion"})
    number = written(admin, "POST", "/api/v1/rounds")["number"]
    written(admin, "POST", f"/api/v1/rounds/{number}/cancel")
    made = written(reader, "POST", "/auth/app-passwords", json={"label": "Slicer"})
    written(reader, "DELETE", f"/auth/app-passwords/{made['id']}")
    written(reader, "DELETE", "/auth/token")
