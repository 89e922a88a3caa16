"""Run by Alembic."""

from typing import Literal

from alembic import context
from sqlalchemy import Connection, Engine, create_engine, func, select

from mrseg_label.catalog.tables import Base
from mrseg_label.catalog.types import Coded, UtcDateTime

_LOCK = 0x6D727369  # of PostgreSQL's advisory locks; any number that nobody else takes


def _render(kind: str, item: object, _context: object) -> str | Literal[False]:
    # Migrations must not change when our column types do: write what the database sees.
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, Coded):
        return "sa.String(32)"
    return False


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
        render_item=_render,
        transactional_ddl=True,  # on SQLite too, whose driver begins no transaction of its own here: all steps or none
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        context.run_migrations()


engine: Engine | None = context.config.attributes.get("engine")
if engine is None:
    engine = create_engine(context.get_x_argument(as_dictionary=True)["url"])
# A lock first: two processes that start together on a new database take turns. SQLite has its write lock for this.
with engine.execution_options(mrseg_writes=True).connect() as connection:
    _run(connection)
    connection.commit()
