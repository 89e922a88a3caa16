"""Settings and claims of sign-in through an identity provider."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from mrseg_label.accounts.oidc.claims import claim_entries, provider_user_of
from mrseg_label.accounts.oidc.settings import check_sign_in_settings
from mrseg_label.catalog.types import Role
from mrseg_label.config import Settings
from mrseg_label.errors import ConfigurationError, Forbidden
from mrseg_label.web.routes import redirect_uri
from tests.support.browsers import (
    CALLBACK,
    READER,
    REVIEWER,
)


def test_the_provider_leads_back_to_the_public_address() -> None:
    scope = {"type": "http", "scheme": "http", "headers": [(b"host", b"10.0.0.7:8000")]}
    assert redirect_uri(Settings(), Request(scope)) == f"http://10.0.0.7:8000{CALLBACK}"
    settings = Settings(public_url="https://mrseg.hospital.example/")
    assert redirect_uri(settings, Request(scope)) == f"https://mrseg.hospital.example{CALLBACK}"
    settings = Settings(public_url="https://pacs.hospital.example/mrseg/")
    assert redirect_uri(settings, Request(scope)) == f"https://pacs.hospital.example/mrseg{CALLBACK}"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"oidc_issuer": "https://id.example"}, "OIDC_CLIENT_ID"),
        ({"oidc_client_id": "x"}, "OIDC_ISSUER"),
        ({"oidc_issuer": "http://id.example", "oidc_client_id": "x"}, "OIDC_ISSUER"),
        ({"oidc_issuer": "id.example", "oidc_client_id": "x"}, "OIDC_ISSUER"),
        ({"oidc_issuer": "https://id.example", "oidc_client_id": "x", "oidc_scopes": "profile"}, "OIDC_SCOPES"),
        ({"oidc_issuer": "https://id.example", "oidc_client_id": "x", "oidc_role_admin": ""}, "OIDC_ROLE_ADMIN"),
        ({"oidc_issuer": "https://id.example", "oidc_client_id": "x", "oidc_name_claim": ""}, "OIDC_NAME_CLAIM"),
        ({"public_url": "mrseg.example"}, "PUBLIC_URL"),
        ({"public_url": "https://mrseg.example/a/../b"}, "PUBLIC_URL"),
        ({"public_url": "https://mrseg.example//sub"}, "PUBLIC_URL"),
        ({"public_url": "https://mrseg.example/a%20b"}, "PUBLIC_URL"),
        ({"public_url": "https://mrseg.example/a;b"}, "PUBLIC_URL"),
        ({"public_url": "https://mrseg.example/sub?x=1"}, "PUBLIC_URL"),
        ({"public_url": "https://mrseg.example/sub "}, "PUBLIC_URL"),
        ({"public_url": "https://ada@mrseg.example/sub"}, "PUBLIC_URL"),
    ],
)
def test_settings_that_cannot_work_name_their_keys(values: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        check_sign_in_settings(Settings.model_validate(values))
    check_sign_in_settings(
        Settings(oidc_issuer="https://id.example/realms/x", oidc_client_id="x", public_url="https://m.example/")
    )
    check_sign_in_settings(Settings(public_url="https://pacs.hospital.example/radiology/mrseg-2/"))


def test_roles_are_found_where_providers_put_them() -> None:
    claims = {"realm_access": {"roles": ["a", 7, "b"]}, "https://h/roles": "c", "x": 1}
    assert claim_entries(claims, "realm_access.roles") == {"a", "b"}
    assert claim_entries(claims, "https://h/roles") == {"c"}
    for path in ("x", "x.y", "realm_access", "realm_access.roles.a", "none"):
        assert claim_entries(claims, path) == frozenset()
    settings = Settings(oidc_issuer="https://id.example", oidc_client_id="x")
    claims = {"sub": "1", "preferred_username": "ada", "realm_access": {"roles": [REVIEWER, READER]}}
    assert provider_user_of(claims, settings, "i").role is Role.REVIEWER
    for subject in ("", None, 7, "x" * 256, "a\x00b", "\ud800"):
        with pytest.raises(Forbidden, match="'sub'"):
            provider_user_of({**claims, "sub": subject}, settings, "i")


def test_a_name_is_found_where_providers_put_it_or_is_empty() -> None:
    settings = Settings(oidc_issuer="https://id.example", oidc_client_id="x", oidc_name_claim="unique_name")
    claims = {"sub": "1", "realm_access": {"roles": [READER]}}
    for further, name in (
        ({"unique_name": "HOSPITAL\\ada", "preferred_username": "other"}, "HOSPITAL\\ada"),
        ({"unique_name": " \t", "preferred_username": "ada"}, "ada"),
        ({"unique_name": ["ada"], "email": "ada@hospital.example", "name": "Ada"}, "ada@hospital.example"),
        ({"name": " Ada\n\u202e  King\x00\ud800 "}, "Ada King"),
        ({"unique_name": "\u200b", "name": 7}, ""),
        ({}, ""),
    ):
        assert provider_user_of({**claims, **further}, settings, "i").name == name
    with pytest.raises(Forbidden, match="a user without a name but gives you no role"):
        provider_user_of({"sub": "1"}, settings, "i")
