"""Forms of the pages: a token in each shows that a page of this server made it, for this session (CSRF).

References
----------
OWASP Cross-Site Request Forgery Prevention Cheat Sheet (HMAC-based tokens bound to the session).
https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated, Any

from fastapi import Depends, Form
from starlette.requests import Request

from mrseg_label.accounts.tokens import signing_secret
from mrseg_label.catalog import Catalog
from mrseg_label.errors import Forbidden
from mrseg_label.http.browsers import check_same_origin
from mrseg_label.http.public_address import stated_origin
from mrseg_label.http.readers import identity_of


def check_own_page(request: Request) -> None:
    """Raise :class:`Forbidden` unless the browser says that a page of this server sent the form."""
    check_same_origin(request.scope.get("scheme", "http"), request.headers, stated_origin(request.scope))


class FormTokens:
    """Makes and checks the tokens of a workspace's forms."""

    def __init__(self, catalog: Catalog) -> None:
        self._key = signing_secret(catalog).encode()
        self.remember: Any = Depends(self._remember)  # of every page, so that its forms have the token
        self.checks: list[Any] = [Depends(check_own_page), Depends(self._check)]  # of every route that takes a form

    def of(self, request: Request) -> str:
        """Return the token of a request's session: of its sign-in, or of this server where sign-in is off."""
        identity = identity_of(request)
        session = "" if identity is None else identity.token_id or identity.name
        return hmac.new(self._key, f"form {session}".encode(), hashlib.sha256).hexdigest()

    def _remember(self, request: Request) -> None:
        request.state.form_token = self.of(request)

    def _check(self, request: Request, form_token: Annotated[str, Form()] = "") -> None:
        if not hmac.compare_digest(form_token.encode(), self.of(request).encode()):
            raise Forbidden("this form belongs to an earlier sign-in; load the page again, then repeat your action")
