"""Odd methods, headers, lengths and protocols."""

from __future__ import annotations

import contextlib
import socket

from tests.support.hostile import JSON, head, request
from tests.support.hostile_scene import Scene, check_no_trace, check_refused


def odd_methods_and_headers(s: Scene) -> dict[str, bytes]:
    own = s.by()
    found: dict[str, bytes] = {
        f"{method} {target}": request(method, target, own)
        for method in ("TRACE", "PATCH", "PROPFIND", "OPTIONS", "LINK", "PURGE")
        for target in ("/info/", "/datastore/image", "/api/v1/models/current")
    }
    found |= {
        f"{method} {target} of the stock server": request(method, target, s.by("root"))
        for method, target in (
            ("GET", "/logs/"), ("GET", "/logs/?logfile=../../mrseg.db"), ("GET", "/proxy/dicom?url=http://127.0.0.1"),
            ("GET", "/reload"), ("GET", "/admin/reload/"), ("GET", "/docs/../openapi.json"), ("GET", "/redoc"), ("GET", "/static/../main.py"),
            ("PUT", "/model/mrseg"), ("GET", "/model/mrseg"), ("DELETE", "/datastore/?id=x"), ("GET", "/datastore/download"),
            ("POST", "/scoring/sum"), ("POST", "/batch/infer/mrseg"), ("PUT", "/datastore/updatelabelinfo?label=x"),
            ("GET", "/ohif/"), ("GET", "/.env"), ("GET", "/mrseg.db"), ("GET", "/mrseg.toml"), ("GET", "//etc/passwd"),
            ("GET", "/info/..;/api/v1/audit"), ("GET", "/login"), ("GET", "/wado?url=file:///etc/passwd"),
        )
    }  # fmt: skip
    found |= {
        f"HEAD {target}": request("HEAD", target, own)
        for target in ("/api/v1/audit", "/metrics", "/api/v1/rounds/1/log", "/api/v1/models/bootstrap/archive")
    }
    found |= {
        f"the address {target}": request("GET", target, own)
        for target in ("//api/v1/audit", "/api/v1/./audit", "/api/v1/models/../audit", "/api/v1/models/%2e%2e/audit", "/API/V1/AUDIT",
                       "/api/v1/audit;x=/info/", "/api/v1/audit%00", "/api/v1/audit%2f", "/api/v1/audit/", "/api/v1/audit%20", "/info/%2e%2e/api/v1/audit",
                       "/auth/..%2fapi/v1/audit", "/api/v1/audit?/info/", "/api/v1/audit#/info/", "/api%2fv1%2faudit")
    }  # fmt: skip
    audit = "/api/v1/audit"
    preflight = (
        "Origin: https://evil.example",
        "Access-Control-Request-Method: PUT",
        "Access-Control-Request-Headers: authorization",
    )
    found |= {
        "CONNECT": head("CONNECT", "127.0.0.1:22", own),
        "no such method": head("BREW", "/info/", own),
        "method of control characters": head("G\x01T", "/info/", own),
        "a method in lower case": head("get", "/info/", own),
        "HTTP/9.9": head("GET", "/info/", own).replace(b"HTTP/1.1", b"HTTP/9.9"),
        "HTTP/2 out of the blue": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "a blank in the address": head("GET", "/info/ /x", own),
        "no version": b"GET /info/\r\n\r\n",
        "space before the colon": head("GET", "/info/", "Authorization : Bearer x"),
        "folded header": head("GET", "/info/", f"X-A: b\r\n {own}"),
        "bare line feed in a header": head("GET", audit, "X-A: b\nAuthorization: Bearer x", own),
        "NUL in a header": head("GET", "/info/", own, "X-A: a\0b"),
        "bytes in the token": head("GET", "/info/", "Authorization: Bearer \xff\xfe"),
        "method override": request("GET", audit, own, "X-HTTP-Method-Override: POST", "X-HTTP-Method: DELETE"),
        "original address": request("GET", audit, own, "X-Original-URL: /info/", "X-Rewrite-URL: /info/"),
        "forwarded as from this machine": request(
            "GET", audit, "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "X-Forwarded-User: root", "Forwarded: for=127.0.0.1",
        ),
        "remote user": request("GET", audit, "Remote-User: root", "X-Remote-User: root", "X-Auth-Request-User: root", "X-Forwarded-Email: root"),
        "a role of one's own": request("GET", audit, own, "X-Role: admin", "X-User: root"),
        "preflight": request("OPTIONS", "/datastore/label", *preflight),
        "preflight with credentials": request("OPTIONS", "/datastore/label", *preflight, own, "Cookie: mrseg_session=x"),
        "preflight of a private network": request("OPTIONS", "/info/", *preflight, "Access-Control-Request-Private-Network: true"),
        "websocket": request("GET", "/info/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==").replace(b"Connection: close\r\n", b""),
        "websocket, signed in": request("GET", "/info/", own, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==").replace(b"Connection: close\r\n", b""),
        "another protocol": request("GET", audit, own, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        "another protocol with a body": request("POST", "/activelearning/none", own, JSON, "Connection: Upgrade", "Upgrade: h2c", body=b"{}"),
        "range beyond the end": request("GET", f"/datastore/image?image={s.own_ticket}", "Range: bytes=99999999-"),
        "range that is none": request("GET", f"/datastore/image?image={s.own_ticket}", "Range: bytes=a-b"),
        "range backwards": request("GET", f"/datastore/image?image={s.own_ticket}", "Range: bytes=9-1"),
        "two lengths": head("POST", "/activelearning/random", own, JSON, "Content-Length: 2", "Content-Length: 3") + b"{}}",
        "negative length": head("POST", "/activelearning/random", own, JSON, "Content-Length: -1"),
        "length in words": head("POST", "/activelearning/random", own, JSON, "Content-Length: two"),
        "length with a sign": head("POST", "/activelearning/random", own, JSON, "Content-Length: +2") + b"{}",
        "length beyond numbers": head("POST", "/activelearning/random", own, JSON, "Content-Length: 99999999999999999999999"),
        "length and chunks": head("POST", "/activelearning/random", own, JSON, "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\nGET /api/v1/audit HTTP/1.1\r\n\r\n",
        "chunks and length": head("POST", "/activelearning/random", own, JSON, "Transfer-Encoding: chunked", "Content-Length: 4") + b"0\r\n\r\n",
        "chunks, oddly spelt": head("POST", "/activelearning/random", own, JSON, "Transfer-Encoding: xchunked", "Content-Length: 2") + b"{}",
        "chunks that are not last": head("POST", "/activelearning/random", own, JSON, "Transfer-Encoding: chunked, identity") + b"0\r\n\r\n",
        "a chunk's size that is none": head("POST", "/activelearning/random", own, JSON, "Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n",
        "a chunk's size beyond numbers": head("POST", "/activelearning/random", own, JSON, "Transfer-Encoding: chunked") + b"fffffffffffffffff\r\n{}",
        "absolute address of another host": head("GET", "http://evil.example/api/v1/audit", own),
        "absolute address without a path": head("GET", "http://evil.example", own),
        "an asterisk": head("OPTIONS", "*", own),
        "long address": request("GET", "/datastore/image?image=" + "a" * 9000, own),
        "very long address": request("GET", "/" + "a" * 60_000, own),
        "many parameters": request("GET", "/datastore/image?" + "&".join(f"image={n}" for n in range(900)), own),
        "large header": request("GET", "/info/", own, "X-A: " + "a" * 200_000),
        "many headers": request("GET", "/info/", own, *[f"X-{n}: {'a' * 50}" for n in range(5000)]),
        "parameter twice": request("GET", f"/datastore/image?image={s.own_ticket}&image=/etc/passwd", own),
        "letters that are none": request("GET", "/datastore/image?image=%c0%ae%c0%ae%c0%af", own),
        "a path of bytes": b"GET /\xff\xfe/../etc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "control characters in the path": request("GET", "/info/%0d%0aX-Injected:1", own),
        "line break in the query": request("GET", "/datastore/image?image=a%0d%0aX-Injected:%201&client_id=%0d%0aX-Injected:1", own),
        "line break in a client's name": request("GET", f"/datastore/image?image={s.own_ticket}&client_id=a%0d%0aX-Injected:1", own),
    }  # fmt: skip
    return found


def test_odd_methods_and_headers_are_refused(scene: Scene) -> None:
    check_refused(scene, odd_methods_and_headers(scene), 110)


def test_smuggled_requests_are_not_answered(scene: Scene) -> None:
    """Length and chunks together: whatever is made of the first request, the second one is none."""
    second = request("GET", "/api/v1/audit", scene.by("root"))
    for lines in (
        ("Content-Length: {}", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: {}"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Content-Length: {}"),
        ("Transfer-Encoding: \x0bchunked", "Content-Length: {}"),
        ("Content-Length: 0", "Content-Length: {}"),
        ("Content-Length: 0{}",),
    ):
        given = [line.format(len(second)) for line in lines]
        first = head("POST", "/activelearning/none", scene.by(), JSON, *given).replace(b"Connection: close\r\n", b"")
        with socket.create_connection(("127.0.0.1", scene.port), timeout=1.5) as connection:
            connection.sendall(first + (b"0\r\n\r\n" if "Transfer-Encoding: chunked" in lines else b"") + second)
            answer = b""
            with contextlib.suppress(ConnectionError, TimeoutError):  # one is kept open
                while piece := connection.recv(65536):
                    answer += piece
        assert answer.startswith(b"HTTP/1.1 4"), answer[:200]
        assert b" 200 " not in answer and b"items" not in answer


def test_no_trace_is_left(scene: Scene) -> None:
    check_no_trace(scene)
