"""Who may use which route: the table, what the server does, and what the documentation says are the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.types import Role
from mrseg_label.http.permissions import Rule, table
from mrseg_label.workspace import Workspace
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.server import build
from tests.integration.conftest import Guarded
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "access.md"
RULES = access().rules
FILLED = {
    "number": "999999", "version": "none", "strategy": "none", "model": "none", "examination": "ex-0000000000000000",
    "annotation": "rv-0000000000000000", "other": "rv-0000000000000001", "session_id": "0" * 32,
    "credential": "cr-0000000000000000",
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
    listed = [(rule.method, rule.path) for rule in RULES]
    assert found == set(listed)
    assert len(listed) == len(set(listed)) > 50
    document = application.openapi()
    for rule in RULES:
        operation = document["paths"].get(rule.path, {}).get(rule.method.lower())
        if operation is not None:
            assert bool(operation["security"]) == (rule.roles is not None), rule


def request(guarded: Guarded, rule: Rule, role: Role | None) -> tuple[int, str]:
    headers = guarded.as_(role)
    if rule.path == "/auth/token" and rule.method == "DELETE" and role not in (None, Role.SERVICE):
        headers = {"Authorization": f"Bearer {guarded.sign_in(str(role))}"}  # it ends the token
    path = re.sub(r"\{(\w+)\}", lambda found: FILLED[found[1]], rule.path)
    if rule.path.endswith("/rounds") and rule.method == "POST":
        body: dict[str, Any] = {"content": "{"}  # whoever may start a round is told that this is no JSON
    else:
        body = {"json": {}} if rule.method == "POST" and "token" not in path else {}
    reply = guarded.http.request(rule.method, path, headers=headers, **body)
    detail = "" if rule.method == "HEAD" or reply.is_success else str(reply.json()["detail"])
    return reply.status_code, detail


@pytest.mark.parametrize("role", [None, *Role], ids=lambda role: role or "stranger")
def test_the_server_does_what_the_table_says(guarded: Guarded, role: Role | None) -> None:
    for rule in RULES:
        code, detail = request(guarded, rule, role)
        what = f"{rule.method} {rule.path} as {role}: {code} {detail}"
        assert code < 500, what
        if rule.roles is None or role in rule.roles:
            assert code != 401 or rule.path == "/auth/token", what
            assert "which may not do this" not in detail, what
        elif role is None:
            assert code == 401, what
        else:
            assert code == 403, what
            assert rule.method == "HEAD" or "which may not do this" in detail, what


def test_what_is_in_no_table_is_open_to_nobody(guarded: Guarded) -> None:
    for path in ("/logs/", "/proxy/dicom", "/reload", "/static/x", "/model/mrseg", "/scoring/", "/batch/infer/mrseg",
                 "/datastore/file", "/ohif/", "/docs", "/redoc", "/api/v1/none", "/..%2f..%2fetc/passwd"):  # fmt: skip
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
    assert table(RULES) in PAGE.read_text(encoding="utf-8")


if __name__ == "__main__":
    BEGIN, END = "<!-- the table is generated -->\n\n", "\n<!-- end of the table -->"
    text = PAGE.read_text(encoding="utf-8")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(head + BEGIN + table(RULES) + END + tail, encoding="utf-8")
