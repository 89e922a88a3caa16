"""Who a request is from."""

from __future__ import annotations

from dataclasses import dataclass

from mrseg_label.catalog.types import Role

READERS = frozenset({Role.RADIOLOGIST, Role.REVIEWER, Role.ADMIN})


@dataclass(frozen=True)
class Identity:
    """A signed-in account.

    Attributes
    ----------
    token_id : of the access token that was shown, None for a key or a ticket.
    """

    name: str
    role: Role
    token_id: str | None = None
