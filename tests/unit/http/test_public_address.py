"""The path of PUBLIC_URL: removed from addresses of requests once, added to those in replies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from mrseg_label.config import Settings
from mrseg_label.http.permission_table import permission_table
from mrseg_label.http.public_address import (
    PublicAddressMiddleware,
    TrailingSlashMiddleware,
    public_origin,
    public_path,
    public_prefix,
)


def pass_through(url: str | None, path: str, query: bytes = b"") -> tuple[str, str]:
    """The path that routes see, and the address to which a request is redirected instead ("" if it is not)."""
    seen: list[str] = []
    sent: list[Any] = []

    async def route(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["path"])
        assert public_path(HTTPConnection(scope), "/account") == public_prefix(Settings(public_url=url)) + "/account"

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing reads the body")

    inner = TrailingSlashMiddleware(route, permission_table())
    stack = PublicAddressMiddleware(inner, Settings(public_url=url), permission_table())
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": []}
    asyncio.run(stack(scope, receive, send))
    location = dict(sent[0]["headers"]).get(b"location", b"").decode() if sent else ""
    return (seen[0] if seen else ""), location


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/account", "/account"),  # the proxy removed its path
        ("/mrseg/account", "/account"),  # it did not
        ("/mrseg", "/"),
        ("/mrseg/", "/"),
        ("/mrseg/mrseg/account", "/mrseg/account"),  # once, and this is no page
        ("/mrseg-2/account", "/mrseg-2/account"),
        ("/MRSEG/account", "/MRSEG/account"),
        ("/other/mrseg/account", "/other/mrseg/account"),
        ("//mrseg/account", "//mrseg/account"),
    ],
)
def test_routes_never_see_the_path(path: str, seen: str) -> None:
    for url in ("https://pacs.hospital.example/mrseg", "https://pacs.hospital.example/mrseg/"):
        assert pass_through(url, path) == (seen, "")


@pytest.mark.parametrize("url", [None, "https://mrseg.hospital.example", "https://mrseg.hospital.example/"])
def test_without_a_path_nothing_changes(url: str | None) -> None:
    assert pass_through(url, "/account") == ("/account", "")
    assert pass_through(url, "/mrseg/account") == ("/mrseg/account", "")
    assert pass_through(url, "/info") == ("", "/info/")


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/api/v1/models", "/api/v1/models"),  # a route of that name is never mistaken for the path
        ("/api/api/v1/models", "/api/v1/models"),
        ("/api/account", "/account"),
        ("/api", "/"),
    ],
)
def test_the_path_may_have_the_name_of_a_route(path: str, seen: str) -> None:
    assert pass_through("https://pacs.hospital.example/api", path) == (seen, "")


@pytest.mark.parametrize(
    ("path", "query", "location"),
    [
        ("/info", b"", "/mrseg/info/"),
        ("/mrseg/info", b"a=%20&b", "/mrseg/info/?a=%20&b"),
        ("/account/", b"", "/mrseg/account"),
        ("/train/a b%3F?/", b"", "/mrseg/train/a%20b%253F%3F"),
    ],
)
def test_a_missing_slash_redirects_within_the_path(path: str, query: bytes, location: str) -> None:
    assert pass_through("https://pacs.hospital.example/mrseg/", path, query) == ("", location)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        (None, ""),
        ("https://pacs.hospital.example/mrseg/", "https://pacs.hospital.example"),
        ("https://PACS.hospital.example:443", "https://pacs.hospital.example"),
        ("http://pacs.hospital.example:8443/x", "http://pacs.hospital.example:8443"),
        ("https://[fd00::1]:8443/", "https://[fd00::1]:8443"),
    ],
)
def test_the_origin_is_as_browsers_state_it(url: str | None, origin: str) -> None:
    assert public_origin(Settings(public_url=url)) == origin
