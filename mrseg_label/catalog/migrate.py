"""Run Alembic from code, with the migrations that are in the package.

Alembic is imported only where a migration is missing: it takes a third of a second, and every command asks here.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, inspect, text

from mrseg_label.catalog.tables import Base
from mrseg_label.errors import ConfigurationError, InvalidInput

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["Base", "check_current", "config", "downgrade", "migration_state", "upgrade"]

MIGRATIONS = Path(__file__).with_name("migrations")
# Alembic's context is global to the process, so that threads take turns here; processes do so by the database's lock.
_ONE_THREAD = threading.Lock()


def config(engine: Engine | None = None, folder: Path = MIGRATIONS) -> Config:
    """Make Alembic's configuration for our migrations."""
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(folder).replace("%", "%%"))  # a "%" begins a name in ConfigParser
    settings.attributes["engine"] = engine
    return settings


def migration_state(engine: Engine) -> tuple[str | None, str]:
    """Read the migration that a database is at, and the newest one."""
    with engine.connect() as connection:
        present = None
        if inspect(connection).has_table("alembic_version"):
            present = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return present, max(_known())


def _known() -> set[str]:
    """The ids of all migrations; each file's name begins with the id of its migration."""
    return {path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")}


def upgrade(engine: Engine) -> None:
    """Run the missing migrations; threads and processes that do so at the same time take turns.

    Raises
    ------
    ConfigurationError
        A newer version of the program made the database.
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
    if present is not None and present not in _known():
        raise ConfigurationError(
            f"the database is at migration {present}, which this version of mrseg-label does not know; "
            "install the newer version that made it"
        )
    from alembic import command

    command.upgrade(config(engine), "head")


def downgrade(engine: Engine, migration: str) -> None:
    """Undo migrations until a database is at an older one, all or none of them.

    Raises
    ------
    InvalidInput
        There is no such migration, or the database is not past it.
    Conflict
        The older version would take what the database holds for something else.
    """
    present, _ = migration_state(engine)
    if migration not in _known():
        raise InvalidInput(
            f"there is no migration {migration[:40]!r}; docs/administration.md has those of the releases"
        )
    if present is None or present not in _known() or present <= migration:
        raise InvalidInput(f"the database is at migration {present}; it can only go back to an earlier one")
    from alembic import command

    with _ONE_THREAD:
        command.downgrade(config(engine), migration)


def check_current(engine: Engine) -> None:
    """Raise :class:`ConfigurationError` if migrations are missing."""
    present, head = migration_state(engine)
    if present != head:
        raise ConfigurationError(
            f"the database is at migration {present}, and this version needs {head}; run: mrseg-label upgrade"
        )
