"""Requests byte by byte, as only an attacker or a broken client sends them, and the state they must not change."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.tables import Base, SignInAttempts

MB = 1024 * 1024
JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"
MULTIPART = "Content-Type: multipart/form-data; boundary=b"
TRAVERSALS = (
    "../../../../../../etc/passwd",
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%252e%252e%252f%252e%252e%252fetc%252fpasswd",
    "..%c0%af..%c0%af..%c0%afetc%c0%afpasswd",
    "....//....//....//etc/passwd",
    "..%5c..%5c..%5cwindows%5cwin.ini",
    "/etc/passwd",
    "file:///etc/passwd",
    "%00/etc/passwd",
    "mrseg.db%00.nii.gz",
    "http://169.254.169.254/latest/meta-data",
    "~root/.ssh/id_rsa",
    "..%0d%0aX-Injected:%201",
    "$(touch%20pwned)",
    "%uff0e%uff0e%u2215etc",
)
SQL = (
    "' OR '1'='1",
    "x' UNION SELECT name, password_hash FROM accounts --",
    "'; DROP TABLE accounts; --",
    '" OR ""="',
    "1); DELETE FROM annotations; --",
    "\\'; UPDATE accounts SET role='admin' WHERE name='mallory'; --",
    "x'/**/AND/**/1=(SELECT/**/COUNT(*)/**/FROM/**/secrets)--",
)
TIMEOUT_SECONDS = 20.0
Body = bytes | Iterable[bytes]


@dataclass(frozen=True)
class Reply:
    """The reply of the server; its status is 0 if the connection was closed without one."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    sent: int = 0

    @property
    def text(self) -> str:
        """Headers and body as a client sees them."""
        lines = [f"{name}: {value}" for name, value in self.headers]
        return "\n".join(lines) + "\n\n" + self.body.decode("latin-1")


def head(method: str, target: str, *headers: str) -> bytes:
    """Start line and headers, unchecked."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def request(method: str, target: str, *headers: str, body: bytes | None = None) -> bytes:
    """A request with a body of declared length."""
    length = [] if body is None else [f"Content-Length: {len(body)}"]
    return head(method, target, *headers, *length) + (body or b"")


def as_json(value: Any) -> bytes:
    """JSON as Python writes it, NaN included."""
    return json.dumps(value).encode()


def part(disposition: str, content: bytes, *headers: str) -> bytes:
    """A part of a form."""
    lines = [f"Content-Disposition: {disposition}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + content + b"\r\n"


def form(*parts: bytes, boundary: bytes = b"b", end: bool = True) -> bytes:
    """A multipart body."""
    body = b"".join(b"--" + boundary + b"\r\n" + item for item in parts)
    return body + (b"--" + boundary + b"--\r\n" if end else b"")


def upload(
    method: str, target: str, *headers: str, name: str, content: bytes, field: str = "file", params: Any = None
) -> bytes:
    """A form with one file, and ``params`` where they are given."""
    parts = [part(f'form-data; name="{field}"; filename="{name}"', content)]
    if params is not None:
        parts.append(part('form-data; name="params"', params if isinstance(params, bytes) else as_json(params)))
    return request(method, target, "Content-Type: multipart/form-data; boundary=b", *headers, body=form(*parts))


def exchange(port: int, data: Body, seconds: float = TIMEOUT_SECONDS) -> Reply:
    """Send bytes until the server closes the connection, and read one reply.

    Raises
    ------
    TimeoutError
        The server neither replies nor closes the connection in time.
    """
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with suppress(ConnectionError):
            for piece in [data] if isinstance(data, bytes) else data:
                connection.sendall(piece)
                sent += len(piece)
        method = "HEAD" if isinstance(data, bytes) and data.startswith(b"HEAD ") else None
        response = http.client.HTTPResponse(connection, method=method)
        try:
            response.begin()
            return Reply(response.status, response.getheaders(), response.read(), sent)
        except (ConnectionError, http.client.BadStatusLine, http.client.IncompleteRead):
            return Reply(0, sent=sent)


UNCOUNTED_ACTIONS = ("sign-in.failed", "sign-in.refused")


# Signs of life, and the notifications of what the server finds when it looks at itself.
_BY_THE_CLOCK = ("heartbeats", "workers", "leases", "notifications", "deliveries")


def rows(catalog: Catalog) -> dict[str, list[tuple[Any, ...]]]:
    """All rows except those that a failed sign-in should add, and those that the server writes at its own times."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with catalog.read() as session:
        for table in Base.metadata.sorted_tables:
            if table.name in (SignInAttempts.__tablename__, *_BY_THE_CLOCK):
                continue
            query = table.select()
            if table.name == "audit_events":
                query = query.where(table.c.action.not_in(UNCOUNTED_ACTIONS))
            found[table.name] = sorted(tuple(map(str, row)) for row in session.execute(query))
    return found


def files(folder: Path, *, without: Sequence[Path] = (), contents: bool = True) -> dict[str, tuple[int, str]]:
    """Path, size and digest of every file, and every folder."""
    found: dict[str, tuple[int, str]] = {}
    for path in sorted(folder.rglob("*")):
        if any(path == item or item in path.parents for item in without) or path.name.startswith("mrseg.db"):
            continue
        with suppress(FileNotFoundError):
            if path.is_dir():
                found[str(path)] = (0, "folder")
            else:
                data = path.read_bytes() if contents else b""
                found[str(path)] = (path.stat().st_size if contents else 0, hashlib.sha256(data).hexdigest())
    return found


@dataclass(frozen=True)
class State:
    """What a hostile request must leave unchanged."""

    rows: Mapping[str, list[tuple[Any, ...]]]
    inside: Mapping[str, tuple[int, str]]
    outside: Mapping[str, tuple[int, str]]

    @classmethod
    def of(cls, workspace: OpenedWorkspace, log: Path) -> State:
        """Of a workspace and of the folder that it is in (with HOME and TMPDIR of the server)."""
        parent = workspace.root.parent
        return cls(rows(workspace.catalog), files(workspace.root), files(parent, without=[workspace.root, log]))
