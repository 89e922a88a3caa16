"""The parameters of a MONAI Label request: the form field ``params``, and the reader that it names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mrseg_label.accounts.identity import Identity
from mrseg_label.catalog.reader import MAX_CLIENT_LENGTH, Reader
from mrseg_label.errors import InvalidInput

FILE_PARAMS = ("image", "label", "file", "folder", "path", "model", "session_id")
READER = "mrseg_reader"  # key of the reader in a request to the app object; no client can send a Reader


def reader_of(params: Mapping[str, Any] | None, identity: Identity | None = None) -> Reader:
    """Return the reader of a MONAI Label request, whose key ``client_id`` names the client program.

    Raises
    ------
    InvalidInput
        The client id is not printable text of at most 200 characters.
    """
    params = params or {}
    if isinstance(known := params.get(READER), Reader):
        return known
    client = params.get("client_id")
    if client is None or client == "":
        return Reader() if identity is None else Reader(account=identity.name, role=identity.role)
    if not isinstance(client, str) or len(client) > MAX_CLIENT_LENGTH or not client.isprintable():
        raise InvalidInput(
            f"client_id must be printable text of at most {MAX_CLIENT_LENGTH} characters, not {client!r:.80}"
        )
    return Reader(client) if identity is None else Reader(client, identity.name, identity.role)


def check_no_paths(params: Mapping[str, Any]) -> None:
    """Check that no parameter names a file of the server, which MONAI Label's own server would open.

    Raises
    ------
    InvalidInput
        A parameter holds a path.
    """
    for key in FILE_PARAMS:
        value = params.get(key)
        if isinstance(value, str) and ("/" in value or "\\" in value):
            raise InvalidInput(f"params.{key} is the path {value!r:.80}; send the file itself with the request")


def parse_params(text: str | None) -> dict[str, Any]:
    """Parse the form field ``params``: a JSON object.

    Raises
    ------
    InvalidInput
        It is not JSON, or not an object.
    """
    try:
        params = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the field 'params' is not JSON: {error}") from error
    if not isinstance(params, dict):
        raise InvalidInput(f"the field 'params' must be a JSON object, not {type(params).__name__}")
    return params
