"""What browsers show and send: the cookie of a sign-in, and from whose page a request comes."""

from __future__ import annotations

from collections.abc import Mapping

SESSION_COOKIE = "mrseg_session"


def from_own_page(scheme: str, headers: Mapping[str, str]) -> bool:
    """Whether a request that changes something comes from a page of this server.

    A browser says of what is not just a look where it comes from; what does not say so is no browser's page.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:  # no page can set or hide it
        return site == "same-origin"
    return headers.get("origin", "").lower() == f"{scheme}://{headers.get('host', '')}".lower()


def takes_pages(headers: Mapping[str, str]) -> bool:
    """Whether somebody reads the reply, and no program."""
    return "text/html" in headers.get("accept", "")
