"""ASGI middleware that gives each request an id, which connects a reply with the lines about it in the server log."""

from __future__ import annotations

import logging
import secrets

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("mrseg_label.http")
HEADER = "X-Request-ID"
_ID_BYTES = 8


class RequestIdMiddleware:
    """Sets ``request.state.request_id``, sends it in the header ``X-Request-ID``, and logs unexpected errors under it.

    The server makes every id itself: one that a client sent could name a patient or forge lines of the log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(_ID_BYTES)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            # Logged here and not where the reply is made: once a reply has begun, no other is made for the error.
            log.exception("%s failed", describe_request(HTTPConnection(scope)))
            raise


def request_id_of(request: HTTPConnection) -> str:
    """Return the id of a request; "?" for one that has not passed the middleware."""
    return str(getattr(request.state, "request_id", "?"))


def describe_request(request: HTTPConnection) -> str:
    """Describe a request for the log: its id, method and route, and nothing that the client wrote into the address."""
    # What stands in the place of a parameter may name a patient or hold a ticket.
    route = getattr(request.scope.get("route"), "path", "(no route)")
    return f"request {request_id_of(request)}: {request.scope['method']} {route}"
