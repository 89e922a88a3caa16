"""Paths of files, SQL and control characters wherever an address takes a text of the client."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from mrseg_label.catalog.tables import Assignment
from tests.support.hostile import JSON, MULTIPART, SQL, TRAVERSALS, as_json, form, part, request, upload
from tests.support.hostile_scene import Scene, check, check_no_trace, check_unchanged

# Where an address takes a text of the client: (who, method, address, body).
ADDRESSES = (
    ("mallory", "GET", "/datastore/image?image={}", ""),
    ("mallory", "HEAD", "/datastore/image?image={}", ""),
    ("mallory", "HEAD", "/datastore/image?image=OWN&check_sum={}", ""),
    ("mallory", "GET", "/datastore/image/info?image={}", ""),
    ("mallory", "GET", "/datastore/label?label={}&tag=final", ""),
    ("mallory", "GET", "/datastore/label?label=OWN&tag={}", ""),
    ("mallory", "HEAD", "/datastore/label?label={}&tag=final", ""),
    ("mallory", "GET", "/datastore/label/info?label={}", ""),
    ("mallory", "GET", "/datastore/label/info?label=OWN&tag={}", ""),
    ("mallory", "PUT", "/datastore/label?image={}", "label"),
    ("mallory", "PUT", "/datastore/label?image=OWN&tag={}", "label"),
    ("mallory", "GET", "/datastore/?output={}", ""),
    ("mallory", "POST", "/infer/mrseg?image={}", "params"),
    ("mallory", "POST", "/infer/mrseg?session_id={}", "params"),
    ("mallory", "POST", "/infer/mrseg?image=OWN&output={}", "params"),
    ("mallory", "POST", "/infer/{}?image=OWN", "params"),
    ("mallory", "POST", "/activelearning/{}", "json"),
    ("mallory", "POST", "/train/{}", "json"),
    ("mallory", "GET", "/session/{}", ""),
    ("mallory", "DELETE", "/session/{}", ""),
    ("mallory", "PUT", "/session/?expiry={}", "files"),
    ("mallory", "DELETE", "/auth/app-passwords/{}", ""),
    ("mallory", "GET", "/api/v1/models/{}", ""),
    ("root", "GET", "/api/v1/models/{}/archive", ""),
    ("root", "POST", "/api/v1/models/{}/promote", "json"),
    ("mallory", "GET", "/api/v1/models?cursor={}", ""),
    ("mallory", "GET", "/api/v1/models?limit={}", ""),
    ("mallory", "GET", "/api/v1/rounds/{}", ""),
    ("mallory", "GET", "/api/v1/rounds?cursor={}", ""),
    ("root", "POST", "/api/v1/rounds/{}/cancel", "json"),
    ("root", "POST", "/api/v1/rounds/{}/retry", "json"),
    ("root", "GET", "/api/v1/rounds/{}/log", ""),
    ("mallory", "GET", "/api/v1/examinations/{}", ""),
    ("mallory", "GET", "/api/v1/examinations/{}/annotations", ""),
    ("mallory", "GET", "/api/v1/examinations?cursor={}", ""),
    ("mallory", "GET", "/api/v1/examinations?annotated={}", ""),
    ("mallory", "POST", "/api/v1/examinations/{}/return", "json"),
    ("mallory", "POST", "/api/v1/examinations/{}/release", "json"),
    ("mallory", "POST", "/api/v1/examinations/{}/unusable", "reason"),
    ("mallory", "GET", "/api/v1/annotations?state={}", ""),
    ("mallory", "GET", "/api/v1/annotations?cursor={}", ""),
    ("mallory", "GET", "/api/v1/annotations/{}", ""),
    ("mallory", "GET", "/api/v1/annotations/{}/mask", ""),
    ("rita", "GET", "/api/v1/annotations/{}/compare/{}", ""),
    ("rita", "POST", "/api/v1/annotations/{}/accept", "json"),
    ("rita", "POST", "/api/v1/annotations/{}/reject", "json"),
    ("mallory", "POST", "/api/v1/annotations/{}/withdraw", "json"),
    ("rita", "POST", "/api/v1/annotations/{}/restore", "json"),
    ("root", "GET", "/api/v1/audit?cursor={}", ""),
    ("mallory", "GET", "/api/v1/metrics/effort?cursor={}", ""),
    ("mallory", "GET", "/api/v1/metrics/learning-curve?limit={}", ""),
    ("mallory", "GET", "/{}", ""),
    ("mallory", "GET", "/api/v1/{}", ""),
)
FILTERS = (
    ("mallory", "/api/v1/examinations?station={}"),
    ("mallory", "/api/v1/examinations?sequence={}"),
    ("rita", "/api/v1/annotations?author={}"),
    ("root", "/api/v1/audit?actor={}"),
    ("root", "/api/v1/audit?action={}"),
)


def addressed(scene: Scene, who: str, method: str, address: str, body: str, text: str) -> bytes:
    target = address.replace("OWN", scene.own_ticket).replace("{}", text)
    if body in ("label", "files"):
        content = scene.label if body == "label" else scene.image
        return upload(method, target, scene.by(who), name="a.nii.gz", content=content, field=body, params={})
    if body == "params":
        content = form(part('form-data; name="params"', b"{}"))
        return request(method, target, scene.by(who), MULTIPART, body=content)
    if body == "json":
        return request(method, target, scene.by(who), JSON, body=b"{}")
    if body == "reason":
        return request(method, target, scene.by(who), JSON, body=as_json({"reason": "x"}))
    return request(method, target, scene.by(who))


@pytest.mark.parametrize("route", ADDRESSES, ids=lambda route: f"{route[1]} {route[2]}")
def test_paths_and_sql_in_addresses(scene: Scene, route: tuple[str, str, str, str]) -> None:
    before = scene.state()
    for text in (*TRAVERSALS, *(quote(item) for item in SQL)):
        if route[2] in ("/{}", "/api/v1/{}") and not text.startswith(("..", "%", "/", "'", "f")):
            continue
        check(scene, f"{route[1]} {route[2]} {text}", addressed(scene, *route, text))
    check_unchanged(scene, before)


@pytest.mark.parametrize("route", FILTERS, ids=lambda route: route[1])
def test_sql_and_control_characters_in_filters(scene: Scene, route: tuple[str, str]) -> None:
    before = scene.state()
    for text in (*SQL, "a\r\nX-Injected: 1", "\x00", "\x1b[2J", "x" * 300, "a;b"):
        target = route[1].format(quote(text))
        check(scene, f"GET {target}", request("GET", target, scene.by(route[0])))
    check_unchanged(scene, before)


def test_a_client_name_that_is_sql_is_only_a_name(scene: Scene) -> None:
    """A client may have any name: it is stored as it is, and is never taken for an account."""
    name = "Robert'); DROP TABLE assignments;--"
    authorization = {"Authorization": scene.by("rita").partition(": ")[2]}
    case = scene.server.http.post("/activelearning/sequential", headers=authorization, json={"client_id": name}).json()
    with scene.server.catalog.read() as session:
        assignment = session.query(Assignment).filter_by(ticket=case["id"]).one()
        assert (assignment.client, assignment.account) == (name, "rita")


def test_no_trace_is_left(scene: Scene) -> None:
    check_no_trace(scene)
