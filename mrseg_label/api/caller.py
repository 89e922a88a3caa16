"""Who asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from mrseg_label.errors import InvalidInput

NOBODY = "anonymous"


def _actor(request: Request) -> str:
    # Set by whatever signs requests in; without sign-in nobody has a name.
    return getattr(request.state, "user", None) or NOBODY


Actor = Annotated[str, Depends(_actor)]


def reader(actor: str, client: str | None) -> str:
    """The name of a reader who decides: of the signed-in user, else what the client calls itself.

    Raises
    ------
    InvalidInput
        Nobody has a name.
    """
    if actor != NOBODY:
        return actor
    if client is None:
        raise InvalidInput("say in the field 'client' who you are: without sign-in the server cannot know")
    return client


def names(actor: str, client: str | None) -> tuple[str, str | None]:
    """Client and user of a reader, as leases have them. Raises as :func:`reader`."""
    return reader(actor, client), None if actor == NOBODY else actor
