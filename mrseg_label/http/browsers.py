"""What tells a browser's request: the cookie of a sign-in, the page that it comes from, the reply that it accepts."""

from __future__ import annotations

from collections.abc import Mapping

SESSION_COOKIE = "mrseg_session"


def is_same_origin(scheme: str, headers: Mapping[str, str]) -> bool:
    """Whether a request that changes something comes from a page of this server.

    Browsers state the origin of every such request; one that states none does not come from a browser's page.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:  # no page can set or remove it
        return site == "same-origin"
    return headers.get("origin", "").lower() == f"{scheme}://{headers.get('host', '')}".lower()


def accepts_html(headers: Mapping[str, str]) -> bool:
    """Whether a person in a browser reads the reply, and not a program."""
    return "text/html" in headers.get("accept", "")
