"""``/auth/``: the module asks before every request whether it has to sign in, and signs in by a form."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, status
from fastapi.security import OAuth2PasswordRequestForm
from pydantic import BaseModel, Field
from starlette.requests import Request

from mrseg_label.accounts import credentials, tokens
from mrseg_label.accounts.tokens import role_claims
from mrseg_label.catalog.tables import Credential
from mrseg_label.catalog.types import ANONYMOUS, CredentialKind
from mrseg_label.errors import Conflict
from mrseg_label.http.readers import SignedIn
from mrseg_label.reports.documents.base import Moment, Page
from mrseg_monailabel.loop import LoopApp


class Token(BaseModel):
    """As OAuth2 has it."""

    access_token: str | None
    token_type: str | None
    expires_in: int | None = Field(None, description="seconds")


class AppPasswordWish(BaseModel):
    """What an app password is for."""

    model_config = {"extra": "forbid"}
    label: str = Field(min_length=1, max_length=credentials.MAX_LABEL, examples=["Slicer, reading room 3"])


class AppPassword(BaseModel):
    """An app password; the password itself is shown once, when it is made."""

    id: str
    label: str
    created: Moment
    last_used: Moment | None
    revoked: Moment | None
    password: str | None = None

    @classmethod
    def of(cls, row: Credential, password: str | None = None) -> AppPassword:
        """From its row."""
        moments: dict[str, datetime | None] = {"last_used": row.last_used_at, "revoked": row.revoked_at}
        return cls(id=row.id, label=row.label, created=row.created_at, password=password, **moments)


def router(app: LoopApp) -> APIRouter:
    """Sign-in, and what those do who have no password here."""
    routes = APIRouter(prefix="/auth", tags=["sign-in"])

    @routes.get("/", summary="Whether sign-in is on")
    def enabled() -> dict[str, Any]:
        return {"enabled": app.sign_in is not None, "client_id": app.name, "realm": ""}

    @routes.post("/token", summary="Sign in with name and password, or an app password")
    async def token(request: Request, form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> Token:
        if app.sign_in is None:  # as the stock server says it
            return Token(access_token=None, token_type=None)
        peer = request.client.host if request.client else "unknown"
        signed = await app.sign_in.sign_in_with_password_async(form.username, form.password, peer)
        return Token(access_token=signed, token_type="bearer", expires_in=app.sign_in.token_seconds)

    @routes.get("/token/valid", summary="Whose token this is")
    def valid(identity: SignedIn) -> dict[str, Any]:
        if identity is None:
            return {"username": ANONYMOUS, "email": None, "name": None, "roles": []}
        return {"username": identity.name, "email": None, "name": identity.name, "roles": role_claims(identity.role)}

    @routes.delete("/token", status_code=status.HTTP_204_NO_CONTENT, summary="Sign out: this token ends")
    def sign_out(identity: SignedIn) -> None:
        if identity is not None and identity.token_id is not None:
            tokens.revoke(app.catalog, identity.token_id, actor=identity.name)

    @routes.get("/app-passwords", summary="One's own app passwords")
    def list_app_passwords(identity: SignedIn) -> Page[AppPassword]:
        found = credentials.listing(app.catalog, _name(identity))
        return Page(items=[AppPassword.of(row) for row in reversed(found)], next=None)

    @routes.post("/app-passwords", status_code=status.HTTP_201_CREATED, summary="A password for Slicer alone")
    def make_app_password(identity: SignedIn, wish: AppPasswordWish) -> AppPassword:
        name = _name(identity)
        made, secret = credentials.make(app.catalog, name, CredentialKind.APP_PASSWORD, wish.label, actor=name)
        return AppPassword.of(made, secret)

    @routes.delete(
        "/app-passwords/{credential}",
        status_code=status.HTTP_204_NO_CONTENT,
        summary="End an app password and what was signed in with it",
    )
    def revoke_app_password(identity: SignedIn, credential: str) -> None:
        name = _name(identity)
        credentials.revoke(app.catalog, credential, actor=name, owner=name)

    return routes


def _name(identity: SignedIn) -> str:
    if identity is None:
        raise Conflict("sign-in is off (AUTH=off): there are no accounts that could have passwords")
    credentials.check_may_manage(identity)
    return identity.name
