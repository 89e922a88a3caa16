"""Limits of requests (address, charset, size and speed of the body, parts of a form) and security headers of replies.

References
----------
OWASP REST Security Cheat Sheet.
https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from typing import Any

import anyio
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mrseg_label.http.permissions import PermissionTable
from mrseg_label.http.problems import problem

MEGABYTE = 1024 * 1024
SMALL_BODY_MB = 1  # for routes that take no file
MIN_BYTES_PER_SECOND = 4096  # on average, for a body that takes longer than twice the idle time
RETRY_SECONDS = 10  # until another server, or this one started again, may take a request
MAX_QUERY = 8192  # bytes
# As FastAPI's ``form_limits``: no form of ours has more, and each file of a megabyte or more is an open file here.
FORM_LIMITS: Any = {"max_files": 4, "max_fields": 32}

_CHARSET = re.compile(rb""";\s*charset\s*=\s*"?utf-?8"?\s*(?=;|$)""", re.IGNORECASE)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    # Not no-referrer: browsers would then send "null" as the origin of the forms on our own pages.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
HSTS = "max-age=31536000"


class SecurityHeadersMiddleware:
    """Adds security headers to each reply, except those that a route has set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if scope.get("scheme") == "https":
                    headers.setdefault("Strict-Transport-Security", HSTS)
            await send(message)

        await self.app(scope, receive, with_headers)


class LimitsMiddleware:
    """Refuses requests with a malformed address, a charset other than UTF-8, or a body that is too large or too slow.

    Parameters
    ----------
    megabytes : limit of a body where the route takes files; elsewhere it is one megabyte.
    idle_seconds : how long a body may pause before its request is refused.
    """

    def __init__(self, app: ASGIApp, permissions: PermissionTable, megabytes: int, idle_seconds: float) -> None:
        self.app = app
        self._permissions = permissions
        self._megabytes = megabytes
        self._idle_seconds = idle_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        reason = address_error(scope)
        if reason is not None:
            await problem(Request(scope), 422, reason)(scope, receive, send)
            return
        if has_other_charset(scope):
            # The event loop would decode a megabyte with the codec of the client's choice; some take half a minute.
            detail = "the Content-Type names another charset than UTF-8; send UTF-8"
            await problem(Request(scope), 415, detail)(scope, receive, send)
            return
        permission = self._permissions.find(scope["method"], scope["path"])
        takes_files = permission is not None and permission.upload
        megabytes = self._megabytes if takes_files else min(SMALL_BODY_MB, self._megabytes)
        limit = megabytes * MEGABYTE
        too_large = f"the request is larger than {megabytes} MB{' (MAX_UPLOAD_MB)' if takes_files else ''}"
        declared = _content_length(scope["headers"])
        if declared is not None and declared > limit:
            response = problem(Request(scope), 413, too_large, headers={"Connection": "close"})
            await response(scope, receive, send)
            return
        await self.app(scope, _Body(receive, limit, too_large, self._idle_seconds).receive, send)


class _Body:
    """Counts and times a body while it is received.

    Raises HTTPException because FastAPI lets it pass while it reads a body; any other exception would become a 400.
    """

    def __init__(self, receive: Receive, limit: int, too_large: str, idle_seconds: float) -> None:
        self._receive = receive
        self._idle_seconds = idle_seconds
        self._limit = limit
        self._too_large = too_large
        self._received = 0
        self._complete = False
        self._begun: float | None = None

    async def receive(self) -> Message:
        if self._complete:  # the next message is the disconnect, which may take as long as the reply
            return await self._receive()
        now = time.monotonic()
        if self._begun is None:
            self._begun = now
        message: Message | None = None
        try:
            with anyio.move_on_after(self._idle_seconds):
                message = await self._receive()
        except asyncio.CancelledError:  # the server ends, and this body took longer than it waits
            detail = "the server ended before all of the request had arrived, and nothing was stored; send it again"
            raise HTTPException(503, detail, headers={"Retry-After": str(RETRY_SECONDS)}) from None
        if message is None:
            raise HTTPException(408, f"no data arrived for {self._idle_seconds:g} s; send the request again")
        if message["type"] != "http.request":
            return message
        self._received += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._received > self._limit:
            raise HTTPException(413, self._too_large)
        lasted = time.monotonic() - self._begun
        if not self._complete and lasted > 2 * self._idle_seconds and self._received < MIN_BYTES_PER_SECOND * lasted:
            raise HTTPException(408, f"the request is too slow: {self._received:,} bytes in {lasted:.0f} s")
        return message


def address_error(scope: Scope) -> str | None:
    """Describe what is wrong with the address of a request; None if nothing is."""
    query: bytes = scope["query_string"]
    if len(query) > MAX_QUERY:
        return f"the query of the address has {len(query):,} bytes; {MAX_QUERY:,} are permitted"
    if any(ord(character) < 32 or ord(character) == 127 for character in scope["path"]):
        return "the address contains control characters"
    if b"%00" in query or any(byte < 32 for byte in query):
        return "the address contains control characters"
    return None


def has_other_charset(scope: Scope) -> bool:
    """Whether a request declares another charset than UTF-8 for its body."""
    for name, value in scope["headers"]:
        if name.lower() == b"content-type" and b"charset" in value.lower():
            found = _CHARSET.findall(value)
            if len(found) != value.lower().count(b"charset") or len(found) != 1:
                return True
    return False


def _content_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    for name, value in headers:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return None
