"""ASGI middleware that gives each request an id, which connects a reply with the lines about it in the server log.

It is the outermost, so that it also sees how long each request takes and how it ends: it logs and counts them.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import secrets
import time
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mrseg_label.http.request_figures import count_request
from mrseg_label.logs import about_request, with_fields

log = logging.getLogger("mrseg_label.http")
access = logging.getLogger("mrseg_label.access")
HEADER = "X-Request-ID"
_ID_BYTES = 8
_OF_A_PROGRAM = re.compile(r"[0-9a-f]{16,64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WATCHING = frozenset(("/healthz", "/readyz", "/metrics"))  # asked every few seconds; logged only if they fail


class RequestIdMiddleware:
    """Sets ``request.state.request_id``, sends it in the header ``X-Request-ID``, and logs how the request ended under it.

    The id of a trusted proxy is taken over if it is hexadecimal or a UUID. Otherwise the server makes it: one that a client sent
    could name a patient or forge lines of the log.

    Parameters
    ----------
    proxies : addresses and networks of trusted proxies.
    """

    def __init__(self, app: ASGIApp, proxies: Sequence[str] = ()) -> None:
        self.app = app
        self._proxies = [ipaddress.ip_network(one) for one in proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = self._id_of_proxy(scope) or secrets.token_hex(_ID_BYTES)
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status: int | None = None
        is_stream = False

        async def send_with_id(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[HEADER] = request_id
                status, is_stream = message["status"], headers.get("content-type", "").startswith("text/event-stream")
            await send(message)

        with about_request(request_id):
            try:
                await self.app(scope, receive, send_with_id)
            except Exception:
                # Logged here and not where the reply is made: once a reply has begun, no other is made for the error.
                log.exception("%s failed", describe_request(HTTPConnection(scope)))
                status = status or 500
                raise
            finally:
                _end(scope, status, time.perf_counter() - started, is_stream=is_stream)

    def _id_of_proxy(self, scope: Scope) -> str | None:
        if not self._proxies or not self._is_proxy(scope.get("client")):
            return None
        given = Headers(scope=scope).get(HEADER, "").lower()
        return given if _OF_A_PROGRAM.fullmatch(given) else None

    def _is_proxy(self, client: tuple[str, int] | None) -> bool:
        try:
            address = ipaddress.ip_address(client[0] if client else "")
        except ValueError:
            return False
        return any(address in network for network in self._proxies)


def _end(scope: Scope, status: int | None, seconds: float, *, is_stream: bool) -> None:
    route = _route_of(scope)
    count_request(scope["method"], route, status, None if is_stream else seconds)
    if route in _WATCHING and status is not None and status < 400:
        return
    milliseconds = round(seconds * 1000, 1)
    shown = "no answer, since the client left" if status is None else status
    fields = with_fields(method=scope["method"], route=route, status=status, duration_ms=milliseconds)
    access.info("%s: %s in %.0f ms", describe_request(HTTPConnection(scope)), shown, milliseconds, extra=fields)


def request_id_of(request: HTTPConnection) -> str:
    """Return the id of a request; "?" for one that has not passed the middleware."""
    return str(getattr(request.state, "request_id", "?"))


def describe_request(request: HTTPConnection) -> str:
    """Describe a request for the log: its id, method and route, and nothing that the client wrote into the address."""
    # What stands in the place of a parameter may name a patient or hold a ticket.
    return f"request {request_id_of(request)}: {request.scope['method']} {_route_of(request.scope)}"


def _route_of(scope: Scope) -> str:
    """The path of the route with its parameters' names, and with the prefix of the router that FastAPI leaves out."""
    route = scope.get("route")
    template, matches = getattr(route, "path", None), getattr(route, "path_regex", None)
    if template is None or matches is None:
        return "(no route)"
    parts = scope["path"].split("/")
    for count in range(1, len(parts)):
        if matches.match("/" + "/".join(parts[count:])):
            return "/".join(parts[:count]) + str(template)
    return str(template)
