"""Heads and bodies that are too large, too slow or never end, and connections that they hold."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.hostile import FORM, JSON, MB, MULTIPART, Body, head, request
from tests.support.hostile_scene import IDLE_SECONDS, Scene, check, check_no_trace, check_unchanged


def chunked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield b"%x\r\n" % len(piece) + piece + b"\r\n"


def endless(piece: bytes) -> Iterator[bytes]:
    """Far more than any limit, but not endless, so that a server which reads all of it fails the test in time."""
    for _ in range(48 * MB // len(piece)):
        yield piece


def drip(first: bytes, piece: bytes, pause: float = 0.1, seconds: float = 4 * IDLE_SECONDS) -> Iterator[bytes]:
    """Little by little, until well after the server's time limit."""
    yield first
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(pause)
        yield piece


def start_of_upload(s: Scene, *headers: str, who: str = "mallory") -> bytes:
    target = f"/datastore/label?image={s.own_ticket}"
    begun = b'--b\r\nContent-Disposition: form-data; name="label"; filename="a.nii.gz"\r\n\r\n'
    body = b"%x\r\n" % len(begun) + begun + b"\r\n" if "Transfer-Encoding: chunked" in headers else begun
    return head("PUT", target, s.by(who), MULTIPART, *headers) + body


CHUNKED = "Transfer-Encoding: chunked"


def persistent_attacks(s: Scene) -> dict[str, tuple[tuple[int, ...], Body]]:
    """Return attacks that take long, each with the statuses that may answer it."""
    return {
        "announced too large": ((413,), start_of_upload(s, f"Content-Length: {5 * MB}")),
        "announced far too large": ((413,), start_of_upload(s, f"Content-Length: {10**18}")),
        "announced too large, where no file is taken": (
            (413,),
            head("POST", "/activelearning/random", s.by(), JSON, f"Content-Length: {2 * MB}"),
        ),
        "endless": (
            (413,),
            joined(start_of_upload(s, CHUNKED), chunked(endless(bytes(64 * 1024)))),
        ),
        "endless, where no file is taken": (
            (413,),
            joined(head("POST", "/activelearning/random", s.by(), JSON, CHUNKED), chunked(endless(b" " * 65536))),
        ),
        "larger than announced": ((400, 422), start_of_upload(s, "Content-Length: 40") + b"x" * 100_000),
        "announced and never sent": ((408,), start_of_upload(s, "Content-Length: 1000")),
        "announced and never sent, as JSON": (
            (408,),
            head("POST", "/activelearning/random", s.by(), JSON, "Content-Length: 1000"),
        ),
        "waits for 100-continue and never sends": (
            (408,),
            start_of_upload(s, "Content-Length: 1000", "Expect: 100-continue"),
        ),
        "a byte now and then": ((408,), drip(start_of_upload(s, "Content-Length: 1000000"), b"x")),
        "a chunk of a byte now and then": ((408,), drip(start_of_upload(s, CHUNKED), b"1\r\nx\r\n")),
        "an endless chunk extension": ((408, 413), drip(start_of_upload(s, CHUNKED) + b"1;", b"x" * 100)),
        "endless trailers": (
            (0, 400, 408, 413, 422, 431),
            drip(start_of_upload(s, CHUNKED) + b"0\r\n", b"X-A: a\r\n"),
        ),
        "a head now and then": ((408,), drip(b"GET /info/ HTTP/1.1\r\nHost: localhost\r\n", b"X-A: a\r\n")),
        "a word now and then": ((408,), drip(b"GET /in", b"f")),
        "empty lines for ever": ((0, 408), drip(b"\r\n", b"\r\n")),
        "nothing at all": ((0, 408), drip(b"", b"")),
        "an endless header": (
            (431,),
            joined(b"GET /info/ HTTP/1.1\r\nX-A: ", endless(b"a" * 16384)),
        ),
        "endless headers": (
            (431,),
            joined(b"GET /info/ HTTP/1.1\r\n", endless(b"X-A: a\r\n" * 2048)),
        ),
        "an endless address": ((400, 431), joined(b"GET /", endless(b"a" * 16384))),
        "a stranger's 100 MB": (
            (401,),
            joined(
                request("PUT", "/datastore/label?image=x", MULTIPART, f"Content-Length: {100 * MB}"),
                iter([bytes(MB)] * 100),
            ),
        ),
        "a stranger's endless body": (
            (401,),
            joined(head("PUT", "/datastore/", MULTIPART, CHUNKED), chunked(endless(bytes(65536)))),
        ),
        "a stranger's slow body": (
            (401,),
            drip(head("PUT", "/datastore/", MULTIPART, "Content-Length: 10000000"), b"x"),
        ),
        "an endless sign-in": (
            (400, 413),
            joined(head("POST", "/auth/token", FORM, CHUNKED), chunked(endless(b"username=a&" * 5000))),
        ),
    }


def joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def test_bodies_and_heads_that_are_too_large_or_too_slow(scene: Scene) -> None:
    """All at once: each lasts until the server's time limit, and none makes the others wait."""
    before = scene.state()
    wrong: list[str] = []

    def attempt(what: str, statuses: tuple[int, ...], data: Body) -> None:
        begun = time.monotonic()
        try:
            reply = check(scene, what, data, statuses)
        except (AssertionError, TimeoutError) as error:
            wrong.append(f"{what}: {error!s:.300}")
            return
        if reply.sent > 32 * MB:
            wrong.append(f"{what}: {reply.sent:,} bytes were taken")
        if time.monotonic() - begun > 10 * IDLE_SECONDS:
            wrong.append(f"{what}: the connection was held for {time.monotonic() - begun:.1f} s")

    attacks = persistent_attacks(scene)
    with ThreadPoolExecutor(len(attacks)) as pool:
        for what, (statuses, data) in attacks.items():
            pool.submit(attempt, what, statuses, data).add_done_callback(lambda done: done.result())
        assert scene.server.http.get("/info/", headers={"Authorization": scene.by()[15:]}).status_code == 200
    assert not wrong, "\n".join(wrong)
    check_unchanged(scene, before)


def test_a_refused_body_does_not_hold_the_connection(scene: Scene) -> None:
    """A client that keeps sending after the reply is disconnected."""
    with socket.create_connection(("127.0.0.1", scene.port), timeout=20) as connection:
        connection.sendall(
            head("PUT", "/datastore/", MULTIPART, "Content-Length: 10000000").replace(b"close", b"keep-alive")
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        begun = time.monotonic()
        with pytest.raises(ConnectionError):
            for _ in range(200):
                connection.sendall(b"x")
                time.sleep(0.1)
        assert time.monotonic() - begun < 4 * IDLE_SECONDS


def test_a_strangers_upload_is_not_received(scene: Scene) -> None:
    """Data after the reply is dropped up to a limit, after which the connection is closed."""
    before, taken = scene.state(), 0
    with socket.create_connection(("127.0.0.1", scene.port), timeout=20) as connection:
        announced = head("PUT", "/datastore/", MULTIPART, f"Content-Length: {100 * MB}")
        connection.sendall(announced.replace(b"close", b"keep-alive"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")  # before a byte of it was sent
        with pytest.raises(ConnectionError):
            for _ in range(100):
                connection.sendall(bytes(MB))
                taken += 1
    assert taken < 32
    check_unchanged(scene, before)


def test_one_connection_serves_many_requests(scene: Scene) -> None:
    """The limits do not close connections of well-behaved clients."""
    large = bytes(300_000)  # more than a head may have
    connection = http.client.HTTPConnection("127.0.0.1", scene.port, timeout=20)
    authorization = {"Authorization": scene.by().partition(": ")[2]}
    connection.connect()
    own = connection.sock
    for pause in (0, 0, IDLE_SECONDS * 1.2, 0):
        time.sleep(pause)
        connection.request("PUT", "/datastore/image?image=a", body=large, headers=authorization)
        reply = connection.getresponse()
        assert (reply.status, b"file" in reply.read()) == (422, True)
        connection.request("GET", "/info/", headers=authorization)
        assert connection.getresponse().read().startswith(b"{")
        connection.request("PUT", "/datastore/image?image=a", body=large)  # refused before the body is read
        reply = connection.getresponse()
        assert (reply.status, b"sign in" in reply.read()) == (401, True)
    assert connection.sock is own
    connection.close()


def test_no_trace_is_left(scene: Scene) -> None:
    check_no_trace(scene)
