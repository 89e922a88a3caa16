"""Who asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from mrseg_label.catalog.types import ANONYMOUS, Role
from mrseg_label.errors import Forbidden, InvalidInput


def _actor(request: Request) -> str:
    # Set by whatever signs requests in; without sign-in nobody has a name.
    return getattr(request.state, "user", None) or ANONYMOUS


Actor = Annotated[str, Depends(_actor)]


def _role(request: Request) -> Role | None:
    return getattr(request.state, "role", None)


CallerRole = Annotated[Role | None, Depends(_role)]  # None without sign-in


def own_only(actor: str, role: Role | None) -> str | None:
    """The one reader whose work a caller may see: a radiologist's own; None for all others, who see all."""
    return actor if role is Role.RADIOLOGIST else None


def check_decides(role: Role | None) -> None:
    """Raise :class:`Forbidden` where a radiologist asks for a review."""
    if role is Role.RADIOLOGIST:
        raise Forbidden("reviews are for reviewers and admins")


def check_own(actor: str, role: Role | None, author: str) -> None:
    """Raise :class:`Forbidden` where a radiologist means what another reader submitted."""
    if role is Role.RADIOLOGIST and actor != author:
        raise Forbidden("this is another reader's submission; reviewers and admins see those of all")


def reader(actor: str, client: str | None) -> str:
    """The name of a reader who decides: of the signed-in user, else what the client calls itself.

    Raises
    ------
    InvalidInput
        Nobody has a name.
    """
    if actor != ANONYMOUS:
        return actor
    if client is None:
        raise InvalidInput("say in the field 'client' who you are: without sign-in the server cannot know")
    return client


def names(actor: str, client: str | None) -> tuple[str, str | None]:
    """Client and user of a reader, as leases have them. Raises as :func:`reader`."""
    return reader(actor, client), None if actor == ANONYMOUS else actor
