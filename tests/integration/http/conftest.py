"""Fixtures of the tests of the HTTP layer: new accounts, and a server to attack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.hostile_scene import Scene, hostile_scene
from tests.support.signed_in import person

__all__ = ["person"]


@pytest.fixture(scope="package")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A server with a victim and an attacker."""
    with hostile_scene(tmp_path_factory.mktemp("hostile")) as made:
        yield made
