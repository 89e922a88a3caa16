"""The reader of a request, as routes get it: a dependency of FastAPI."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from mrseg_label.accounts.identity import Identity
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import ANONYMOUS
from mrseg_label.errors import InvalidInput


def identity_of(request: Request) -> Identity | None:
    """Return the signed-in identity, which the middleware left in the request; None without sign-in."""
    return getattr(request.state, "identity", None)


def reader_of(request: Request) -> Reader:
    """Return the reader of a request; without sign-in nobody has a name until the request gives one."""
    identity = identity_of(request)
    return Reader(ANONYMOUS) if identity is None else Reader.signed_in(identity.name, identity.role)


SignedIn = Annotated[Identity | None, Depends(identity_of)]  # None without sign-in
CurrentReader = Annotated[Reader, Depends(reader_of)]


def with_client_name(reader: Reader, client: str | None) -> Reader:
    """Return the reader who is signed in, else the one that the request names in its field ``client``.

    Raises
    ------
    InvalidInput
        Sign-in is off and the request names nobody.
    """
    if reader.account is not None:
        return reader
    if client is None:
        raise InvalidInput("name the reader in the field 'client': without sign-in the server cannot know who you are")
    return Reader(client)
