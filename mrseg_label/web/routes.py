"""``/account``: the signed-in account and its app passwords; ``/account/sign-in`` and ``/auth/oidc``: sign-in."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Form
from starlette.requests import Request
from starlette.responses import Response

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
from mrseg_label.http.browsers import SESSION_COOKIE
from mrseg_label.http.limits import FORM_LIMITS
from mrseg_label.http.public_address import public_address, public_path
from mrseg_label.http.readers import SIGN_IN_IS_OFF, RequiredIdentity, peer_of
from mrseg_label.reports.accounts import read_account
from mrseg_label.web.forms import FormTokens, check_own_page
from mrseg_label.web.navigation import first_page
from mrseg_label.web.pages import PageRoute, add_retry_after, page, redirect, sentence


def _refuse() -> None:
    raise Conflict(SIGN_IN_IS_OFF)


REVIEWER_MODULE = "MONAILabel Reviewer in 3D Slicer"  # what an address for reviews is for
SIGN_IN_FORM = [Depends(check_own_page)]  # before the sign-in there is no session that a token could belong to


def router(settings: Settings, catalog: Catalog, sign_in: SignIn | None) -> APIRouter:
    """Return the routes of the pages and their forms.

    Parameters
    ----------
    sign_in : None if it is off; every page then answers 409.

    Raises
    ------
    ConfigurationError
        The settings of single sign-on contradict each other.
    """
    check_sign_in_settings(settings)
    refused = [Depends(_refuse)] if sign_in is None else []
    forms = FormTokens(catalog)
    routes = APIRouter(
        include_in_schema=False,
        route_class=PageRoute,
        dependencies=[*refused, forms.remember],
        form_limits=FORM_LIMITS,
    )
    provider = None if settings.oidc_issuer is None else Provider(settings)

    def https(request: Request) -> bool:
        return is_https(settings) or request.scope.get("scheme") == "https"

    async def redirect_with_session(request: Request, token: str) -> Response:
        assert sign_in is not None
        identity = await anyio.to_thread.run_sync(sign_in.identify, token)
        reply = redirect(request, first_page(identity.role))
        reply.set_cookie(SESSION_COOKIE, token, sign_in.token_seconds, **cookie_attributes(request))
        return reply

    def cookie_attributes(request: Request) -> dict[str, Any]:
        # Other servers behind the same proxy, or a second one of ours, must not get or replace the cookie.
        path = public_path(request, "/")
        return {"path": path, "secure": https(request), "httponly": True, "samesite": "lax"}

    def sign_in_page(
        request: Request, status: int = 200, *, message: str = "", note: str = "", name: str = ""
    ) -> Response:
        values: dict[str, Any] = {"sso": provider is not None, "message": message, "note": note, "name": name}
        return page(request, "sign_in.html", status, **values)

    def account_page(
        request: Request,
        identity: Identity,
        status: int = 200,
        *,
        message: str = "",
        secret: str = "",
        review_address: str = "",
        label: str = "",
    ) -> Response:
        in_use = credentials.list_credentials(catalog, identity.name, in_use=True)[::-1]
        known_as = read_account(catalog, identity.name).provider_name
        values: dict[str, Any] = {
            "identity": identity,
            "known_as": known_as,
            "passwords": [row for row in in_use if row.kind is CredentialKind.APP_PASSWORD],
            "addresses": [row for row in in_use if row.kind is CredentialKind.REVIEW_ADDRESS],
            "reviews": identity.role in credentials.REVIEWING_ROLES,
            "hours": settings.token_hours,
            "message": message,
            "secret": secret,
            "review_address": review_address,
            "label": label,
        }
        return page(request, "account.html", status, address=public_address(settings, request), **values)

    @routes.get(paths.OIDC_LOGIN)
    async def redirect_to_provider(request: Request) -> Response:
        return await _configured(provider).redirect_to_provider(request, redirect_uri(settings, request))

    @routes.get(paths.OIDC_CALLBACK)
    async def sign_in_with_provider(request: Request) -> Response:
        user = await _configured(provider).read_callback(request)
        assert sign_in is not None
        arguments = (user.issuer, user.subject, user.name, user.role, peer_of(request))
        token = await anyio.to_thread.run_sync(sign_in.sign_in_with_provider, *arguments)
        return await redirect_with_session(request, token)

    @routes.get(paths.SIGN_IN)
    def get_sign_in(request: Request, signed_out: str = "") -> Response:
        note = "You have signed out of this server." if signed_out else ""
        if signed_out and provider is not None:
            note += " You may still be signed in to your hospital account: on a shared computer, close the browser."
        return sign_in_page(request, note=note)

    @routes.post(paths.SIGN_IN, dependencies=SIGN_IN_FORM)
    async def post_sign_in(
        request: Request, username: Annotated[str, Form()] = "", password: Annotated[str, Form()] = ""
    ) -> Response:
        assert sign_in is not None
        try:
            token = await sign_in.sign_in_with_password_in_thread(username, password, peer_of(request))
        except (Unauthorized, TooManyRequests) as error:
            reply = sign_in_page(request, error.http_status, message=sentence(error), name=username[:80])
            return add_retry_after(reply, error)
        return await redirect_with_session(request, token)

    @routes.get(paths.ACCOUNT)
    def get_account(request: Request, identity: RequiredIdentity) -> Response:
        return account_page(request, identity)

    @routes.post(paths.APP_PASSWORDS, dependencies=forms.checks)
    def create_app_password(
        request: Request, identity: RequiredIdentity, label: Annotated[str, Form()] = ""
    ) -> Response:
        try:
            credentials.check_may_manage_app_passwords(identity)
            row, secret = credentials.make(
                catalog, identity.name, CredentialKind.APP_PASSWORD, label, actor=identity.name
            )
        except (InvalidInput, Conflict, Forbidden) as error:
            shown = label[: credentials.MAX_LABEL_LENGTH]
            return account_page(request, identity, error.http_status, message=sentence(error), label=shown)
        return account_page(request, identity, 201, secret=secret, label=row.label)

    @routes.post(paths.MAKE_REVIEW_ADDRESS, dependencies=forms.checks)
    def make_review_address(request: Request, identity: RequiredIdentity) -> Response:
        kind, address = CredentialKind.REVIEW_ADDRESS, public_address(settings, request)
        try:
            credentials.check_may_manage_app_passwords(identity)
            _, secret = credentials.make(
                catalog, identity.name, kind, REVIEWER_MODULE, actor=identity.name, hours=settings.token_hours
            )
        except (InvalidInput, Conflict, Forbidden) as error:
            return account_page(request, identity, error.http_status, message=sentence(error))
        made = f"{address or ''}{paths.REVIEW_ADDRESSES}/{secret}/"
        return account_page(request, identity, 201, review_address=made)

    @routes.post(paths.REVOKE, dependencies=forms.checks)
    def revoke_app_password(request: Request, identity: RequiredIdentity, credential: str) -> Response:
        credentials.check_may_manage_app_passwords(identity)
        with suppress(NotFound):  # a second click
            credentials.revoke(catalog, credential, actor=identity.name, owner=identity.name)
        return redirect(request, paths.ACCOUNT)

    @routes.post(paths.SIGN_OUT, dependencies=forms.checks)
    def sign_out(request: Request, identity: RequiredIdentity) -> Response:
        if identity.token_id is not None:
            tokens.revoke(catalog, identity.token_id, actor=identity.name)
        reply = redirect(request, f"{paths.SIGN_IN}?signed_out=1")
        reply.delete_cookie(SESSION_COOKIE, **cookie_attributes(request))
        return reply

    return routes


def redirect_uri(settings: Settings, request: Request) -> str:
    """Return the address to which the provider sends the browser back; it must be registered with the provider.

    Raises
    ------
    InvalidInput
        PUBLIC_URL is not set and the header Host is not the name of a server.
    """
    address = public_address(settings, request)
    if address is None:
        host = request.headers.get("host", "")
        raise InvalidInput(f"the header Host is {host!r:.120}, which is not the name of a server")
    return address + paths.OIDC_CALLBACK


def _configured(provider: Provider | None) -> Provider:
    if provider is None:
        raise NotFound("this server has no identity provider (OIDC_ISSUER); sign in with name and password")
    return provider
