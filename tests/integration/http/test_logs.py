"""No log names a participant, whatever is asked for; each line about a request has its id."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mrseg_label import logs
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.tables import Examination
from mrseg_label.intake.service import import_paths
from mrseg_label.jobs import queue
from mrseg_label.worker.loop import Worker
from mrseg_label.workspace import Workspace
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.server import build
from tests.integration.conftest import add_draft, write_image

MARK = "Muster_Anna_1962"
SETTINGS = 'AUTH = "off"\nWORKERS = 0\nPRESEGMENTATION = "off"\n'
IS_LONG = {"/api/v1/events": {"follow": "false"}}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws", settings_text=SETTINGS)
    opened = open_workspace(tmp_path / "ws")
    images = [write_image(tmp_path / f"{MARK}_{number}.nii.gz", number) for number in range(3)]
    for entry in import_paths(opened, images).accepted:
        add_draft(opened, entry.id)
    yield opened
    opened.close()


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Everything that is logged from INFO on, as servers and workers write it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.formatter(logs.JSON))
    root = logging.getLogger()
    level, library = root.level, logging.getLogger("httpx").level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # that of the client of this test
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)
    logging.getLogger("httpx").setLevel(library)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def ask(workspace: OpenedWorkspace, examination: str, upload: bytes) -> int:
    """Send requests to every route, with the mark wherever text can be; returns how many."""
    application = build(ProtocolApp(workspace))
    body = dict.fromkeys(("client", "client_id", "comment", "reason", "name", "purpose", "author", "code"), MARK)
    sent = 0

    async def send() -> int:
        nonlocal sent
        transport = httpx.ASGITransport(application, raise_app_exceptions=False, client=("127.0.0.1", 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=20) as http:
            for method, path, operation in operations(application.openapi()):
                names = [part["name"] for part in operation.get("parameters", []) if part["in"] == "query"]
                for value in (MARK, examination):
                    address = path
                    for part in operation.get("parameters", []):
                        if part["in"] == "path":
                            address = address.replace("{" + part["name"] + "}", value)
                    query = dict.fromkeys(names, value) | IS_LONG.get(path, {})
                    kind = next(iter(operation.get("requestBody", {}).get("content", {})), "")
                    content: dict[str, Any] = {"json": body} if "json" in kind else {}
                    if "multipart" in kind:
                        parts = dict.fromkeys(("file", "label", "files"), (f"{MARK}.nii.gz", upload))
                        content = {"files": parts, "data": {"params": json.dumps({"client_id": MARK})}}
                    await http.request(method, address, params=query, **content)
                    sent += 1
        return sent

    return asyncio.run(send())


@pytest.mark.soak
def test_no_log_names_a_participant(workspace: OpenedWorkspace, written: io.StringIO, tmp_path: Path) -> None:
    with workspace.catalog.read() as session:
        lost, asked = session.query(Examination).limit(2)
    workspace.path(lost.path).unlink()
    workspace.path(asked.path).write_bytes(b"damaged")
    sent = ask(workspace, lost.id, b"no image") + ask(workspace, asked.id, (tmp_path / f"{MARK}_2.nii.gz").read_bytes())
    worker = Worker(workspace, [queue.LIGHT])
    while worker.run_one():
        pass
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    about = [line for line in lines if line["logger"] == "mrseg_label.access"]
    assert sent > 300 and len(about) > sent * 0.9
    assert {"method", "route", "status", "duration_ms", "request_id"} <= about[0].keys()
    assert any(line["level"] == "error" for line in lines), "nothing went wrong, so that nothing was tested"
    assert [line for line in written.getvalue().splitlines() if MARK in line or "Muster" in line] == []
    logged = [file for file in workspace.logs.rglob("*") if file.is_file() and MARK in file.read_text(errors="replace")]
    assert logged == []
