"""The server that is attacked, one for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.hostile_scene import Scene, hostile_scene


@pytest.fixture(scope="package")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A server with a victim and an attacker."""
    with hostile_scene(tmp_path_factory.mktemp("hostile")) as made:
        yield made
