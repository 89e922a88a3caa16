"""Permissions: the table, the behaviour of the server and the documentation agree."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.types import Role
from mrseg_label.http import paths
from mrseg_label.http.permission_table import permission_table
from mrseg_label.http.permissions import Permission
from mrseg_label.workspace import Workspace
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.server import build
from tests.integration.conftest import Guarded
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "access.md"
TABLE = permission_table()
FILLED = {
    "number": "999999", "fold": "0", "version": "none", "strategy": "none", "model": "none", "examination": "ex-0000000000000000",
    "annotation": "rv-0000000000000000", "other": "rv-0000000000000001", "session_id": "0" * 32,
    "credential": "cr-0000000000000000", "file": "none.svg", "notification": "nt-0000000000000000", "job": "jb-0000000000000000",
    "assignment": "as-0000000000000000", "mask": "an-0000000000000000", "name": "nobody",
}  # fmt: skip


def walk(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every method and path of an application, those that are not in its OpenAPI document too."""
    for route in routes:
        if hasattr(route, "original_router"):
            inner = route.original_router
            yield from walk(inner.routes, prefix + route.include_context.prefix)
        else:
            yield from ((method, prefix + route.path) for method in route.methods)


def test_every_route_is_in_the_table_and_nothing_else(tmp_path: Path) -> None:
    Workspace.init(tmp_path / "ws", settings_text="WORKERS = 0\n")
    workspace = open_workspace(tmp_path / "ws")
    application = build(ProtocolApp(workspace))
    workspace.catalog.close()
    found = set(walk(application.routes)) - {("HEAD", "/openapi.json")}  # Starlette's own; a look at the document
    listed = [(permission.method, permission.path) for permission in TABLE.permissions]
    assert found == set(listed)
    assert len(listed) == len(set(listed)) > 50
    document = application.openapi()
    for permission in TABLE.permissions:
        operation = document["paths"].get(permission.path, {}).get(permission.method.lower())
        if operation is not None:
            assert bool(operation["security"]) == (permission.roles is not None), permission


def request(guarded: Guarded, permission: Permission, role: Role | None) -> tuple[int, str]:
    headers = guarded.as_(role)
    if permission.path == "/auth/token" and permission.method == "DELETE" and role not in (None, Role.SERVICE):
        headers = {"Authorization": f"Bearer {guarded.sign_in(str(role))}"}  # it ends the token
    path = re.sub(r"\{(\w+)\}", lambda found: FILLED[found[1]], permission.path)
    if permission.path.endswith("/rounds") and permission.method == "POST":
        body: dict[str, Any] = {
            "content": "{"
        }  # with the permission to start a round it is still refused, as malformed JSON
    else:
        body = {"json": {}} if permission.method == "POST" and "token" not in path else {}
    if path == paths.EVENTS:
        body = {"params": {"follow": "false"}}
    reply = guarded.http.request(permission.method, path, headers=headers, **body)
    detail = "" if permission.method == "HEAD" or reply.is_success else str(reply.json()["detail"])
    return reply.status_code, detail


@pytest.mark.parametrize("role", [None, *Role], ids=lambda role: role or "no sign-in")
def test_the_server_permits_what_the_table_permits(guarded: Guarded, role: Role | None) -> None:
    for permission in TABLE.permissions:
        code, detail = request(guarded, permission, role)
        what = f"{permission.method} {permission.path} as {role}: {code} {detail}"
        assert code < 500, what
        if permission.roles is None or role in permission.roles:
            assert code != 401 or permission.path == "/auth/token", what
            assert "which is not permitted here" not in detail, what
        elif role is None:
            assert code == 401, what
        else:
            assert code == 403, what
            assert permission.method == "HEAD" or "which is not permitted here" in detail, what


def test_a_route_without_a_permission_answers_no_role(guarded: Guarded) -> None:
    for path in ("/logs/", "/proxy/dicom", "/reload", "/static/x", "/model/mrseg", "/scoring/", "/batch/infer/mrseg",
                 "/datastore/file", "/ohif/", "/docs/a/b", "/redoc", "/api/v1/none", "/..%2f..%2fetc/passwd"):  # fmt: skip
        assert guarded.http.get(path).status_code == 401, path
        for role in Role:
            assert guarded.http.get(path, headers=guarded.as_(role)).status_code == 404, path
    assert guarded.http.get("/info", headers=guarded.as_(Role.ADMIN)).headers["location"].endswith("/info/")
    assert guarded.http.request("TRACE", "/info/", headers=guarded.as_(Role.ADMIN)).status_code == 405


def test_training_is_neither_started_nor_stopped_from_slicer(guarded: Guarded) -> None:
    for role in (Role.RADIOLOGIST, Role.ADMIN):
        before = guarded.http.get("/api/v1/rounds", headers=guarded.as_(role)).json()
        for method, path in (("DELETE", "/train/"), ("POST", "/train/mrseg"), ("POST", "/train/")):
            reply = guarded.http.request(method, path, headers=guarded.as_(role))
            assert reply.status_code == 200
        assert guarded.http.get("/api/v1/rounds", headers=guarded.as_(role)).json() == before


def test_the_documentation_has_the_table() -> None:
    """Made by: uv run python -m tests.integration.http.test_permissions"""
    assert TABLE.to_markdown() in PAGE.read_text(encoding="utf-8")


if __name__ == "__main__":
    BEGIN, END = "<!-- the table is generated -->\n\n", "\n<!-- end of the table -->"
    text = PAGE.read_text(encoding="utf-8")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(head + BEGIN + TABLE.to_markdown() + END + tail, encoding="utf-8")
