"""Requests for more than the account may have: fields, roles, grants, names that look alike."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.types import Role
from tests.integration.conftest import PASSWORD
from tests.support.hostile import FORM, JSON, SQL, as_json, request
from tests.support.hostile_scene import Scene, check, check_no_trace, check_refused


def too_many_privileges(s: Scene) -> dict[str, bytes]:
    """Fields that a request does not have, and sign-ins with more than a name and a password."""
    own = s.by()
    extra = {"role": "admin", "user": "root", "author": "alice", "name": "root", "mrseg_reader": {"role": "admin"}}
    found: dict[str, bytes] = {}
    targets: dict[str, tuple[str, dict[str, Any], str]] = {
        "app password": ("/auth/app-passwords", {"label": "x", "account_name": "root", "kind": "api_key"}, own),
        "assignment": ("/api/v1/examinations/assign", {"purpose": "correct", "user": "root"}, own),
        "assignment by its old name": ("/api/v1/examinations/hand-out", {"purpose": "correct", "user": "root"}, own),
        "round": ("/api/v1/rounds", {"final": True, "state": "done"}, s.by("root")),
        "decision": (f"/api/v1/annotations/{s.annotation}/accept", {"reviewer": "root"}, s.by("rita")),
        "withdrawal": (f"/api/v1/annotations/{s.annotation}/withdraw", {"author": "alice"}, s.by("rita")),
        "return": (f"/api/v1/examinations/{s.examination}/return", {"user": "alice"}, own),
        "release": (f"/api/v1/examinations/{s.examination}/release", {"user": "alice"}, own),
    }
    for what, (target, base, who) in targets.items():
        found[f"{what}: more fields"] = request("POST", target, who, JSON, body=as_json({**base, **extra}))
    found |= {
        "a review by a radiologist": request(
            "POST", "/api/v1/examinations/assign", own, JSON, body=as_json({"purpose": "review"})
        ),
        "an assignment of an examination that is SQL": request(
            "POST", "/api/v1/examinations/assign", own, JSON, body=as_json({"examination": SQL[0]})
        ),
        "an assignment of a NUL": request(
            "POST", "/api/v1/examinations/assign", own, JSON, body=as_json({"examination": "ex-\0"})
        ),
        "sign-in with a role and a wrong password": request(
            "POST", "/auth/token", FORM, body=b"username=mallory&password=x&role=admin&scope=admin&grant_type=password"
        ),
        "sign-in with another grant": request(
            "POST", "/auth/token", FORM, body=b"username=mallory&password=x&grant_type=client_credentials"
        ),
        "the grant of a refresh": request(
            "POST", "/auth/token", FORM, body=b"refresh_token=x&grant_type=refresh_token"
        ),
        "names as a list": request(
            "POST", "/auth/token", JSON, body=as_json({"username": {"$ne": ""}, "password": {"$ne": ""}})
        ),
    }
    for name in (
        "root\0",
        "ｒｏｏｔ",
        "r\u043e\u043et",
        "root%00",
        "root ",
        " ROOT",
        "root'--",
        "root\u202e",
        "root\u200b",
        "\u212aoot",
        "*",
        "%",
        "../root",
    ):
        body = f"username={quote(name)}&password=not+the+password&grant_type=password".encode()
        found[f"sign-in as {name!a}"] = request("POST", "/auth/token", FORM, body=body)
    return found


def test_more_privileges_are_refused(scene: Scene) -> None:
    check_refused(scene, too_many_privileges(scene), 25)


def test_forwarded_addresses_do_not_help_to_guess(scene: Scene) -> None:
    """A forged forwarding header does not reset the delay of guesses."""
    accounts.add(scene.server.catalog, "victim", Role.RADIOLOGIST, password=PASSWORD, actor="test")
    codes = []
    for n in range(10):
        forwarded = (f"X-Forwarded-For: 10.0.0.{n}", f"X-Real-IP: 10.0.0.{n}", f"Forwarded: for=10.0.0.{n}")
        body = b"username=victim&password=guess+number+%d" % n
        codes.append(check(scene, f"guess {n}", request("POST", "/auth/token", FORM, *forwarded, body=body)).status)
    assert codes[:5] == [401] * 5 and codes[-4:] == [429] * 4


def test_a_role_is_not_asked_for(scene: Scene) -> None:
    """Nothing in a good sign-in makes a reader an admin."""
    more = {"role": "admin", "scope": "admin monailabel-admin", "user": "root", "client_id": "root"}
    reply = scene.server.http.post("/auth/token", data={"username": "mallory", "password": PASSWORD, **more})
    token = {"Authorization": f"Bearer {reply.json()['access_token']}"}
    assert scene.server.http.get("/auth/token/valid", headers=token).json()["username"] == "mallory"
    assert scene.server.http.get("/api/v1/audit", headers=token).status_code == 403


def test_no_trace_is_left(scene: Scene) -> None:
    check_no_trace(scene)
