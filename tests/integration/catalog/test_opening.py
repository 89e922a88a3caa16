"""Opening a new workspace from many sides at the same time."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from mrseg_label.catalog.migrate import migration_state
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.queries import models
from mrseg_label.workspace import Workspace

pytestmark = pytest.mark.usefixtures("real_migrations")


def test_threads_that_open_a_new_workspace_together_take_turns(tmp_path: Path, empty_database: str) -> None:
    Workspace.init(tmp_path / "ws", settings_text=empty_database)
    count = 6
    found: list[tuple[tuple[str | None, str | None], str]] = []
    failed: list[Exception] = []
    start = threading.Barrier(count)

    def open_it() -> None:
        start.wait()
        try:
            opened = open_workspace(tmp_path / "ws")
            with opened.catalog.read() as session:
                found.append((migration_state(opened.catalog.engine), models.current(session).version))
            opened.catalog.close()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test says it
            failed.append(error)

    threads = [threading.Thread(target=open_it, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads), "opening hangs"
    assert failed == []
    assert len(found) == count
    (((present, head), version),) = set(found)
    assert present == head is not None
    assert version == "bootstrap"


@pytest.mark.postgresql
def test_processes_that_open_a_new_workspace_together_take_turns(tmp_path: Path, empty_database: str) -> None:
    Workspace.init(tmp_path / "ws", settings_text=empty_database)
    program = """
import sys
from pathlib import Path
from mrseg_label.catalog.opening import open_workspace
print(flush=True)
sys.stdin.readline()
open_workspace(Path(sys.argv[1])).close()
"""
    command = [sys.executable, "-c", program, str(tmp_path / "ws")]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    failed = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"now\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        if process.returncode:
            failed.append(errors.decode())
    assert failed == []


@pytest.mark.postgresql
def test_connections_to_postgresql_look_rows_up_rather_than_read_whole_tables(
    tmp_path: Path, empty_database: str
) -> None:
    Workspace.init(tmp_path / "ws", settings_text=empty_database)
    opened = open_workspace(tmp_path / "ws")
    try:
        for unit_of_work in (opened.catalog.read, opened.catalog.begin, opened.catalog.read):
            with unit_of_work() as session:
                shown = [session.scalars(text(f"SHOW {name}")).one() for name in ("random_page_cost", "jit")]
            assert shown == ["1.1", "off"]
    finally:
        opened.close()
