"""Answer HEAD wherever GET is answered (RFC 9110, 9.3.2): with the head of that reply and without its body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mrseg_label.http.permissions import PermissionTable


class HeadMiddleware:
    """Passes HEAD on as GET where the table has no entry for HEAD, and leaves the body out.

    Routes that send files have entries of their own: they would read what nobody receives.
    """

    def __init__(self, app: ASGIApp, permissions: PermissionTable) -> None:
        self.app = app
        self._permissions = permissions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or self._permissions.find("HEAD", scope["path"]):
            await self.app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self.app({**scope, "method": "GET"}, receive, without_body)
