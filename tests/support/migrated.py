"""Give new SQLite databases their tables by a copy: forty migrations take a quarter of a second of every test."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from mrseg_label.catalog import migrate

run_migrations = migrate._upgrade


@contextmanager
def copied_tables(folder: Path) -> Iterator[None]:
    """Let this process copy a database that was migrated once, in ``folder``, wherever it would migrate an empty one."""
    template = folder / "migrated.db"

    def upgrade(engine: Engine) -> None:
        present, _ = migrate.migration_state(engine)
        if engine.dialect.name != "sqlite" or present is not None:
            run_migrations(engine)
            return
        if not template.exists():
            made = create_engine(f"sqlite:///{template}")
            run_migrations(made)
            made.dispose()
        with closing(sqlite3.connect(template)) as source, closing(engine.raw_connection()) as target:
            assert isinstance(target.driver_connection, sqlite3.Connection)
            source.backup(target.driver_connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate, "_upgrade", upgrade)
        yield
