"""Query parameters that a route does not have."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from tests.integration.api.test_api import Opened, opened, problem_of

__all__ = ["opened"]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (
            "/examinations?sequnce=water",
            "no query parameter 'sequnce'; did you mean 'sequence'? it takes annotated, cursor",
        ),
        ("/examinations?State=waiting", "did you mean 'state'?"),
        ("/annotations?reader=ada", "no query parameter 'reader'; it takes author, cursor, limit, state"),
        ("/progress?limit=1", "it takes none"),
        ("/models/current?x", "it takes none"),
        ("/models/bootstrap?version=r1", "'version'"),
        ("/rounds?limit=1&limit=2", "'limit' occurs 2 times"),
        ("/examinations?station=a&station=b", "'station' occurs 2 times"),
        (f"/rounds?{urlencode({'x' * 500: 1})}", "xxx"),
        ("/jobs?State=failed", "did you mean 'state'?"),
    ],
)
def test_unknown_and_repeated_parameters_are_refused(opened: Opened, address: str, says: str) -> None:
    _, client = opened
    detail = problem_of(client.get(f"/api/v1{address}"), 422)["detail"]
    assert says in detail and len(detail) < 300


def test_every_route_of_the_interface_refuses_them(opened: Opened) -> None:
    _, client = opened
    paths = client.get("/openapi.json").json()["paths"]
    asked = [(method, path) for path, methods in paths.items() if path.startswith("/api/") for method in methods]
    assert len(asked) > 25
    for method, path in asked:
        answer = client.request(method, path.replace("{number}", "1"), params={"verbose": "1"})
        assert "'verbose'" in problem_of(answer, 422)["detail"], (method, path)


def test_declared_ones_are_taken(opened: Opened) -> None:
    _, client = opened
    assert client.get("/api/v1/examinations?station=abdomen&annotated=false&state=waiting&limit=5").status_code == 200
