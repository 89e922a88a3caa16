"""Requests of browsers: the session cookie, the page that sent the request, and the kind of reply that it accepts."""

from __future__ import annotations

from collections.abc import Mapping

from mrseg_label.errors import Forbidden
from mrseg_label.http import paths

PAGES = (paths.DASHBOARD, paths.ACCOUNT)
SESSION_COOKIE = "mrseg_session"


def is_own_origin(origin: str, scheme: str, host: str) -> bool:
    """Whether the origin that a browser states is this server, called by the name in its Host header."""
    return origin.lower() == f"{'https' if scheme in ('https', 'wss') else 'http'}://{host}".lower()


def is_same_origin(scheme: str, headers: Mapping[str, str], public_origin: str = "") -> bool:
    """Whether a request that changes something was sent by a page of this server.

    Browsers state the origin of every such request, so one without an origin was not sent by a page.

    Parameters
    ----------
    headers : of the request; looked up by names in lower case.
    public_origin : origin of the server's pages behind a proxy, which may pass on another Host or scheme.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:  # set by the browser; a page can neither set nor remove it
        return site == "same-origin"
    origin = headers.get("origin", "")
    return is_own_origin(origin, scheme, headers.get("host", "")) or origin.lower() == (public_origin.lower() or None)


def check_same_origin(scheme: str, headers: Mapping[str, str], public_origin: str = "") -> None:
    """Raise :class:`Forbidden` unless a page of this server sent the request."""
    if not is_same_origin(scheme, headers, public_origin):
        raise Forbidden("this request was sent by a page of another site; use the pages of this server")


def wants_page(path: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser asks for one of the pages, or for one that does not exist beside them."""
    return f"{path}/".startswith(tuple(f"{page}/" for page in PAGES)) and accepts_html(headers)


def accepts_html(headers: Mapping[str, str]) -> bool:
    """Whether the client is a browser, which shows its user a page, and not a program."""
    return "text/html" in headers.get("accept", "")
