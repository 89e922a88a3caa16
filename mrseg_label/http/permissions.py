"""Permissions: which roles may call which route."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import compile_path

from mrseg_label.catalog.types import Role, Scope


@dataclass(frozen=True)
class Permission:
    """A route and the roles that may call it.

    Attributes
    ----------
    path : as the route declares it, such as ``/models/{version}``.
    roles : None if no sign-in is needed.
    scope : an API key with it may call the route too, whatever the role of its account.
    ticket : whether the ticket of a case is enough, since Slicer downloads images without its access token.
    upload : whether a body of up to MAX_UPLOAD_MB is accepted.
    note : a further condition, for the documentation.
    sign_in_page : where a browser without a sign-in is redirected to; if empty, it gets a 401 like any other client.
    """

    method: str
    path: str
    roles: frozenset[Role] | None
    ticket: bool = False
    upload: bool = False
    note: str = ""
    sign_in_page: str = ""
    scope: Scope | None = None
    pattern: re.Pattern[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", compile_path(self.path)[0])

    def permits(self, role: Role, scopes: Collection[Scope]) -> bool:
        """Whether an account of that role may call the route, with a key of these scopes."""
        return self.roles is None or role in self.roles or self.scope in scopes

    def explain(self) -> str:
        """Explain in words who may call the route."""
        if self.roles is None:
            return "No sign-in needed."
        roles = ", ".join(role for role in Role if role in self.roles)
        ticket = " The ticket of the case is enough." if self.ticket else ""
        key = f", and API keys with the scope {self.scope}" if self.scope else ""
        note = f" {self.note}." if self.note else ""
        return f"Permitted: {roles}{key}.{ticket}{note}"


def other_ending(path: str) -> str:
    """Return a path without the slash at its end, or with one if it has none."""
    return path.rstrip("/") if path.endswith("/") else f"{path}/"


class PermissionTable:
    """All permissions of an application. A route without a permission answers nobody."""

    def __init__(self, permissions: Iterable[Permission]) -> None:
        self.permissions = tuple(permissions)

    def find(self, method: str, path: str) -> Permission | None:
        """Find the permission of a request: the first that matches, as the router chooses its route."""
        return next((item for item in self.permissions if item.method == method and item.pattern.match(path)), None)

    def permits(self, method: str, path: str, role: Role | None, scopes: Collection[Scope] = ()) -> bool:
        """Whether an account may call a route, given by its path as the table has it.

        Parameters
        ----------
        role : None without sign-in, where everything is permitted.
        """
        found = next(item for item in self.permissions if (item.method, item.path) == (method, path))
        return role is None or found.permits(role, scopes)

    def has_path(self, path: str) -> bool:
        """Whether the table has the path, with any method."""
        return any(item.pattern.match(path) for item in self.permissions)

    def has_route(self, path: str) -> bool:
        """Whether the table has the path, with or without a slash at its end."""
        return self.has_path(path) or self.has_path(other_ending(path))

    def add_to_openapi(self, openapi: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        """Add to an OpenAPI document how to sign in, and to each operation who may call it.

        Parameters
        ----------
        prefix : path under which a proxy serves all routes.
        """
        schemes = openapi.setdefault("components", {}).setdefault("securitySchemes", {})
        flow = {"scopes": {}, "tokenUrl": f"{prefix}/auth/token"}
        schemes["password"] = {"type": "oauth2", "flows": {"password": flow}}
        schemes["key"] = {
            "type": "http",
            "scheme": "bearer",
            "description": "an access token, or the API key of a program",
        }
        for item in self.permissions:
            operation = openapi["paths"].get(item.path, {}).get(item.method.lower())
            if operation is None:
                continue
            if item.roles is None:
                operation["security"] = []
                continue
            operation["security"] = [{"password": []}, {"key": []}, *([{}] if item.ticket else [])]
            operation["description"] = "\n\n".join(filter(None, [operation.get("description"), item.explain()]))
        return openapi

    def to_markdown(self) -> str:
        """Render the table in Markdown, as docs/access.md contains it."""
        columns = ["no sign-in", *Role]
        lines = [
            f"| route | {' | '.join(columns)} | |",
            f"| --- |{' :---: |' * len(columns)} --- |",
        ]
        for item in self.permissions:
            allowed = ["yes" if item.roles is None else "ticket" if item.ticket else ""]
            allowed += ["yes" if item.roles is None or role in item.roles else "" for role in Role]
            if item.scope is not None:
                allowed[columns.index(Role.SERVICE)] = f"key: {item.scope}"
            lines.append(f"| `{item.method} {item.path}` | {' | '.join(allowed)} | {item.note} |")
        return "\n".join(lines) + "\n"
