"""The first step of authentication: the addresses ``/as/<secret>/`` of reviewers whose Slicer extension can send no token.

The secret stands in the place of a sign-in. It is removed from the request before a route, an error message or the audit
trail sees the address, and behind it are the few routes that the extension calls.
"""

from __future__ import annotations

import re
from urllib.parse import quote

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mrseg_label.accounts.identity import Identity
from mrseg_label.accounts.review_addresses import identify_address
from mrseg_label.catalog import Catalog
from mrseg_label.errors import MrsegError, NotFound
from mrseg_label.http.paths import REVIEW_ADDRESSES
from mrseg_label.http.problems import error_response

_PREFIX = f"{REVIEW_ADDRESSES}/"
_ADDRESS = re.compile(rf"{re.escape(REVIEW_ADDRESSES)}/([^/]*)(.*)", re.DOTALL)
_BY_ADDRESS = "by_review_address"  # key of the state of a request
_REMOVED_HEADERS = (b"authorization", b"cookie", b"referer")  # the address alone says who sends the request
_SERVER = "/"
_ROUTES = {
    _SERVER: ("GET", "HEAD"),
    "/datastore/": ("GET", "HEAD"),
    "/datastore/image": ("GET", "HEAD"),
    "/datastore/label": ("GET", "HEAD", "PUT", "DELETE"),
    "/datastore/updatelabelinfo": ("PUT",),
}


def came_by_address(request: HTTPConnection) -> bool:
    """Whether a request was sent to a reviewer's own address."""
    return bool(getattr(request.state, _BY_ADDRESS, False))


def identity_by_address(scope: Scope) -> Identity | None:
    """Return the account to whose address a request was sent; None for any other request."""
    state = scope.get("state", {})
    return state.get("identity") if state.get(_BY_ADDRESS) else None


class ReviewAddresses:
    """Passes a request to a reviewer's address on as one to the server's address, with the reviewer's identity.

    Parameters
    ----------
    limiter : of the threads in which accounts are looked up.
    """

    def __init__(self, app: ASGIApp, catalog: Catalog, limiter: CapacityLimiter) -> None:
        self.app = app
        self._catalog = catalog
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(_PREFIX):
            await self.app(scope, receive, send)
            return
        found = _ADDRESS.fullmatch(scope["path"])
        secret, rest = (found[1], found[2]) if found else ("", "")
        path = _route_path(rest)
        # In place: nothing outside of this middleware shall see the secret either.
        scope.update(path=path, raw_path=quote(path).encode())
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in _REMOVED_HEADERS]
        scope.setdefault("state", {})["anonymous"] = True
        peer = scope["client"][0] if scope.get("client") else "unknown"

        async def without_address(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A browser that is sent here must not tell the address to any other page.
                MutableHeaders(scope=message)["Referrer-Policy"] = "no-referrer"
            await send(message)

        try:
            identity = await anyio.to_thread.run_sync(
                identify_address, self._catalog, secret, peer, limiter=self._limiter
            )
            if scope["method"] not in _ROUTES.get(path, ()):
                raise NotFound(
                    "this address is for the extension MONAILabelReviewer of 3D Slicer, and has nothing but its routes; "
                    "use the address of the server for everything else"
                )
        except MrsegError as error:
            await error_response(Request(scope), error)(scope, receive, without_address)
            return
        scope["state"] |= {"identity": identity, "anonymous": False, _BY_ADDRESS: True}
        if path == _SERVER:
            await _describe(identity)(scope, receive, without_address)
            return
        await self.app(scope, receive, without_address)


def _route_path(rest: str) -> str:
    """Return the path below the address as the server's routes have it; the client may double the slash before it."""
    path = f"/{rest.lstrip('/')}"
    return "/datastore/" if path == "/datastore" else path


def _describe(identity: Identity) -> Response:
    what = "a reviewer's address: enter it as the server of the module MONAILabel Reviewer in 3D Slicer"
    return JSONResponse({"what": what, "reviewer": identity.name})
