"""ASGI middleware: the short-lived cookie of a browser that is signing in at the identity provider."""

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
    """Return the key that signs the cookie: derived from the workspace's secret, for this purpose only."""
    return hmac.new(signing_secret.encode(), b"state of a sign-in through OpenID Connect", hashlib.sha256).hexdigest()


class OidcStateMiddleware:
    """Provides Starlette's session under ``/auth/oidc/``, on the way to the identity provider and back.

    Parameters
    ----------
    secure : whether browsers reach the server by https, even if the request itself did not.
    prefix : path under which browsers reach the server behind a proxy.
    """

    def __init__(self, app: ASGIApp, signing_secret: str, secure: bool, prefix: str = "") -> None:
        self.app = app
        self._secure = secure
        key = state_key(signing_secret)
        self._with_cookie = {
            https: SessionMiddleware(
                app, key, COOKIE, max_age=SECONDS, path=prefix + PATH, same_site="lax", https_only=https
            )
            for https in (False, True)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(f"{PATH}/"):
            await self.app(scope, receive, send)
            return
        # A large cookie, which anybody can send, keeps the standard library's parser busy for seconds (CVE-2024-7592).
        if sum(len(value) for name, value in scope["headers"] if name.lower() == b"cookie") > MAX_COOKIE_BYTES:
            await PlainTextResponse(
                f"the cookies have more than {MAX_COOKIE_BYTES:,} bytes; delete the cookies of this site", 431
            )(scope, receive, send)
            return
        https = self._secure or scope.get("scheme") == "https"
        await self._with_cookie[https](scope, receive, send)
