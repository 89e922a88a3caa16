"""Alembic from code: the migrations travel in the package."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from mrseg_label.catalog.tables import Base
from mrseg_label.errors import ConfigurationError

__all__ = ["Base", "check_current", "config", "migration_state", "upgrade"]

# Alembic keeps what it is at in the process, not in the thread. Processes take turns by the database's own lock.
_ONE_THREAD = threading.Lock()


def config(engine: Engine | None = None) -> Config:
    """Alembic's configuration for our migrations."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    settings.attributes["engine"] = engine
    return settings


def migration_state(engine: Engine) -> tuple[str | None, str | None]:
    """The migration that a database is at, and the newest one."""
    with engine.connect() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
    return present, ScriptDirectory.from_config(config()).get_current_head()


def upgrade(engine: Engine) -> None:
    """Run the migrations that are missing; threads and processes that do so at the same time take turns.

    Raises
    ------
    ConfigurationError
        The database was made by a newer version.
    """
    present, head = migration_state(engine)
    if present == head:
        return
    with _ONE_THREAD:
        _upgrade(engine)


def _upgrade(engine: Engine) -> None:
    present, head = migration_state(engine)  # again: another thread may have been here
    if present == head:
        return
    known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
    if present is not None and present not in known:
        raise ConfigurationError(
            f"the database is at migration {present}, which this version does not know; install the newer version"
        )
    command.upgrade(config(engine), "head")


def check_current(engine: Engine) -> None:
    """Raise :class:`ConfigurationError` where migrations are missing."""
    present, head = migration_state(engine)
    if present != head:
        raise ConfigurationError(
            f"the database is at migration {present}, this version needs {head}; run: mrseg-label upgrade"
        )
