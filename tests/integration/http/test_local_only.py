"""Without sign-in the server answers only its own machine; it refuses bodies that are too large."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator

import pytest

from mrseg_label.errors import ConfigurationError
from mrseg_monailabel.server import WORKSPACE_VARIABLE, create_app
from tests.integration.conftest import Running


@pytest.mark.parametrize(
    "path", ["/info/", "/auth/", "/healthz", "/api/v1/models", "/datastore/image?image=x", "/none"]
)
@pytest.mark.parametrize(
    "headers", [{"Host": "hospital.example"}, {"Origin": "http://evil.example"}, {"X-Forwarded-For": "127.0.0.1"}]
)
def test_the_real_server_refuses(running: Running, path: str, headers: dict[str, str]) -> None:
    reply = running.http.get(path, headers=headers)
    assert reply.status_code == 403
    assert "AUTH=off" in reply.json()["detail"]
    assert "access-control-allow-origin" not in reply.headers


def test_no_cross_origin_preflight_is_granted(running: Running) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    reply = running.http.options("/activelearning/random", headers=headers)
    assert reply.status_code == 403
    assert not any(name.startswith("access-control") for name in reply.headers)


def test_an_announced_body_that_is_too_large_is_refused(running: Running) -> None:
    reply = running.http.put("/datastore/", params={"image": "x"}, files={"file": ("x.nii.gz", bytes(5 * 1024 * 1024))})
    assert reply.status_code == 413
    assert "4 MB" in reply.json()["detail"]


def test_a_streamed_body_that_is_too_large_is_refused(running: Running) -> None:
    def body() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.nii.gz"\r\n\r\n'
        for _ in range(6):
            yield bytes(1024 * 1024)
        yield b"\r\n--b--\r\n"

    # http.client tells nothing of the length beforehand, and reads the answer even where the server hangs up.
    connection = http.client.HTTPConnection("127.0.0.1", int(running.url.rpartition(":")[2]), timeout=60)
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Transfer-Encoding": "chunked"}
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request("PUT", "/datastore/?image=x", body=body(), headers=headers, encode_chunked=True)
    reply = connection.getresponse()
    assert reply.status == 413
    assert b"4 MB" in reply.read()


def test_the_server_must_know_its_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WORKSPACE_VARIABLE, raising=False)
    with pytest.raises(ConfigurationError, match=WORKSPACE_VARIABLE):
        create_app()
