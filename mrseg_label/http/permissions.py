"""What a permission is, and a table of them: who may call which route."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import compile_path

from mrseg_label.catalog.types import Role


@dataclass(frozen=True)
class Permission:
    """A route and who may call it.

    Attributes
    ----------
    path : as the route declares it, such as ``/models/{version}``.
    roles : None where no sign-in is needed.
    ticket : whether the ticket of a case is enough: Slicer downloads images without its sign-in token.
    upload : whether a body of up to MAX_UPLOAD_MB is accepted.
    note : what applies beside the roles.
    sign_in_page : where a browser that is not signed in is redirected to; empty where only a 401 is of use.
    """

    method: str
    path: str
    roles: frozenset[Role] | None
    ticket: bool = False
    upload: bool = False
    note: str = ""
    sign_in_page: str = ""
    pattern: re.Pattern[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", compile_path(self.path)[0])

    def describe(self) -> str:
        """Say in words who may call the route."""
        if self.roles is None:
            return "No sign-in needed."
        roles = ", ".join(role for role in Role if role in self.roles)
        ticket = " Or with the ticket of the case." if self.ticket else ""
        note = f" {self.note}." if self.note else ""
        return f"For: {roles}.{ticket}{note}"


class PermissionTable:
    """All permissions of an application. A route that has none is open to nobody."""

    def __init__(self, permissions: Iterable[Permission]) -> None:
        self.permissions = tuple(permissions)

    def find(self, method: str, path: str) -> Permission | None:
        """Return the permission of a request: the first that matches, as the router picks its route."""
        return next((item for item in self.permissions if item.method == method and item.pattern.match(path)), None)

    def has_path(self, path: str) -> bool:
        """Whether there is such a path, with any method."""
        return any(item.pattern.match(path) for item in self.permissions)

    def describe(self, openapi: dict[str, Any]) -> dict[str, Any]:
        """Write into an OpenAPI document how to sign in, and for each operation who may call it."""
        schemes = openapi.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["password"] = {"type": "oauth2", "flows": {"password": {"scopes": {}, "tokenUrl": "/auth/token"}}}
        schemes["key"] = {"type": "http", "scheme": "bearer", "description": "an access token or a program's API key"}
        for item in self.permissions:
            operation = openapi["paths"].get(item.path, {}).get(item.method.lower())
            if operation is None:
                continue
            if item.roles is None:
                operation["security"] = []
                continue
            operation["security"] = [{"password": []}, {"key": []}, *([{}] if item.ticket else [])]
            operation["description"] = "\n\n".join(filter(None, [operation.get("description"), item.describe()]))
        return openapi

    def to_markdown(self) -> str:
        """The table in Markdown, as docs/access.md shows it."""
        columns = ["no sign-in", *Role]
        lines = [
            f"| route | {' | '.join(columns)} | |",
            f"| --- |{' :---: |' * len(columns)} --- |",
        ]
        for item in self.permissions:
            allowed = ["yes" if item.roles is None else "ticket" if item.ticket else ""]
            allowed += ["yes" if item.roles is None or role in item.roles else "" for role in Role]
            lines.append(f"| `{item.method} {item.path}` | {' | '.join(allowed)} | {item.note} |")
        return "\n".join(lines) + "\n"
