"""The reader of a request."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from mrseg_label.accounts.identity import Identity
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import ANONYMOUS, Role
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.http.readers import identity_of, peer_of, reader_of, require_identity, with_client_name


def request(identity: Identity | None = None, client: tuple[str, int] | None = ("10.0.0.7", 5)) -> Request:
    state: dict[str, Any] = {} if identity is None else {"identity": identity}
    return Request({"type": "http", "headers": [], "state": state, "client": client})


ADA = Identity("ada", Role.RADIOLOGIST)


def test_a_signed_in_reader_is_the_account() -> None:
    assert identity_of(request(ADA)) is require_identity(request(ADA)) is ADA
    assert reader_of(request(ADA)) == Reader("ada", "ada", Role.RADIOLOGIST)


def test_without_sign_in_the_reader_is_anonymous() -> None:
    assert identity_of(request()) is None
    assert reader_of(request()) == Reader(ANONYMOUS)
    with pytest.raises(Conflict, match="AUTH=off"):
        require_identity(request())


def test_a_client_name_is_used_without_sign_in_only() -> None:
    signed_in = Reader.signed_in("ada", Role.RADIOLOGIST)
    assert with_client_name(signed_in, "chief") is signed_in
    assert with_client_name(signed_in, None) is signed_in
    assert with_client_name(Reader(ANONYMOUS), "chief") == Reader("chief")
    assert with_client_name(Reader(ANONYMOUS), "chief").role is None


def test_without_sign_in_a_client_name_is_required() -> None:
    with pytest.raises(InvalidInput, match="'client' is missing"):
        with_client_name(Reader(ANONYMOUS), None)


def test_the_peer_is_the_address_of_the_connection() -> None:
    assert peer_of(request()) == "10.0.0.7"
    assert peer_of(request(client=None)) == "unknown"
