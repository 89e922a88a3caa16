"""``/auth/``: whether sign-in is on, which Slicer asks before every request, and sign-in by a form."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, status
from fastapi.security import OAuth2PasswordRequestForm
from pydantic import BaseModel, Field
from starlette.requests import Request

from mrseg_label.accounts import credentials, tokens
from mrseg_label.accounts.identity import Identity
from mrseg_label.accounts.tokens import role_claims
from mrseg_label.catalog.types import ANONYMOUS, CredentialKind
from mrseg_label.http.readers import CurrentIdentity, RequiredIdentity, peer_of
from mrseg_label.reports.accounts import read_app_passwords
from mrseg_label.reports.documents.accounts import AppPasswordOut
from mrseg_label.reports.documents.base import Page
from mrseg_monailabel.protocol_app import ProtocolApp


class Token(BaseModel):
    """An access token, as OAuth2 defines it."""

    access_token: str | None
    token_type: str | None
    expires_in: int | None = Field(None, description="seconds")


class AppPasswordRequest(BaseModel):
    """A new app password."""

    model_config = {"extra": "forbid"}
    label: str = Field(
        min_length=1,
        max_length=credentials.MAX_LABEL_LENGTH,
        description="what it is for",
        examples=["Slicer, reading room 3"],
    )


def router(app: ProtocolApp) -> APIRouter:
    """Assemble the routes of sign-in, and those of one's own app passwords."""
    routes = APIRouter(prefix="/auth", tags=["sign-in"])
    catalog = app.workspace.catalog

    @routes.get("/", summary="Get whether sign-in is on")
    def enabled() -> dict[str, Any]:
        return {"enabled": app.sign_in is not None, "client_id": app.name, "realm": ""}

    @routes.post("/token", summary="Sign in with name and password, or with an app password")
    async def token(request: Request, form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> Token:
        if app.sign_in is None:  # as the stock server answers
            return Token(access_token=None, token_type=None)
        signed = await app.sign_in.sign_in_with_password_in_thread(form.username, form.password, peer_of(request))
        return Token(access_token=signed, token_type="bearer", expires_in=app.sign_in.token_seconds)

    @routes.get("/token/valid", summary="Get the account of a token")
    def valid(identity: CurrentIdentity) -> dict[str, Any]:
        if identity is None:
            return {"username": ANONYMOUS, "email": None, "name": None, "roles": []}
        return {"username": identity.name, "email": None, "name": identity.name, "roles": role_claims(identity.role)}

    @routes.delete("/token", status_code=status.HTTP_204_NO_CONTENT, summary="Sign out: the token is revoked")
    def sign_out(identity: CurrentIdentity) -> None:
        if identity is not None and identity.token_id is not None:
            tokens.revoke(catalog, identity.token_id, actor=identity.name)

    @routes.get("/app-passwords", summary="List your app passwords")
    def list_app_passwords(identity: RequiredIdentity) -> Page[AppPasswordOut]:
        return Page(items=read_app_passwords(catalog, _account(identity)), next=None)

    @routes.post(
        "/app-passwords",
        status_code=status.HTTP_201_CREATED,
        summary="Create an app password, for Slicer's sign-in form",
    )
    def make_app_password(identity: RequiredIdentity, request: AppPasswordRequest) -> AppPasswordOut:
        name = _account(identity)
        made, secret = credentials.make(catalog, name, CredentialKind.APP_PASSWORD, request.label, actor=name)
        return AppPasswordOut.of(made, secret)

    @routes.delete(
        "/app-passwords/{credential}",
        status_code=status.HTTP_204_NO_CONTENT,
        summary="Revoke an app password, and the tokens that it was exchanged for",
    )
    def revoke_app_password(identity: RequiredIdentity, credential: str) -> None:
        name = _account(identity)
        credentials.revoke(catalog, credential, actor=name, owner=name)

    return routes


def _account(identity: Identity) -> str:
    """Return the account whose app passwords are managed. Raises :class:`Forbidden` if its role may have none."""
    credentials.check_may_manage_app_passwords(identity)
    return identity.name
