"""Fixtures of all tests."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Read when torch loads: threads that spin while they wait take the cores from the processes that tests start.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    # Every server and worker that a test starts would compile its libraries again, torch alone for twelve seconds.
    # Nothing is written beside the sources, as asked for: what is compiled goes to pytest's own folder.
    bytecode = Path(__file__).parents[1] / ".pytest_cache" / "bytecode"
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(bytecode)
    sys.dont_write_bytecode = False

from mrseg_label.catalog import migrate
from tests.support.migrated import copied_tables, run_migrations
from tests.support.postgresql import Databases, databases_deleted, new_database, session_server

# A shell that starts the tests in the background (`&`, nohup) lets them ignore Ctrl-C, and so would the commands under test.
signal.signal(signal.SIGINT, signal.default_int_handler)

# `TEST_DATABASE=postgresql` has the workspaces of all tests use a real PostgreSQL. `.ci/run` does so for the folders that CONTRIBUTING.md names.
TEST_DATABASE = os.environ.get("TEST_DATABASE", "sqlite")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Three processes for the whole quick suite, two for all of ``-m soak``, none beside pytest's own for a selection.

    On two cores a third one works while tests of the others wait for a disk, a kill or a time limit. A server, a worker or a training
    under test has processes of its own, so more than three would only wait for each other. The tests of ``-m soak`` take both
    cores at times, but wait for a round, a kill or a clock as well.
    """
    selected = config.args_source is pytest.Config.ArgsSource.ARGS or config.option.keyword
    return {"not soak": 3, "soak": 2}.get(config.option.markexpr, 0) if not selected else 0


def pytest_configure() -> None:
    """Refuse another database."""
    if TEST_DATABASE not in ("sqlite", "postgresql"):
        raise pytest.UsageError(f"TEST_DATABASE={TEST_DATABASE} is none of sqlite, postgresql")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that are about the other database."""
    other = "sqlite" if TEST_DATABASE == "postgresql" else "postgresql"
    left_out = [item for item in items if item.get_closest_marker(other)]
    items[:] = [item for item in items if not item.get_closest_marker(other)]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session", autouse=True)
def _copied_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Copy new SQLite databases from one that was migrated; tests of migrations ask for ``real_migrations``."""
    with copied_tables(tmp_path_factory.mktemp("migrated")):
        yield


@pytest.fixture
def real_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a test's new databases migrated step by step: it is about that."""
    monkeypatch.setattr(migrate, "_upgrade", run_migrations)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL for this session."""
    with session_server() as server:
        yield server


@pytest.fixture(scope="session", autouse=TEST_DATABASE == "postgresql")
def databases(postgresql_server: str) -> Iterator[Databases]:
    """Databases for the workspaces of this session."""
    made = Databases(postgresql_server)
    with made.for_workspaces():
        yield made


@pytest.fixture(autouse=TEST_DATABASE == "postgresql")
def _own_databases() -> Iterator[None]:
    """Delete the databases of a test at its end; those of a session or a folder were made before."""
    with databases_deleted():
        yield


@pytest.fixture
def database_settings(request: pytest.FixtureRequest) -> str:
    """Text for ``mrseg.toml`` that names a fresh database: SQLite in the workspace, or PostgreSQL."""
    if TEST_DATABASE == "sqlite":
        return ""
    return f'DATABASE_URL = "{request.getfixturevalue("databases").new()}"\n'


@pytest.fixture(scope="session")
def database_url(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """Make a function that returns the URL of a fresh database without a workspace: SQLite in a folder, or PostgreSQL."""
    if TEST_DATABASE == "sqlite":
        return lambda folder: f"sqlite:///{folder / 'mrseg.db'}"
    databases: Databases = request.getfixturevalue("databases")
    return lambda _: databases.new()


@pytest.fixture
def empty_database(request: pytest.FixtureRequest) -> str:
    """The same of a database without tables."""
    if TEST_DATABASE == "sqlite":
        return ""
    return f'DATABASE_URL = "{new_database(request.getfixturevalue("postgresql_server"))}"\n'
