"""Fixtures of all tests."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
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

from tests.support.postgresql import new_database, program, temporary_server

# A shell that starts the tests in the background (`&`, nohup) lets them ignore Ctrl-C, and so would the commands under test.
signal.signal(signal.SIGINT, signal.default_int_handler)

# On SQLite with every run, on PostgreSQL with the tests that take their time.
DATABASES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.soak))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Three processes for the whole quick suite, none beside pytest's own for a selection and for ``-m soak``.

    On two cores a third one works while tests of the others wait for a disk, a kill or a time limit. A server, a worker or a training
    under test has processes of its own, so more than three would only wait for each other. The tests of ``-m soak`` need both cores
    for themselves.
    """
    selected = config.args_source is pytest.Config.ArgsSource.ARGS or config.option.keyword
    return 3 if not selected and config.option.markexpr == "not soak" else 0


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
