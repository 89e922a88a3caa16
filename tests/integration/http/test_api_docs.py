"""The page of the REST interface works without any other server, and asks none."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.integration.conftest import Guarded, Running

FILE = re.compile(r'(?:href|src|data-openapi)="([^"]*)"')


@pytest.mark.parametrize("sign_in", ["on", "off"])
def test_the_page_and_its_files_come_from_this_server(running: Running, guarded: Guarded, sign_in: str) -> None:
    http: httpx.Client = (guarded if sign_in == "on" else running).http
    page = http.get("/docs")
    assert page.status_code == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    files = set(FILE.findall(page.text)) - {"data:,"}
    assert files == {"/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js", "/openapi.json"}
    kinds = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "json": "application/json"}
    for file in files:
        reply = http.get(file)
        assert reply.status_code == 200, file
        assert reply.headers["content-type"] == kinds[file.rpartition(".")[2]], file
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    # Swagger UI would otherwise send the address of this server to a service that validates descriptions.
    assert "validatorUrl: null" in http.get("/docs/start.js").text
    assert "<script>" not in page.text and "unsafe" not in page.headers["content-security-policy"]


def test_no_other_file_is_sent(running: Running) -> None:
    for name in ("redoc.standalone.js", "..%2f__init__.py", "%2e%2e%2fpages.py", "start.js/x"):
        assert running.http.get(f"/docs/{name}").status_code == 404, name
