"""Fixtures of all tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Read when torch loads: threads that spin while they wait take the cores from the processes that tests start.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from tests.support.postgresql import new_database, program, temporary_server

# On SQLite with every run, on PostgreSQL with the tests that take their time.
DATABASES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.soak))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL for this session."""
    if program("initdb") is None:
        pytest.skip("PostgreSQL's server is not installed")
    # Not pytest's own folder: the path of a socket must be short, and others' users must reach it.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        Path(folder).chmod(0o755)
        with temporary_server(Path(folder) / "server") as server:
            yield server


@pytest.fixture(params=DATABASES)
def database_settings(request: pytest.FixtureRequest) -> str:
    """Text for ``mrseg.toml`` that names a fresh database: SQLite in the workspace, or PostgreSQL."""
    if request.param == "sqlite":
        return ""
    return f'DATABASE_URL = "{new_database(request.getfixturevalue("postgresql_server"))}"\n'
