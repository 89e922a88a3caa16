"""The address at which browsers and Slicer reach the server; behind a proxy it may have a path (PUBLIC_URL).

Routes and permissions never see that path: it is removed from the address of a request, whether or not the proxy has
done so already, and added to every address that a reply contains. Only PUBLIC_URL decides it. A header such as
``X-Forwarded-Prefix`` could be sent by anyone and is not read.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mrseg_label.accounts.oidc.settings import check_public_url
from mrseg_label.config import Settings
from mrseg_label.http.permissions import PermissionTable, other_ending

_PREFIX, _ORIGIN = "public_prefix", "public_origin"  # keys of the state of a request
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


def public_prefix(settings: Settings) -> str:
    """Return the path of PUBLIC_URL without a slash at its end, such as ``/mrseg``; empty if it has none.

    Raises
    ------
    ConfigurationError
        PUBLIC_URL is not the address of a server.
    """
    check_public_url(settings)
    return urlsplit(settings.public_url or "").path.rstrip("/")


def public_origin(settings: Settings) -> str:
    """Return scheme, host and port of PUBLIC_URL as browsers state them; empty without PUBLIC_URL."""
    parts = urlsplit(settings.public_url or "")
    if not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = parts.port in (None, {"http": 80, "https": 443}[parts.scheme])
    return f"{parts.scheme}://{host}{'' if default else f':{parts.port}'}"


def public_path(request: HTTPConnection, path: str) -> str:
    """Return the path under which a browser reaches one of the server's own paths."""
    return f"{getattr(request.state, _PREFIX, '')}{path}"


def stated_origin(scope: Scope) -> str:
    """Return the origin of the server's pages according to PUBLIC_URL; empty without PUBLIC_URL."""
    origin: str = scope.get("state", {}).get(_ORIGIN, "")
    return origin


def public_address(settings: Settings, request: HTTPConnection) -> str | None:
    """Return the address of the server: PUBLIC_URL, or else the address of this request; None if its Host is malformed."""
    if settings.public_url is not None:
        return settings.public_url.rstrip("/")
    host = request.headers.get("host", "")
    return f"{request.scope.get('scheme', 'http')}://{host}" if _HOST.fullmatch(host) else None


class PublicAddressMiddleware:
    """Removes the path of PUBLIC_URL from the address of a request, unless the proxy has done so already, or a second slash.

    Parameters
    ----------
    permissions : the table of all routes: an address that is in it as it stands is never changed.
    """

    def __init__(self, app: ASGIApp, settings: Settings, permissions: PermissionTable) -> None:
        self.app = app
        self._permissions = permissions
        self._prefix = public_prefix(settings)
        self._origin = public_origin(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {}).update({_PREFIX: self._prefix, _ORIGIN: self._origin})
            path = scope["path"]
            if self._prefix and f"{path}/".startswith(f"{self._prefix}/") and not self._permissions.has_route(path):
                scope["path"] = path.removeprefix(self._prefix) or "/"
            # Slicer's module for reviews joins the address that was typed, perhaps with a slash at its end, and a path.
            if scope["path"].startswith("//") and self._permissions.has_path(scope["path"][1:]):
                scope["path"] = scope["path"][1:]
        await self.app(scope, receive, send)


class TrailingSlashMiddleware:
    """Redirects a request whose address lacks a slash at its end, or has one too many.

    The router's own redirect goes to the address by which the proxy reaches the server, and not to the public one.
    """

    def __init__(self, app: ASGIApp, permissions: PermissionTable) -> None:
        self.app = app
        self._permissions = permissions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._permissions.has_path(scope["path"]):
            other = other_ending(scope["path"])
            if self._permissions.has_path(other):
                query = scope["query_string"].decode("latin-1")
                target = public_path(HTTPConnection(scope), quote(other)) + (f"?{query}" if query else "")
                await RedirectResponse(target, 307)(scope, receive, send)
                return
        await self.app(scope, receive, send)
