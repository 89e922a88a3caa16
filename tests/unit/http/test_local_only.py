"""Which requests come directly from this machine."""

from __future__ import annotations

from typing import Any

import pytest

from mrseg_label.http.local_only import reason_to_refuse

OWN_HOST = ("host", "127.0.0.1:8000")


def scope(*headers: tuple[str, str], peer: str | None = "127.0.0.1", scheme: str = "http") -> dict[str, Any]:
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    return {"type": "http", "scheme": scheme, "client": (peer, 5) if peer else None, "headers": encoded}


@pytest.mark.parametrize(
    "request_scope",
    [
        scope(OWN_HOST),
        scope(("host", "localhost")),
        scope(("host", "LocalHost:8000")),
        scope(("host", "[::1]:8000"), peer="::1"),
        scope(OWN_HOST, peer="127.0.0.53"),
        scope(OWN_HOST, peer="::ffff:127.0.0.1"),
        scope(OWN_HOST, ("origin", "http://127.0.0.1:8000")),
        scope(("host", "localhost"), ("origin", "https://localhost"), scheme="https"),
    ],
)
def test_this_machine_is_answered(request_scope: dict[str, Any]) -> None:
    assert reason_to_refuse(request_scope) is None


@pytest.mark.parametrize(
    ("request_scope", "word"),
    [
        (scope(OWN_HOST, peer="10.1.2.3"), "peer"),
        (scope(OWN_HOST, peer="::ffff:10.1.2.3"), "peer"),
        (scope(OWN_HOST, peer=None), "peer"),
        (scope(OWN_HOST, peer="testclient"), "peer"),
        (scope(), "Host"),
        (scope(("host", "")), "Host"),
        (scope(("host", "hospital.example")), "Host"),
        (scope(("host", "localhost.hospital.example")), "Host"),
        (scope(("host", "127.0.0.1.nip.io:8000")), "Host"),
        (scope(("host", "localhost@evil.example")), "Host"),
        (scope(("host", "evil.example#localhost")), "Host"),
        (scope(("host", "localhost, evil.example")), "Host"),
        (scope(("host", "localhost:x")), "Host"),
        (scope(("host", "0.0.0.0:8000")), "Host"),
        (scope(OWN_HOST, ("host", "evil.example")), "Host"),
        (scope(OWN_HOST, ("X-Forwarded-For", "127.0.0.1")), "forwarded"),
        (scope(OWN_HOST, ("x-forwarded-host", "localhost")), "forwarded"),
        (scope(OWN_HOST, ("forwarded", "for=127.0.0.1")), "forwarded"),
        (scope(OWN_HOST, ("x-real-ip", "127.0.0.1")), "forwarded"),
        (scope(OWN_HOST, ("via", "1.1 proxy")), "forwarded"),
        (scope(OWN_HOST, ("origin", "http://evil.example")), "Origin"),
        (scope(OWN_HOST, ("origin", "null")), "Origin"),
        (scope(OWN_HOST, ("origin", "http://127.0.0.1:3000")), "Origin"),
        (scope(OWN_HOST, ("origin", "https://127.0.0.1:8000")), "Origin"),
        (scope(OWN_HOST, ("origin", "http://127.0.0.1:8000.evil.example")), "Origin"),
    ],
)
def test_everybody_else_is_refused(request_scope: dict[str, Any], word: str) -> None:
    reason = reason_to_refuse(request_scope)
    assert reason is not None and word in reason
