"""Permissions: which of them a request matches, and how they are explained."""

from __future__ import annotations

from typing import Any

from mrseg_label.catalog.types import Role
from mrseg_label.http.permission_table import ADMINS, READERS, REVIEWERS, permission_table
from mrseg_label.http.permissions import Permission, PermissionTable

TABLE = PermissionTable(
    [
        Permission("GET", "/models", None),
        Permission("GET", "/models/current", READERS),
        Permission("GET", "/models/{version}", REVIEWERS, ticket=True, note="Own models only"),
        Permission("POST", "/models/{version}/promote", ADMINS),
    ]
)


def path_of(method: str, path: str) -> str | None:
    found = TABLE.find(method, path)
    return None if found is None else found.path


def test_the_first_permission_that_matches_counts_as_for_the_router() -> None:
    assert path_of("GET", "/models/current") == "/models/current"
    assert path_of("GET", "/models/round-1") == "/models/{version}"
    assert path_of("POST", "/models/current/promote") == "/models/{version}/promote"


def test_another_method_path_or_slash_has_no_permission() -> None:
    for method, path in (
        ("POST", "/models"),
        ("get", "/models"),
        ("HEAD", "/models"),
        ("GET", "/models/"),
        ("GET", "/Models"),
        ("GET", "/models/a/b"),
        ("GET", "/prefix/models"),
        ("GET", ""),
    ):
        assert path_of(method, path) is None, (method, path)


def test_a_path_is_known_with_any_method() -> None:
    assert TABLE.has_path("/models/x/promote") and TABLE.has_path("/models")
    assert not TABLE.has_path("/models/x/promote/") and not TABLE.has_path("/rounds")


def test_a_permission_is_explained_in_words() -> None:
    explained = [permission.explain() for permission in TABLE.permissions]
    assert explained == [
        "No sign-in needed.",
        "Permitted: radiologist, reviewer, admin.",
        "Permitted: reviewer, admin. The ticket of the case is enough. Own models only.",
        "Permitted: admin.",
    ]


def test_the_markdown_table_has_a_row_for_each_permission() -> None:
    head, _, *rows = TABLE.to_markdown().splitlines()
    assert head == "| route | no sign-in | radiologist | reviewer | admin | service | |"
    assert rows == [
        "| `GET /models` | yes | yes | yes | yes | yes |  |",
        "| `GET /models/current` |  | yes | yes | yes |  |  |",
        "| `GET /models/{version}` | ticket |  | yes | yes |  | Own models only |",
        "| `POST /models/{version}/promote` |  |  |  | yes |  |  |",
    ]


def test_openapi_tells_who_may_call_an_operation() -> None:
    document: dict[str, Any] = {
        "paths": {
            "/models": {"get": {}},
            "/models/{version}": {"get": {"description": "A model version."}},
            "/models/{version}/promote": {"post": {}},
        }
    }
    TABLE.add_to_openapi(document)
    paths = document["paths"]
    assert paths["/models"]["get"] == {"security": []}
    assert paths["/models/{version}"]["get"]["security"] == [{"password": []}, {"key": []}, {}]
    assert paths["/models/{version}"]["get"]["description"] == (
        "A model version.\n\nPermitted: reviewer, admin. The ticket of the case is enough. Own models only."
    )
    assert paths["/models/{version}/promote"]["post"]["description"] == "Permitted: admin."
    assert set(document["components"]["securitySchemes"]) == {"password", "key"}


def test_programs_get_no_images_no_masks_and_change_nothing() -> None:
    permitted = {
        f"{item.method} {item.path}"
        for item in permission_table().permissions
        if item.roles is not None and Role.SERVICE in item.roles
    }
    assert {line for line in permitted if not line.startswith(("GET ", "HEAD "))} == {"DELETE /auth/token"}
    assert not any("image" in line or "label" in line or "mask" in line for line in permitted)


def test_every_role_may_do_what_the_role_below_it_may() -> None:
    for item in permission_table().permissions:
        roles = item.roles or frozenset(Role)
        assert Role.RADIOLOGIST not in roles or Role.REVIEWER in roles, item
        assert Role.REVIEWER not in roles or Role.ADMIN in roles, item
        assert Role.ADMIN in roles, item
