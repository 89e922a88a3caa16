"""The identity of a request: the account that sent it."""

from __future__ import annotations

from dataclasses import dataclass

from mrseg_label.catalog.types import Role, Scope


@dataclass(frozen=True)
class Identity:
    """A signed-in account.

    Attributes
    ----------
    token_id : id of the access token that the request carried; None for an API key or a ticket.
    key_id : id of the API key that the request carried.
    scopes : what the API key of the request may fetch beside what the account may.
    by_app_password : whether the token was issued for an app password, which is for work in Slicer and may not manage
        the account.
    """

    name: str
    role: Role
    token_id: str | None = None
    by_app_password: bool = False
    scopes: frozenset[Scope] = frozenset()
    key_id: str | None = None
