"""Names that changed keep their old form for one release: marked in OpenAPI, explained in docs/rest.md."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mrseg_label import api
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import audit
from mrseg_label.reports.audit import read_audit
from mrseg_label.reports.documents.learning import ProgressOut
from mrseg_label.reports.documents.status import CountsOut
from mrseg_label.reports.progress import read_progress
from mrseg_label.reports.status import read_status
from mrseg_label.workspace import Workspace
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "rest.md").read_text(encoding="utf-8")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws")
    opened = open_workspace(tmp_path / "ws")
    yield opened
    opened.close()


@pytest.fixture
def openapi(workspace: OpenedWorkspace) -> dict[str, Any]:
    application = FastAPI()
    application.include_router(api.router(workspace))
    application.include_router(api.root_router(workspace))
    return application.openapi()


def deprecated_fields(openapi: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Document and name of every deprecated field."""
    for document, schema in openapi["components"]["schemas"].items():
        for field, definition in schema.get("properties", {}).items():
            if definition.get("deprecated"):
                yield document, field


def deprecated_routes(openapi: dict[str, Any]) -> Iterator[str]:
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            if operation.get("deprecated"):
                yield f"{method.upper()} {path}"


def rows_of(heading: str) -> list[list[str]]:
    """The rows of the table under a heading of docs/rest.md, without the table's own heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("| ")
    ]
    return rows[2:]


def test_every_deprecated_field_is_explained_with_its_replacement(openapi: dict[str, Any]) -> None:
    explained = {(document, old): new for document, old, new in rows_of("Deprecated names")}
    fields = set(deprecated_fields(openapi))
    assert len(fields) >= 6
    assert explained.keys() == fields
    for (document, old), new in explained.items():
        properties = openapi["components"]["schemas"][document]["properties"]
        assert new in properties and not properties[new].get("deprecated"), (document, new)
        assert properties[old]["description"] == f"Deprecated: use `{new}`.", (document, old)


def test_every_deprecated_route_is_explained_with_its_replacement(openapi: dict[str, Any]) -> None:
    explained = dict(re.findall(r"^\| `([A-Z]+ [^`]+)` \| deprecated: use `([^`]+)`", PAGE, re.MULTILINE))
    routes = set(deprecated_routes(openapi))
    assert len(routes) == 2
    assert explained.keys() == routes
    for new in explained.values():
        method, _, path = new.partition(" ")
        assert not openapi["paths"][path][method.lower()].get("deprecated")


def test_old_and_new_fields_say_the_same_and_are_sent_without_a_warning(workspace: OpenedWorkspace) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        progress = read_progress(workspace).model_dump(mode="json")
        counts = read_status(workspace).model_dump(mode="json")["counts"]
        application = FastAPI()
        application.include_router(api.router(workspace))
        with TestClient(application) as client:
            assert client.get("/api/v1/progress").json() == progress
    assert progress["handed_out"] == progress["assigned"]
    assert counts["revisions"] == counts["annotations"]
    assert {ProgressOut.model_fields["handed_out"].deprecated, CountsOut.model_fields["revisions"].deprecated} == {
        "use assigned",
        "use annotations",
    }


def test_actions_of_the_audit_trail_are_found_under_either_name(workspace: OpenedWorkspace) -> None:
    with workspace.catalog.begin() as session:
        for action in ("handed out", "assigned", "released", "returned", "submitted"):
            audit.record(session, "ada", action, "aq-1")
    for action in ("handed out", "assigned"):
        found = read_audit(workspace.catalog, 10, action=action).items
        assert [event.action for event in found] == ["assigned", "handed out"]
    assert [event.action for event in read_audit(workspace.catalog, 10, action="returned").items] == [
        "returned",
        "released",
    ]
    assert [event.action for event in read_audit(workspace.catalog, 10, action="submitted").items] == ["submitted"]
    assert len(read_audit(workspace.catalog, 10, actor="ada").items) == 5
