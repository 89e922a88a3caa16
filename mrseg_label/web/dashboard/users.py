"""``/dashboard/users`` and ``/dashboard/audit``: accounts, API keys, and who did what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.accounts import credentials, service
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.types import CredentialKind, Role, Scope
from mrseg_label.errors import Conflict, InvalidInput, MrsegError, NotFound
from mrseg_label.http import paths
from mrseg_label.http.readers import CurrentIdentity, CurrentReader
from mrseg_label.reports.accounts import read_accounts
from mrseg_label.reports.audit import read_audit
from mrseg_label.web.forms import FormTokens
from mrseg_label.web.pages import page, redirect, sentence

EVENTS = 50
# In the body, not in the address: a name may be an e-mail address.
_Name = Annotated[str, Form(max_length=255)]
_Secret = Annotated[str, Form(max_length=1024)]


def add_routes(routes: APIRouter, workspace: OpenedWorkspace, forms: FormTokens) -> None:
    """Add the pages and forms of accounts."""
    catalog = workspace.catalog
    refusals = (Conflict, InvalidInput, NotFound)

    def check_identity(identity: CurrentIdentity) -> None:
        credentials.check_may_manage_accounts(identity)

    checks = [*forms.checks, Depends(check_identity)]

    def users_page(request: Request, status: int = 200, **shown: str) -> Response:
        values: dict[str, Any] = {
            "accounts": read_accounts(catalog),
            "roles": list(Role),
            "scopes": list(Scope),
            "sign_in": workspace.settings.auth == "on",
            **dict.fromkeys(("note", "message", "name", "secret"), ""),
        }
        return page(request, "dashboard/users.html", status, **values | shown)

    def refused(request: Request, error: MrsegError, name: str = "") -> Response:
        return users_page(request, error.http_status, message=sentence(error), name=name)

    def change(request: Request, note: str, apply: Callable[[], object]) -> Response:
        try:
            apply()
        except refusals as error:
            return refused(request, error)
        return redirect(request, f"{paths.USERS}?note={note}")

    @routes.get(paths.USERS)
    def get_users(request: Request, note: str = "") -> Response:
        return users_page(request, note=note)

    @routes.post(paths.USERS, dependencies=checks)
    def add_user(
        request: Request,
        reader: CurrentReader,
        role: Annotated[Role, Form()],
        name: _Name = "",
        password: _Secret = "",
        again: _Secret = "",
    ) -> Response:
        try:
            if password != again:
                raise InvalidInput("the two passwords differ; enter the same one twice")
            service.add(catalog, name, role, password=password or None, actor=reader.name)
        except refusals as error:
            return refused(request, error, name[: service.MAX_NAME_LENGTH])
        return redirect(request, f"{paths.USERS}?note=added")

    @routes.post(paths.SET_ROLE, dependencies=checks)
    def set_role(request: Request, reader: CurrentReader, role: Annotated[Role, Form()], name: _Name = "") -> Response:
        return change(request, "changed", lambda: service.set_role(catalog, name, role, actor=reader.name))

    @routes.post(paths.SET_PASSWORD, dependencies=checks)
    def set_password(
        request: Request, reader: CurrentReader, name: _Name = "", password: _Secret = "", again: _Secret = ""
    ) -> Response:
        def apply() -> None:
            if password != again:
                raise InvalidInput("the two passwords differ; enter the same one twice")
            service.set_password(catalog, name, password, actor=reader.name)

        return change(request, "password", apply)

    @routes.post(paths.DISABLE_USER, dependencies=checks)
    def disable_user(request: Request, reader: CurrentReader, name: _Name = "") -> Response:
        return change(request, "disabled", lambda: service.disable(catalog, name, actor=reader.name))

    @routes.post(paths.ENABLE_USER, dependencies=checks)
    def enable_user(request: Request, reader: CurrentReader, name: _Name = "") -> Response:
        return change(request, "enabled", lambda: service.enable(catalog, name, actor=reader.name))

    @routes.post(paths.SIGN_OUT_USER, dependencies=checks)
    def sign_out_user(request: Request, reader: CurrentReader, name: _Name = "") -> Response:
        return change(request, "signed-out", lambda: service.sign_out(catalog, name, actor=reader.name))

    @routes.post(paths.CREATE_KEY, dependencies=checks)
    def create_key(
        request: Request,
        reader: CurrentReader,
        scope: Annotated[list[Scope] | None, Form()] = None,
        name: _Name = "",
        label: Annotated[str, Form(max_length=credentials.MAX_LABEL_LENGTH)] = "",
    ) -> Response:
        try:
            row, secret = credentials.make(
                catalog, name, CredentialKind.API_KEY, label, actor=reader.name, scopes=scope or ()
            )
        except refusals as error:
            return refused(request, error)
        return users_page(request, 201, secret=secret, name=row.account_name)

    @routes.post(paths.REVOKE_CREDENTIAL, dependencies=checks)
    def revoke_credential(
        request: Request, reader: CurrentReader, credential: Annotated[str, Form(max_length=64)] = ""
    ) -> Response:
        return change(request, "revoked", lambda: credentials.revoke(catalog, credential, actor=reader.name))

    @routes.get(paths.AUDIT)
    def get_audit(request: Request, cursor: Annotated[str | None, Query(max_length=400)] = None) -> Response:
        values: dict[str, Any] = {"found": read_audit(catalog, EVENTS, cursor), "first": cursor is None}
        return page(request, "dashboard/audit.html", **values)
