"""Request ids: in every reply, in the message of an internal error, and in the server log."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.errors import StoredFileError
from mrseg_label.workspace import Workspace
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.server import build
from tests.integration.conftest import Guarded, Running

ID = re.compile(r"[0-9a-f]{16}")
PATIENT = "Muster_Anna_1962"


@pytest.fixture
def application(tmp_path: Path) -> Iterator[FastAPI]:
    """The server's application with routes that fail, as a bug would make them fail."""
    Workspace.init(tmp_path / "ws", settings_text='AUTH = "off"\nWORKERS = 0\n')
    workspace = open_workspace(tmp_path / "ws")
    application = build(ProtocolApp(workspace))

    def divide(name: str) -> float:
        return len(name) / 0

    def read_file(name: str) -> None:
        raise StoredFileError(f"a stored file of {len(name)} bytes is damaged")

    def stream_half(name: str) -> StreamingResponse:
        def pieces() -> Iterator[bytes]:
            yield name[:1].encode()
            raise ValueError("the disk is gone")

        return StreamingResponse(pieces())

    for path in ("/broken/{name}", "/api/v1/broken/{name}"):
        application.add_api_route(path, divide)
    application.add_api_route("/damaged/{name}", read_file)
    application.add_api_route("/half/{name}", stream_half)
    yield application
    workspace.catalog.close()


def get(application: FastAPI, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(application, raise_app_exceptions=False, client=("127.0.0.1", 5))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.get(path, headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
def test_an_internal_error_names_the_id_under_which_it_is_logged(
    application: FastAPI, caplog: pytest.LogCaptureFixture, prefix: str
) -> None:
    reply = get(application, f"{prefix}/broken/{PATIENT}?image={PATIENT}")
    request_id = reply.headers["x-request-id"]
    assert reply.status_code == 500 and ID.fullmatch(request_id)
    detail = f"Internal error. The server log has the details under request id {request_id}."
    assert reply.json()["detail"] == detail
    (record,) = [record for record in caplog.records if record.name == "mrseg_label.http"]
    assert record.getMessage() == f"request {request_id}: GET {prefix}/broken/{{name}} failed"
    assert record.exc_info is not None and record.exc_info[0] is ZeroDivisionError
    assert PATIENT not in caplog.text


def test_an_error_after_the_reply_has_begun_is_logged_under_its_id(
    application: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    reply = get(application, f"/half/{PATIENT}")
    assert reply.status_code == 200
    assert f"request {reply.headers['x-request-id']}: GET /half/{{name}} failed" in caplog.text


def test_a_server_error_of_ours_is_logged_under_its_id(application: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    reply = get(application, f"/damaged/{PATIENT}")
    assert reply.status_code == 500 and "16 bytes is damaged" in reply.json()["detail"]
    assert f"request {reply.headers['x-request-id']}: GET /damaged/{{name}}: a stored file" in caplog.text


def test_a_client_cannot_choose_the_id(application: FastAPI) -> None:
    sent = {"X-Request-ID": f"{PATIENT}"}
    first, second = (get(application, "/healthz", sent).headers.get_list("x-request-id") for _ in range(2))
    assert len(first) == 1 and ID.fullmatch(first[0])
    assert first != second


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/healthz", {}, 200),
        ("/none", {}, 404),
        ("/info/", {"Host": "hospital.example"}, 403),
        ("/info/%00", {}, 422),
    ],
)
def test_refused_requests_have_an_id_as_well(running: Running, path: str, headers: dict[str, str], status: int) -> None:
    reply = running.http.get(path, headers=headers)
    assert reply.status_code == status
    assert ID.fullmatch(reply.headers["x-request-id"])


def test_a_request_without_sign_in_has_an_id(guarded: Guarded) -> None:
    reply = guarded.http.get("/info/")
    assert reply.status_code == 401 and ID.fullmatch(reply.headers["x-request-id"])
