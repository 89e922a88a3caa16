"""ASGI middleware: who asks, and whether it may. It answers before a byte of a body is read."""

from __future__ import annotations

from urllib.parse import parse_qs

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mrseg_label.accounts.browsers import SESSION_COOKIE, from_own_page, takes_pages
from mrseg_label.accounts.identity import Identity
from mrseg_label.accounts.signing_in import SignIn
from mrseg_label.api.access import Access, Rule, said
from mrseg_label.api.problems import of_error
from mrseg_label.catalog import Catalog
from mrseg_label.errors import Forbidden, InvalidInput, MrsegError, NotFound, Unauthorized
from mrseg_label.worklist.resolving import reader_of_ticket

_SAFE = ("GET", "HEAD")
_THREADS = 16  # of its own, so that a look at a token does not wait for uploads


class Door:
    """Lets a request in if the table says that its account may.

    Who asks is in ``request.state`` afterwards: ``identity``, and ``user`` and ``role`` of it; ``stranger`` is whether
    it is not known.

    Parameters
    ----------
    access : the table. A path that is not in it is answered with 404 to those who are signed in, with 401 to others.
    """

    def __init__(self, app: ASGIApp, catalog: Catalog, sign_in: SignIn, access: Access) -> None:
        self.app = app
        self._catalog = catalog
        self._sign_in = sign_in
        self._access = access
        self._limiter = CapacityLimiter(_THREADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008, "reason": "there are no websockets here"})
            return
        scope.setdefault("state", {})["stranger"] = True
        rule = self._access.find(scope["method"], scope["path"])
        try:
            if rule is None or rule.roles is not None:
                identity = await anyio.to_thread.run_sync(self._identify, scope, rule, limiter=self._limiter)
                self._check(scope, rule, identity)
                known = {"identity": identity, "user": identity.name, "role": identity.role, "stranger": False}
                scope["state"] |= known
        except MrsegError as error:
            page = rule.sign_in_page if rule is not None and isinstance(error, Unauthorized) else ""
            if page and takes_pages(Headers(scope=scope)):
                await RedirectResponse(page, 303)(scope, receive, send)
                return
            await of_error(Request(scope), error)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _identify(self, scope: Scope, rule: Rule | None) -> Identity:
        headers = Headers(scope=scope)
        given = headers.getlist("authorization")
        if given:
            scheme, _, presented = given[0].partition(" ")
            if len(given) > 1 or scheme.lower() != "bearer" or not presented:
                raise Unauthorized("the header Authorization must be: Bearer, a blank, and a token or an API key")
            return self._sign_in.identify(presented.strip())
        ticket = _ticket(scope) if rule is not None and rule.ticket else None
        if ticket is not None:
            reader = reader_of_ticket(self._catalog, ticket)
            if reader is not None:
                return self._sign_in.of_account(reader)
        cookie = _session_cookie(headers)
        if cookie is not None:
            identity = self._sign_in.identify(cookie)
            if scope["method"] not in _SAFE and not from_own_page(scope.get("scheme", "http"), headers):
                raise Forbidden("another site's page sent this; use the pages of this server")
            return identity
        if ticket is not None:
            raise Unauthorized(
                "this image is opened with a ticket that is still good, or after a sign-in; ask for the next case again"
            )
        raise Unauthorized("sign in first: POST /auth/token with name and password, or show an API key")

    def _check(self, scope: Scope, rule: Rule | None, identity: Identity) -> None:
        path = scope["path"]
        if rule is None:
            # The router answers where the path is known by another method, or with another slash at its end.
            twin = path.rstrip("/") if path.endswith("/") else f"{path}/"
            if not self._access.knows(path) and not self._access.knows(twin):
                raise NotFound("there is nothing under this address")
            rule = self._access.find(scope["method"], twin)
        if rule is not None and rule.roles is not None and identity.role not in rule.roles:
            raise Forbidden(f"{identity.name} has the role {identity.role}, which may not do this. {said(rule)}")


def _ticket(scope: Scope) -> str | None:
    images = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("image", [])
    if len(images) > 1:  # the one that is looked at here must be the one that is sent
        raise InvalidInput("name one image")
    return images[0] if images else None


def _session_cookie(headers: Headers) -> str | None:
    # By hand: the standard library's parser takes seconds for what a stranger may send (CVE-2024-7592), and stops at
    # another application's odd cookie.
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == SESSION_COOKIE and value:
            return value
    return None
