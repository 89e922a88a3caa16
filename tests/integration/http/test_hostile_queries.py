"""Limits, numbers and cursors that no page of results has."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.support.hostile import SQL, request
from tests.support.hostile_scene import Scene, base64url, check_no_trace, check_refused


def odd_queries(s: Scene) -> dict[str, bytes]:
    own = s.by()
    found: dict[str, bytes] = {}
    for limit in ("0", "-1", "501", "99999999999999999999999", "1e3", "NaN", "0x10", "١٠٠٠", ""):
        found[f"limit {limit!a}"] = request("GET", f"/api/v1/examinations?limit={quote(limit)}", own)
    for number in ("0", "-1", "2147483648", "99999999999999999999999", "1.5", "NaN", "1e2", "true"):
        found[f"round {number}"] = request("GET", f"/api/v1/rounds/{number}", own)
    cursors: list[Any] = [
        [], {}, None, "x", [1e308 * 10], ["2026-01-01T00:00:00+00:00"], ["2026-01-01T00:00:00", "x"], ["0001-01-01T00:00:00+14:00", "x"],
        ["9999-12-31T23:59:59-14:00", "x"], ["2026-01-01T00:00:00+00:00", 5], ["2026-01-01T00:00:00+00:00", "a\0"],
        ["2026-01-01T00:00:00+00:00", "\ud800"], [2**31], [-1], [2**70], [True], [[1]], [SQL[0], SQL[2]],
    ]  # fmt: skip
    for cursor in cursors:
        for target in ("/api/v1/examinations", "/api/v1/rounds", "/api/v1/annotations"):
            text = base64url(cursor)
            found[f"cursor {cursor!a} of {target}"] = request("GET", f"{target}?cursor={text}", own)
    deep = base64url("[" * 250)
    found["deep cursor"] = request("GET", f"/api/v1/examinations?cursor={deep}", own)
    found["long cursor"] = request("GET", f"/api/v1/examinations?cursor={'A' * 3000}", own)
    return found


def test_odd_queries_are_refused(scene: Scene) -> None:
    check_refused(scene, odd_queries(scene), 70)


def test_no_trace_is_left(scene: Scene) -> None:
    check_no_trace(scene)
