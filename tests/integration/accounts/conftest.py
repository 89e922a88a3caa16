"""Fixtures of the tests of sign-in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.types import Role
from tests.integration.conftest import PASSWORD, Running, serving
from tests.support.browsers import (
    CALLBACK,
    Browser,
    open_browser,
    settings_text,
)
from tests.support.identity_provider import IdentityProvider
from tests.support.signed_in import person

__all__ = ["person"]


@pytest.fixture(scope="package")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    with IdentityProvider(tmp_path_factory.mktemp("provider") / "provider.log") as provider:
        yield provider


@pytest.fixture(scope="package")
def served(hospital: IdentityProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("single-sign-on"), settings_text(hospital.url), 1) as server:
        hospital.register_client(server.url + CALLBACK)
        accounts.add(server.catalog, "house", Role.RADIOLOGIST, password=PASSWORD, actor="test")
        yield server


@pytest.fixture
def browser(served: Running) -> Iterator[Browser]:
    with open_browser(served) as made:
        yield made
