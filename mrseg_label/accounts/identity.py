"""Who a request is from."""

from __future__ import annotations

from dataclasses import dataclass

from mrseg_label.catalog.types import Role


@dataclass(frozen=True)
class Identity:
    """A signed-in account.

    Attributes
    ----------
    token_id : of the access token that was shown, None for a key or a ticket.
    by_app_password : whether the token was given for an app password, which opens Slicer's work and not the account.
    """

    name: str
    role: Role
    token_id: str | None = None
    by_app_password: bool = False
