"""Every migration can be undone: the schema is then as it was, and what the older schema can hold is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.migrate import config, downgrade, migration_state
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.queries import heartbeats
from mrseg_label.catalog.tables import Round
from mrseg_label.catalog.types import RoundState
from mrseg_label.cli import main
from mrseg_label.clock import now
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.workspace import Workspace
from tests.integration.catalog.test_migrations import ROWS, fill_0002
from tests.support.schemas import rows_of, schema_of
from tests.support.study_rows import study

pytestmark = pytest.mark.usefixtures("real_migrations")

LAST_RELEASE = "0002"
SAME_NAMES = "0003"  # the oldest whose tables and kinds of jobs are called as today
VERSIONS = frozenset({"alembic_version"})
# Facts that went with the newer schema and are counted or measured anew, beside what a newer version alone knows.
RENEWED = {"jobs", "evaluations"}


@pytest.fixture
def empty(tmp_path: Path, empty_database: str) -> Iterator[Catalog]:
    """A database without tables."""
    Workspace.init(tmp_path / "ws", settings_text=f'AUTH = "off"\n{empty_database}')
    with closing(Catalog(Workspace.open(tmp_path / "ws").database_url)) as catalog:
        yield catalog


def schemas_on_the_way(catalog: Catalog, target: str) -> dict[str, set[tuple[Any, ...]]]:
    """Migrate step by step; returns the schema at each migration that was reached, by its id."""
    found: dict[str, set[tuple[Any, ...]]] = {}
    settings = config(catalog.engine)
    scripts = ScriptDirectory.from_config(settings)

    def steps(present: Any, _context: object) -> Sequence[Any]:
        up = not present or target == "head"
        steps: Sequence[Any] = (scripts._upgrade_revs if up else scripts._downgrade_revs)(target, present or "base")
        return steps

    with catalog.engine.execution_options(mrseg_writes=True).connect() as connection:

        def note(**applied: Any) -> None:
            found[next(iter(applied["heads"]), "base")] = schema_of(connection)

        with EnvironmentContext(settings, scripts, fn=steps) as environment:
            environment.configure(connection=connection, fn=steps, on_version_apply=note)  # type: ignore[arg-type]
            with environment.begin_transaction():
                environment.run_migrations()
        connection.commit()
    return found


def test_each_step_back_leaves_the_schema_of_the_step_before(empty: Catalog) -> None:
    fill_0002(empty, ROWS)
    with empty.engine.connect() as connection:
        at_first = rows_of(connection, without=VERSIONS)
    up = schemas_on_the_way(empty, "head")
    with empty.engine.connect() as connection:
        newest = rows_of(connection, without=VERSIONS | RENEWED)
    down = schemas_on_the_way(empty, "0002")
    assert len(down) == len(up) and down.keys() - {"0002"} == up.keys() - {max(up)}
    assert {name for name in down.keys() & up.keys() if down[name] != up[name]} == set()
    with empty.engine.connect() as connection:
        again = rows_of(connection, without=VERSIONS)
        assert again == at_first
    # The names of before stay what they were, up again too, and down to nothing.
    empty.upgrade()
    with empty.engine.connect() as connection:
        assert rows_of(connection, without=VERSIONS | RENEWED) == newest
        assert schema_of(connection) == up[max(up)]
    command.downgrade(config(empty.engine), "base")
    with empty.engine.connect() as connection:
        assert rows_of(connection, without=VERSIONS) == {}


def test_a_study_keeps_what_the_last_release_can_hold(tmp_path: Path) -> None:
    with study(tmp_path) as workspace:
        catalog = workspace.catalog
        with catalog.engine.connect() as connection:
            before = rows_of(connection, without=VERSIONS)
        downgrade(catalog.engine, SAME_NAMES)
        assert migration_state(catalog.engine)[0] == SAME_NAMES
        with catalog.engine.connect() as connection:
            old = rows_of(connection, without=VERSIONS)
        check_kept(before, old)
        assert all(job["kind"] in ("presegment", "measure_effort", "import_mask", "train_round") for job in old["jobs"])
        downgrade(catalog.engine, LAST_RELEASE)
        catalog.upgrade()
        with catalog.engine.connect() as connection:
            check_kept(old, rows_of(connection, without=VERSIONS))
            assert connection.execute(text("SELECT sum(cases) FROM case_counts")).scalar_one() == len(
                before["acquisitions"]
            )


def check_kept(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> None:
    """Compare the rows of tables and columns that both have."""
    for table in before.keys() & after.keys() - RENEWED:
        if before[table] and after[table]:
            shared = before[table][0].keys() & after[table][0].keys()
            first, second = (
                sorted(repr([(name, row[name]) for name in sorted(shared)]) for row in one[table])
                for one in (before, after)
            )
            assert first == second, table
        else:
            assert before[table] == after[table] or table in ("credentials",), table


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE participants SET evaluation_only = true", "serve evaluation alone"),
        ("UPDATE assignments SET blind = 'gold'", "blind readings"),
        (
            "UPDATE acquisitions SET propagates = false, annotated_at = created_at",
            "channels that they must not be given to",
        ),
        (
            "INSERT INTO unfinished_deletions (id, actor, traces, counts, started_at) VALUES ('d', 'a', '{}', '{}', '2026-01-02 03:04:05')",
            "deletions of participants unfinished",
        ),
    ],
)
def test_what_the_older_version_would_take_for_annotations_is_refused(
    empty: Catalog, change: str, problem: str
) -> None:
    fill_0002(empty, ROWS)
    empty.upgrade()
    with empty.engine.execution_options(mrseg_writes=True).begin() as connection:
        connection.execute(text(change))
        before = rows_of(connection)
        schema = schema_of(connection)
    with pytest.raises(Conflict, match=problem):
        downgrade(empty.engine, LAST_RELEASE)
    with empty.engine.connect() as connection:  # all or nothing
        assert rows_of(connection) == before and schema_of(connection) == schema
    empty.check_current()


def test_only_an_earlier_migration_can_be_gone_back_to(empty: Catalog) -> None:
    empty.upgrade()
    for wrong in ("0000", "head", migration_state(empty.engine)[1]):
        with pytest.raises(InvalidInput, match="no migration|only go back"):
            downgrade(empty.engine, wrong)


def test_the_command_goes_back_when_nobody_is_at_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Workspace.init(tmp_path / "ws")
    with closing(open_workspace(tmp_path / "ws")) as workspace:
        with workspace.catalog.begin() as session:
            heartbeats.record(session, "server here", now(), now())
        command_line = ["downgrade", LAST_RELEASE, "--workspace", str(tmp_path / "ws")]
        with pytest.raises(SystemExit):
            main(command_line)
        assert "stop them all" in capsys.readouterr().err
        with workspace.catalog.begin() as session:
            heartbeats.record(session, "server here", now(), now() - timedelta(seconds=200))
            session.add(Round(number=1, state=RoundState.TRAINING, profile="tiny"))
        with pytest.raises(SystemExit):
            main(command_line)
        assert "mrseg-label rounds cancel 1" in capsys.readouterr().err
        with workspace.catalog.begin() as session:
            session.get_one(Round, 1).state = RoundState.CANCELLED
        with suppress(SystemExit):
            main(command_line)
        assert f"at migration {LAST_RELEASE}" in capsys.readouterr().out
        assert migration_state(workspace.catalog.engine)[0] == LAST_RELEASE
    with pytest.raises(SystemExit) as ended:
        main(["upgrade", "--workspace", str(tmp_path / "ws")])
    assert ended.value.code == 0
