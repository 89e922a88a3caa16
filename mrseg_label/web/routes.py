"""``/account``: who one is here, app passwords for Slicer; ``/account/sign-in`` and ``/auth/oidc``: the ways in."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mrseg_label.accounts import credentials, tokens
from mrseg_label.accounts.identity import Identity
from mrseg_label.accounts.oidc.provider import Provider
from mrseg_label.accounts.oidc.settings import check_sign_in_settings, is_https
from mrseg_label.accounts.sign_in import SignIn
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.types import CredentialKind
from mrseg_label.config import Settings
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, NotFound, TooManyRequests, Unauthorized
from mrseg_label.http import paths
from mrseg_label.http.browsers import SESSION_COOKIE, is_same_origin
from mrseg_label.http.readers import identity_of
from mrseg_label.web.pages import PageRoute, page, sentence, wait

_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


def _off() -> None:
    raise Conflict("sign-in is off (AUTH=off): there are no accounts here")


def _own_page(request: Request) -> None:
    if not is_same_origin(request.scope.get("scheme", "http"), request.headers):
        raise Forbidden("this request comes from a page of another site; use the pages of this server")


def _identity(request: Request) -> Identity:
    identity = identity_of(request)
    if identity is None:
        raise Unauthorized("sign in first")
    return identity


SignedIn = Annotated[Identity, Depends(_identity)]
OWN_PAGE = [Depends(_own_page)]


def router(settings: Settings, catalog: Catalog, sign_in: SignIn | None) -> APIRouter:
    """The pages and their forms.

    Parameters
    ----------
    sign_in : None where it is off; all that the pages do then is to say so.

    Raises
    ------
    ConfigurationError
        The settings of single sign-on contradict each other.
    """
    check_sign_in_settings(settings)
    off = [Depends(_off)] if sign_in is None else []
    routes = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=off)
    provider = None if settings.oidc_issuer is None else Provider(settings)

    def https(request: Request) -> bool:
        return is_https(settings) or request.scope.get("scheme") == "https"

    def signed_in(request: Request, token: str) -> Response:
        assert sign_in is not None
        reply = RedirectResponse(paths.ACCOUNT, 303)
        age = sign_in.token_seconds
        reply.set_cookie(SESSION_COOKIE, token, age, secure=https(request), httponly=True, samesite="lax")
        return reply

    def sign_in_page(status: int = 200, *, message: str = "", note: str = "", name: str = "") -> Response:
        return page("sign_in.html", status, sso=provider is not None, message=message, note=note, name=name)

    def account_page(
        who: Identity, status: int = 200, *, message: str = "", made: str = "", label: str = ""
    ) -> Response:
        own = [row for row in credentials.listing(catalog, who.name) if row.revoked_at is None]
        newest_first = own[::-1]
        return page("account.html", status, who=who, passwords=newest_first, message=message, made=made, label=label)

    @routes.get(paths.OIDC_LOGIN)
    async def to_provider(request: Request) -> Response:
        return await _configured(provider).begin_sign_in(request, redirect_uri(settings, request))

    @routes.get(paths.OIDC_CALLBACK)
    async def from_provider(request: Request) -> Response:
        person = await _configured(provider).finish_sign_in(request)
        assert sign_in is not None
        of = (person.issuer, person.subject, person.name, person.role, _peer(request))
        token = await anyio.to_thread.run_sync(sign_in.sign_in_with_provider, *of)
        return signed_in(request, token)

    @routes.get(paths.SIGN_IN)
    def ask(signed_out: str = "") -> Response:
        note = "You are signed out here." if signed_out else ""
        if signed_out and provider is not None:
            note += " The hospital’s own sign-in may still be open: on a shared computer close the browser."
        return sign_in_page(note=note)

    @routes.post(paths.SIGN_IN, dependencies=OWN_PAGE)
    async def answer(
        request: Request, username: Annotated[str, Form()] = "", password: Annotated[str, Form()] = ""
    ) -> Response:
        assert sign_in is not None
        try:
            token = await sign_in.sign_in_with_password_async(username, password, _peer(request))
        except (Unauthorized, TooManyRequests) as error:
            reply = sign_in_page(error.http_status, message=sentence(error), name=username[:80])
            return wait(reply, error)
        return signed_in(request, token)

    @routes.get(paths.ACCOUNT)
    def account(who: SignedIn) -> Response:
        return account_page(who)

    @routes.post(paths.APP_PASSWORDS, dependencies=OWN_PAGE)
    def make(who: SignedIn, label: Annotated[str, Form()] = "") -> Response:
        try:
            credentials.check_may_manage(who)
            row, secret = credentials.make(catalog, who.name, CredentialKind.APP_PASSWORD, label, actor=who.name)
        except (InvalidInput, Conflict, Forbidden) as error:
            return account_page(who, error.http_status, message=sentence(error), label=label[: credentials.MAX_LABEL])
        return account_page(who, 201, made=secret, label=row.label)

    @routes.post(paths.REVOKE, dependencies=OWN_PAGE)
    def revoke(who: SignedIn, credential: str) -> Response:
        credentials.check_may_manage(who)
        with suppress(NotFound):  # a second click
            credentials.revoke(catalog, credential, actor=who.name, owner=who.name)
        return RedirectResponse(paths.ACCOUNT, 303)

    @routes.post(paths.SIGN_OUT, dependencies=OWN_PAGE)
    def sign_out(request: Request, who: SignedIn) -> Response:
        if who.token_id is not None:
            tokens.revoke(catalog, who.token_id, actor=who.name)
        reply = RedirectResponse(f"{paths.SIGN_IN}?signed_out=1", 303)
        reply.delete_cookie(SESSION_COOKIE, secure=https(request), httponly=True, samesite="lax")
        return reply

    return routes


def redirect_uri(settings: Settings, request: Request) -> str:
    """Where the provider leads back to; it takes none that was not registered with it.

    Raises
    ------
    InvalidInput
        The request does not say by which name it came.
    """
    if settings.public_url is not None:
        return settings.public_url.rstrip("/") + paths.OIDC_CALLBACK
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise InvalidInput("the header Host is no name of a server")
    return f"{request.scope.get('scheme', 'http')}://{host}{paths.OIDC_CALLBACK}"


def _configured(provider: Provider | None) -> Provider:
    if provider is None:
        raise NotFound("there is no identity provider (OIDC_ISSUER); sign in with name and password")
    return provider


def _peer(request: Request) -> str:
    return request.client.host if request.client else "unknown"
