"""Who asks. Without sign-in a client id is no identity: every Slicer sends ``user-xyz`` unless it is set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mrseg_label.errors import InvalidInput

DEFAULT_CLIENT = "user-xyz"
MAX_CLIENT_LENGTH = 200


@dataclass(frozen=True)
class Caller:
    """A client program and, with sign-in, the user in its token."""

    client: str = DEFAULT_CLIENT
    user: str | None = None

    @classmethod
    def of(cls, request: Mapping[str, Any] | None) -> Caller:
        """The caller of a MONAI Label request (key ``client_id``).

        Raises
        ------
        InvalidInput
            The client id is not a printable text of at most 200 characters.
        """
        client = (request or {}).get("client_id") or DEFAULT_CLIENT
        if not isinstance(client, str) or len(client) > MAX_CLIENT_LENGTH or not client.isprintable():
            raise InvalidInput(
                f"client_id must be a printable text of at most {MAX_CLIENT_LENGTH} characters, not {client!r:.80}"
            )
        return cls(client)


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
