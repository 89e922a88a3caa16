"""Whose request ids are taken over."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from mrseg_label.http.request_ids import RequestIdMiddleware

HEX = "0123456789abcdef0123456789abcdef"  # as nginx makes $request_id
UUID = "2d1f0c3e-9b1a-4f0e-8d2e-0a4b6c8d0e1f"


async def _empty(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    ("peer", "given", "taken"),
    [
        ("10.0.0.7", HEX, True),
        ("10.0.0.7", UUID.upper(), True),
        ("10.0.0.7", "Muster_Anna_1962", False),
        ("10.0.0.7", f"{HEX}\u00e9", False),
        ("10.0.0.7", "1962", False),
        ("10.0.1.7", HEX, False),
        ("not an address", HEX, False),
        (None, HEX, False),
    ],
)
def test_only_a_trusted_proxy_names_a_request(peer: str | None, given: str, taken: bool) -> None:
    wrapped = RequestIdMiddleware(_empty, ["10.0.0.0/24"])

    async def from_peer(scope: Scope, receive: Receive, send: Send) -> None:
        await wrapped({**scope, "client": None if peer is None else (peer, 5)}, receive, send)

    async def get() -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(from_peer), base_url="http://x") as http:
            reply = await http.get("/", headers=[(b"X-Request-ID", given.encode())])
            return reply.headers["x-request-id"]

    found = asyncio.run(get())
    assert found == given.lower() if taken else (len(found) == 16 and found != given)
