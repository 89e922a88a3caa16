"""ASGI middleware: without sign-in the server answers only its own machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from mrseg_label.http.browsers import is_own_origin
from mrseg_label.http.local_names import LOCAL_NAMES
from mrseg_label.http.problems import problem

# Headers that proxies add: a request with one of these did not necessarily start on this machine.
FORWARDING = (
    b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip", b"true-client-ip", b"cf-connecting-ip",
    b"x-original-host", b"x-original-url", b"x-rewrite-url",
)  # fmt: skip
FORWARDING_PREFIXES = (b"x-forwarded", b"x-envoy-external")


class LocalOnlyMiddleware:
    """Refuses every request that does not come directly from this machine (``AUTH=off``).

    Neither a proxy in front of the server nor a web page whose name is rebound to 127.0.0.1 may give others access to
    the images. Checked are the peer, the Host, forwarding headers, and the Origin, which must be the server's own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        reason = reason_to_refuse(scope)
        if reason is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})
        else:
            detail = f"sign-in is off (AUTH=off), so the server answers only programs on its own machine, but {reason}"
            await problem(Request(scope), 403, detail)(scope, receive, send)


def reason_to_refuse(scope: Scope) -> str | None:
    """Explain why a request does not come directly from this machine; None if it does."""
    headers: list[tuple[bytes, bytes]] = [(name.lower(), value) for name, value in scope["headers"]]
    for name, _ in headers:
        if name in FORWARDING or name.startswith(FORWARDING_PREFIXES):
            return f"the request was forwarded (it has the header {name.decode('latin-1')})"
    # uvicorn may have replaced the peer by a forwarded address; such requests were refused above.
    peer = scope.get("client")
    if peer is None or not _is_loopback(peer[0]):
        return f"the peer is {peer[0] if peer else 'unknown'}, not a loopback address"
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    if len(hosts) != 1 or _host_name(hosts[0]) not in LOCAL_NAMES:
        return f"the Host is {', '.join(hosts)!r:.120}, not localhost, 127.0.0.1 or [::1]"
    for origin in (value.decode("latin-1") for name, value in headers if name == b"origin"):
        if not is_own_origin(origin, scope.get("scheme", "http"), hosts[0]):
            return f"the Origin {origin!r:.120} is another site"
    return None


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def _host_name(host: str) -> str | None:
    """Return the name in a Host header without its port; None if the header is malformed."""
    if any(character in host for character in "@/\\?# \t,"):
        return None
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises ValueError if the port is not a number
    except ValueError:
        return None
    return (parts.hostname or "").lower()
