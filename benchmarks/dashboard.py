"""The dashboard's pages at a million examinations: milliseconds of HTML, and the plans of their statements.

uv run python -m benchmarks.dashboard [--quick] [--database URL] [--keep FOLDER]

Makes a catalogue (41,667 participants, six stations, four channels; cases in every state: benchmarks/filled_catalog.py), then asks the
server's application for the overview and for the list of examinations with every filter, in every order, first page, next
and previous ones. The database is SQLite unless a URL of an empty PostgreSQL database is given. Each figure is the median of
several requests in this process, from the request to the last byte of HTML.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

from sqlalchemy import event
from starlette.testclient import TestClient

from benchmarks.filled_catalog import fill
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.tables import Examination, Participant
from mrseg_label.catalog.types import CaseState, Priority
from mrseg_label.reports.examinations import SORTS
from mrseg_label.workspace import Workspace

ROWS, QUICK_ROWS = 1_000_000, 20_000
FIRST_PAGE_MS, LIST_MS = 300, 500
REPEATS = 3
FILTERS = (
    "",
    *(f"state={state}" for state in CaseState),
    *(f"priority={priority}" for priority in Priority),
    "station=pelvis",
    "station=nowhere",
    "sequence=water",
    "sequence=T2",  # of a dozen images
    "station=pelvis&sequence=T2",
    "station=pelvis&sequence=water&state=annotated",
    "sequence=fat&state=waiting&priority=high",
    "station=legs&state=excluded",
)


@dataclass
class Statements:
    """The statements that a request sent to the database, each once, with values to explain it by."""

    catalog: Any
    found: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def kept(self) -> Iterator[None]:
        def keep(_connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
            if not many and statement.lstrip().upper().startswith(("SELECT", "WITH")):
                self.found.setdefault(statement, values)

        event.listen(self.catalog.engine, "before_cursor_execute", keep)
        try:
            yield
        finally:
            event.remove(self.catalog.engine, "before_cursor_execute", keep)

    def print_plans(self) -> None:
        """Print the plan of each statement about examinations and cases."""
        explain = "EXPLAIN QUERY PLAN " if self.catalog.is_sqlite else "EXPLAIN "
        with self.catalog.engine.connect() as connection:
            for statement, values in self.found.items():
                if not re.search(r"\b(examinations|acquisitions)\b", statement):
                    continue
                print(
                    f"\n{' '.join(re.sub(r'^SELECT .*? FROM', 'SELECT ... FROM', statement, flags=re.S).split())[:600]}"
                )
                for row in connection.exec_driver_sql(explain + statement, values):
                    print(f"    {row[-1]}")


@dataclass
class Client:
    """Asks for pages and times them."""

    http: TestClient
    slowest: dict[str, float] = field(default_factory=dict)
    slowest_cpu: dict[str, float] = field(default_factory=dict)  # of this process

    def measure(self, kind: str, path: str, data: dict[str, str] | None = None) -> str:
        """Ask for a page several times; return its text."""
        seconds, processor, body = [], [], ""
        for _ in range(REPEATS):
            begin, busy = time.perf_counter(), time.process_time()
            reply = self.http.get(path) if data is None else self.http.post(path, data=data)
            seconds.append(time.perf_counter() - begin)
            processor.append(time.process_time() - busy)
            if reply.status_code != 200:
                raise SystemExit(f"{path}: {reply.status_code} {reply.text[:300]}")
            body = reply.text
        milliseconds = 1000 * statistics.median(seconds)
        self.slowest[kind] = max(self.slowest.get(kind, 0.0), milliseconds)
        cpu = 1000 * statistics.median(processor)
        self.slowest_cpu[kind] = max(self.slowest_cpu.get(kind, 0.0), cpu)
        print(f"{milliseconds:7.0f} ms ({cpu:.0f} ms of CPU)  {path if len(path) < 150 else path[:147] + '...'}")
        return body


def link(page: str, relation: str) -> str | None:
    """Find the address of the next or the previous page."""
    found = re.search(rf'<a href="([^"]+)" rel="{relation}"', page)
    return unescape(found[1]) if found else None


def measure_list(client: Client) -> None:
    """Ask for the list with every filter in every order: first page, two on, one back, and from the other end."""
    for wanted in FILTERS:
        for sort in SORTS:
            first = client.measure("list", f"/dashboard/examinations?{wanted}&sort={sort}".replace("?&", "?"))
            page, address = first, link(first, "next")
            for _ in range(2):
                if address is None:
                    break
                page = client.measure("list", address)
                address = link(page, "next")
            back = link(page, "prev")
            if back is not None:
                client.measure("list", back)
    token = re.findall(r'name="form_token" value="(\w+)"', client.measure("list", "/dashboard/examinations"))[0]
    client.measure("list", "/dashboard/examinations/search", {"form_token": token, "participant": "P0000777"})


def run(workspace: OpenedWorkspace, rows: int) -> None:
    """Fill the workspace's catalogue, unless it is filled, and measure."""
    from mrseg_monailabel.protocol_app import ProtocolApp
    from mrseg_monailabel.server import build

    catalog = workspace.catalog
    with catalog.read() as session:
        empty = session.query(Participant).first() is None
    if empty:
        fill(catalog, rows)
    with catalog.read() as session:
        present = session.query(Examination).count()
    application = build(ProtocolApp(workspace))
    http = TestClient(application, "http://127.0.0.1", headers={"Accept": "text/html", "Origin": "http://127.0.0.1"}, client=("127.0.0.1", 50000))  # fmt: skip
    client, statements = Client(http), Statements(catalog)
    client.measure("warm-up", "/dashboard/connect")
    with statements.kept():
        client.measure("overview", "/dashboard")
        measure_list(client)
    statements.print_plans()
    busy = ", ".join(f"{kind} {value:.0f} ms" for kind, value in client.slowest_cpu.items())
    print(f"\nCPU of the slowest page of each kind: {busy}")
    print(f"overview: {client.slowest['overview']:.0f} ms of {FIRST_PAGE_MS} ms at {present:,} rows")
    print(f"dashboard: {client.slowest['list']:.0f} ms of {LIST_MS} ms at {present:,} rows")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} rows")
    parser.add_argument("--database", metavar="URL", help="an empty PostgreSQL database instead of SQLite")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="a workspace to make, or to measure again")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary) / "workspace"
        database = f'DATABASE_URL = "{options.database}"\n' if options.database else ""
        if not folder.exists():
            Workspace.init(folder, settings_text=f'AUTH = "off"\nWORKERS = 0\n{database}')
        workspace = open_workspace(folder)
        try:
            run(workspace, QUICK_ROWS if options.quick else ROWS)
        finally:
            workspace.close()


if __name__ == "__main__":
    main()
