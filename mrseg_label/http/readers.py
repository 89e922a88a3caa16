"""Who sent a request: dependencies of FastAPI for the routes, which never look at headers or roles themselves."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from mrseg_label.accounts.identity import Identity
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import ANONYMOUS
from mrseg_label.errors import Conflict, InvalidInput

SIGN_IN_IS_OFF = "sign-in is off (AUTH=off), so this server has no accounts"


def identity_of(request: Request) -> Identity | None:
    """Return the signed-in account, which the middleware left in the request; None without sign-in."""
    return getattr(request.state, "identity", None)


def is_stranger(request: Request) -> bool:
    """Whether nobody has signed in; without sign-in there are no strangers."""
    return identity_of(request) is None and getattr(request.state, "anonymous", False)


def require_identity(request: Request) -> Identity:
    """Return the signed-in account. Raises :class:`Conflict` if sign-in is off."""
    identity = identity_of(request)
    if identity is None:
        raise Conflict(SIGN_IN_IS_OFF)
    return identity


def reader_of(request: Request) -> Reader:
    """Return the reader of a request: without sign-in an anonymous one, until the request names a client."""
    identity = identity_of(request)
    return Reader(ANONYMOUS) if identity is None else Reader.signed_in(identity.name, identity.role)


CurrentIdentity = Annotated[Identity | None, Depends(identity_of)]  # None without sign-in
RequiredIdentity = Annotated[Identity, Depends(require_identity)]
CurrentReader = Annotated[Reader, Depends(reader_of)]


def with_client_name(reader: Reader, client: str | None) -> Reader:
    """Return the signed-in reader or, without sign-in, the one that the request names in its field ``client``.

    Raises
    ------
    InvalidInput
        Sign-in is off and the request has no ``client``.
    """
    if reader.account is not None:
        return reader
    if client is None:
        raise InvalidInput("the field 'client' is missing: without sign-in it has to name the reader")
    return Reader(client)


def peer_of(request: Request) -> str:
    """Return the address of the client, which may be a proxy's unless TRUSTED_PROXIES names the proxy."""
    return request.client.host if request.client else "unknown"
