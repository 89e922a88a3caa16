"""ASGI middleware that authenticates a request and checks its permission, before a byte of its body is read."""

from __future__ import annotations

from urllib.parse import parse_qs

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mrseg_label.accounts.identity import Identity
from mrseg_label.accounts.sign_in import SignIn
from mrseg_label.catalog import Catalog
from mrseg_label.errors import Forbidden, InvalidInput, MrsegError, NotFound, Unauthorized
from mrseg_label.http.browsers import SESSION_COOKIE, check_same_origin, wants_page
from mrseg_label.http.permissions import Permission, PermissionTable, other_ending
from mrseg_label.http.problems import ErrorPage, error_response
from mrseg_label.http.public_address import public_path, stated_origin
from mrseg_label.http.review_addresses import ReviewAddresses, identity_by_address
from mrseg_label.worklist.resolving import account_of_ticket

_SAFE = ("GET", "HEAD")
_THREADS = 16  # separate from those of the routes, so that checking a token never waits for uploads


class AuthenticationMiddleware:
    """Passes a request on if the permission table permits it to the account that sent it.

    Sets ``request.state.identity`` to that account, and ``request.state.anonymous`` to whether there is none.

    Parameters
    ----------
    permissions : the table. A path that is not in it is answered with 404 if signed in, otherwise with 401.
    error_page : renders a refusal for a browser at one of the pages; by default it gets what programs get.
    """

    def __init__(
        self,
        app: ASGIApp,
        catalog: Catalog,
        sign_in: SignIn,
        permissions: PermissionTable,
        error_page: ErrorPage | None = None,
    ) -> None:
        self.app = app
        self._error_page = error_page
        self._catalog = catalog
        self._sign_in = sign_in
        self._permissions = permissions
        self._limiter = CapacityLimiter(_THREADS)
        self._addresses = ReviewAddresses(self._authenticate, catalog, self._limiter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._addresses(scope, receive, send)

    async def _authenticate(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008, "reason": "this server has no websockets"})
            return
        scope.setdefault("state", {})["anonymous"] = True
        permission = self._permissions.find(scope["method"], scope["path"])
        try:
            if permission is None or permission.roles is not None:
                identity = await anyio.to_thread.run_sync(self._identify, scope, permission, limiter=self._limiter)
                scope["state"] |= {"identity": identity, "anonymous": False}
                self._check(scope, permission, identity)
        except MrsegError as error:
            await self._refuse(Request(scope), permission, error)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refuse(self, request: Request, permission: Permission | None, error: MrsegError) -> Response:
        if not wants_page(request.url.path, request.headers):
            return error_response(request, error)
        if isinstance(error, Unauthorized) and permission is not None and permission.sign_in_page:
            return RedirectResponse(public_path(request, permission.sign_in_page), 303)
        return error_response(request, error) if self._error_page is None else self._error_page(request, error)

    def _identify(self, scope: Scope, permission: Permission | None) -> Identity:
        if (by_address := identity_by_address(scope)) is not None:
            return by_address
        headers = Headers(scope=scope)
        given = headers.getlist("authorization")
        if given:
            scheme, _, presented = given[0].partition(" ")
            if len(given) > 1 or scheme.lower() != "bearer" or not presented:
                raise Unauthorized("the header Authorization must be 'Bearer', a space, then a token or an API key")
            return self._sign_in.identify(presented.strip())
        ticket = _ticket(scope) if permission is not None and permission.ticket else None
        if ticket is not None:
            account = account_of_ticket(self._catalog, ticket)
            if account is not None:
                return self._sign_in.identity_of(account)
        cookie = _session_cookie(headers)
        if cookie is not None:
            identity = self._sign_in.identify(cookie)
            if scope["method"] not in _SAFE:
                check_same_origin(scope.get("scheme", "http"), headers, stated_origin(scope))
            return identity
        if ticket is not None:
            raise Unauthorized(
                "this image needs a valid ticket or a sign-in, and the ticket in this address has ended or never existed; "
                "ask for the next case"
            )
        raise Unauthorized("sign in first: POST /auth/token with name and password, or send an API key")

    def _check(self, scope: Scope, permission: Permission | None, identity: Identity) -> None:
        path = scope["path"]
        if permission is None:
            # Others answer if the path exists with another method, or with or without a slash at its end.
            if not self._permissions.has_route(path):
                raise NotFound("this server has no page or route at this address")
            permission = self._permissions.find(scope["method"], other_ending(path))
        if permission is not None and not permission.permits(identity.role, identity.scopes):
            raise Forbidden(
                f"{identity.name} has the role {identity.role}, which is not permitted here. {permission.explain()}"
            )


def _ticket(scope: Scope) -> str | None:
    images = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("image", [])
    if len(images) > 1:  # the image whose ticket is checked here must be the one that the route sends
        raise InvalidInput(f"the query parameter 'image' occurs {len(images)} times; send it once")
    return images[0] if images else None


def _session_cookie(headers: Headers) -> str | None:
    # Not with the standard library's parser: anybody can send a cookie that keeps it busy for seconds (CVE-2024-7592),
    # and it stops at a malformed cookie of another application.
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == SESSION_COOKIE and value:
            return value
    return None
