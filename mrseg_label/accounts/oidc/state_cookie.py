"""ASGI middleware: the short-lived cookie of a sign-in that is under way at the identity provider."""

from __future__ import annotations

import hashlib
import hmac

from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "mrseg_oidc"
PATH = "/auth/oidc"
SECONDS = 600
MAX_COOKIE_BYTES = 8192


def state_key(signing_secret: str) -> str:
    """The key that the cookie is signed with: of the workspace, and of no other use."""
    return hmac.new(signing_secret.encode(), b"state of a sign-in through OpenID Connect", hashlib.sha256).hexdigest()


class OidcStateMiddleware:
    """Starlette's session, for the way to the identity provider and back alone.

    Parameters
    ----------
    secure : whether browsers know the server by https even where a request came without.
    """

    def __init__(self, app: ASGIApp, signing_secret: str, secure: bool) -> None:
        self.app = app
        self._secure = secure
        key = state_key(signing_secret)
        self._with_cookie = {
            https: SessionMiddleware(app, key, COOKIE, max_age=SECONDS, path=PATH, same_site="lax", https_only=https)
            for https in (False, True)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(f"{PATH}/"):
            await self.app(scope, receive, send)
            return
        # The standard library's parser takes seconds for large ones that a stranger may send (CVE-2024-7592).
        if sum(len(value) for name, value in scope["headers"] if name.lower() == b"cookie") > MAX_COOKIE_BYTES:
            await PlainTextResponse("too many cookies for this server; remove some", 431)(scope, receive, send)
            return
        https = self._secure or scope.get("scheme") == "https"
        await self._with_cookie[https](scope, receive, send)
