"""Who asks. Without sign-in a client id is no identity: every Slicer sends ``user-xyz`` unless it is set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import Request

from mrseg_label.accounts.identity import Identity
from mrseg_label.catalog.types import NOBODYS_NAME, Role
from mrseg_label.errors import Forbidden, InvalidInput

MAX_CLIENT_LENGTH = 200
FILE_PARAMS = ("image", "label", "file", "folder", "path", "model", "session_id")
CALLER = "mrseg_caller"  # where a request to the app object says who asks; no client can send a Caller


@dataclass(frozen=True)
class Caller:
    """A client program and, with sign-in, the account of its token.

    Attributes
    ----------
    user : the account's name, which is who annotates; None without sign-in.
    """

    client: str = NOBODYS_NAME
    user: str | None = None
    role: Role | None = None

    @property
    def every_case(self) -> bool:
        """Whether it may have every case by its id, and not only those in its hands."""
        return self.role is not Role.RADIOLOGIST

    @property
    def reviews(self) -> bool:
        """Whether it may be handed another reader's submission to review."""
        return self.role is not Role.RADIOLOGIST

    def check_admin(self, what: str) -> None:
        """Raise :class:`Forbidden` unless this is an admin, a program, or sign-in is off."""
        if self.role not in (None, Role.ADMIN, Role.SERVICE):
            raise Forbidden(f"{self.user} has the role {self.role}: {what} is for admins and programs")

    @classmethod
    def of(cls, request: Mapping[str, Any] | None, identity: Identity | None = None) -> Caller:
        """The caller of a MONAI Label request (key ``client_id``).

        Raises
        ------
        InvalidInput
            The client id is not a printable text of at most 200 characters.
        """
        request = request or {}
        if isinstance(known := request.get(CALLER), Caller):
            return known
        client = request.get("client_id")
        if client is None or client == "":
            client = NOBODYS_NAME
        if not isinstance(client, str) or len(client) > MAX_CLIENT_LENGTH or not client.isprintable():
            raise InvalidInput(
                f"client_id must be a printable text of at most {MAX_CLIENT_LENGTH} characters, not {client!r:.80}"
            )
        return cls(client) if identity is None else cls(client, identity.name, identity.role)


def _identity(request: Request) -> Identity | None:
    return getattr(request.state, "identity", None)


SignedIn = Annotated[Identity | None, Depends(_identity)]  # None without sign-in


def check_no_paths(params: Mapping[str, Any]) -> None:
    """Refuse params that name a file of the server, as MONAI Label's own would be opened.

    Raises
    ------
    InvalidInput
        There is one.
    """
    for key in FILE_PARAMS:
        value = params.get(key)
        if isinstance(value, str) and ("/" in value or "\\" in value):
            raise InvalidInput(f"params.{key} is {value!r:.80}: files are sent with the request, not named by a path")


def parse_params(text: str | None) -> dict[str, Any]:
    """The form field ``params``: a JSON object.

    Raises
    ------
    InvalidInput
        It is something else.
    """
    try:
        params = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the field 'params' is not JSON: {error}") from error
    if not isinstance(params, dict):
        raise InvalidInput(f"the field 'params' must be a JSON object, not {type(params).__name__}")
    return params
