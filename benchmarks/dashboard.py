"""The dashboard's pages at a million examinations: milliseconds of HTML, and the plans of their statements.

uv run python -m benchmarks.dashboard [--quick] [--database URL] [--keep FOLDER]

Makes a catalogue in its own form (41,667 participants, six stations, four channels; cases in every state), then asks the
server's application for the overview and for the list of examinations with every filter, in every order, first page, next
and previous ones. The database is SQLite unless a URL of an empty PostgreSQL database is given. Each figure is the median of
several requests in this process, from the request to the last byte of HTML.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

from sqlalchemy import event, insert
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import models
from mrseg_label.catalog.tables import Acquisition, Annotation, Assignment, Examination, Participant
from mrseg_label.catalog.types import AnnotationState, CaseState, Priority, SwapState
from mrseg_label.clock import now
from mrseg_label.ids import new_id, new_ticket
from mrseg_label.reports.examinations import SORTS
from mrseg_label.workspace import Workspace

STATIONS = ("neck", "thorax", "abdomen", "pelvis", "thighs", "legs")
CHANNELS = ("in", "opp", "fat", "water")
ROWS, QUICK_ROWS = 1_000_000, 20_000
FIRST_PAGE_MS, LIST_MS = 300, 500
REPEATS = 3
PEOPLE_AT_ONCE = 2000
GEOMETRY = {
    "shape": [224, 174, 44],
    "affine": [[2.2, 0, 0, -250.0], [0, 2.2, 0, -190.0], [0, 0, 4.5, 0], [0, 0, 0, 1]],
    "spacing_mm": [2.2, 2.2, 4.5],
    "axcodes": "RAS",
}
START = datetime(2026, 1, 1, tzinfo=UTC)
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


def make(session: Session, rows: int) -> None:
    """Fill the catalogue: by statements of many rows, with the triggers that keep it."""
    draw = random.Random(5)
    models.ensure_bootstrap(session)
    people = -(-rows // (len(STATIONS) * len(CHANNELS)))
    for start in range(0, people, PEOPLE_AT_ONCE):
        tables: dict[Any, list[dict[str, Any]]] = {Participant: [], Acquisition: [], Examination: []}
        for number in range(start, min(people, start + PEOPLE_AT_ONCE)):
            _add_person(tables, draw, number, number < people // 20)
        for table, values in tables.items():
            session.execute(insert(table), values)
        print(f"{min(people, start + PEOPLE_AT_ONCE):,} of {people:,} participants", file=sys.stderr)
    _add_work(session, draw)


def _add_person(tables: dict[Any, list[dict[str, Any]]], draw: random.Random, number: int, annotated: bool) -> None:
    person, moment = new_id("pt"), START + timedelta(minutes=number)
    tables[Participant].append(
        {"id": person, "code": f"P{number:06}", "held_out": number % 5 == 0, "created_at": moment}
    )
    for station in STATIONS:
        case, primary, chance = new_id("aq"), new_id("ex"), draw.random()
        excluded = chance < 0.01
        tables[Acquisition].append(
            {
                "id": case,
                "participant_id": person,
                "key": f'["P{number:06}", "", "{station}", 1]',
                "station": station,
                "sequence": CHANNELS[0],
                "primary_examination_id": None if chance > 0.9999 else primary,
                "annotated_at": moment if annotated and not excluded else None,
                "excluded_at": moment if excluded else None,
                "excluded_by": "root" if excluded else None,
                "excluded_reason": "motion" if excluded else None,
                "shuffle": draw.random(),
                "priority": Priority.HIGH
                if 0.5 < chance < 0.502
                else Priority.LOW
                if chance < 0.012
                else Priority.NORMAL,
                "created_at": moment,
            }
        )
        for place, channel in enumerate(CHANNELS):
            digest = f"{draw.getrandbits(256):064x}"
            tables[Examination].append(
                {
                    "id": primary if place == 0 else new_id("ex"),
                    "acquisition_id": case,
                    "sequence": "T2" if number % 4000 == 7 and channel == "opp" else channel,
                    "source": f"/data/P{number:06}/{station}_{channel}.nii.gz",
                    "source_digest": digest,
                    "path": f"images/P{number:06}/{case}_{channel}.nii.gz",
                    "digest": digest,
                    "fingerprint": digest,
                    "geometry": GEOMETRY,
                    "warnings": [],
                    "swap": SwapState.SUSPECTED if chance > 0.999 else None,
                    "created_at": moment,
                }
            )


def _add_work(session: Session, draw: random.Random) -> None:
    """Let readers have some cases, and annotations await review."""
    waiting = session.query(Acquisition).filter(Acquisition.annotated_at.is_(None), Acquisition.excluded_at.is_(None))
    cases = [case for case in waiting.limit(4000) if case.primary_examination_id]
    chosen = draw.sample(cases, min(500, len(cases) // 2))
    for case in chosen[: len(chosen) // 2]:
        session.add(Assignment(ticket=new_ticket(), acquisition_id=case.id, client="ada", expires_at=now() + timedelta(days=2)))  # fmt: skip
    done = session.query(Acquisition).filter(Acquisition.annotated_at.is_not(None))
    for case in [*chosen[len(chosen) // 2 :], *done]:
        submitted = case.annotated_at is None
        session.add(
            Annotation(
                acquisition_id=case.id,
                examination_id=case.primary_examination_id or "",
                number=1,
                state=AnnotationState.SUBMITTED if submitted else AnnotationState.ACCEPTED,
                author="ada",
                client="ada",
                path=f"annotations/{case.id}.nii.gz",
                digest="0" * 64,
                upload_path=f"annotations/{case.id}.seg.nrrd",
                upload_digest="0" * 64,
                seconds=700.0,
                created_at=case.created_at,
            )
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
    client.measure("list", "/dashboard/examinations/search", {"form_token": token, "participant": "P000777"})


def run(workspace: OpenedWorkspace, rows: int) -> None:
    """Fill the workspace's catalogue, unless it is filled, and measure."""
    from mrseg_monailabel.protocol_app import ProtocolApp
    from mrseg_monailabel.server import build

    catalog = workspace.catalog
    with catalog.begin() as session:
        if session.query(Participant).first() is None:
            make(session, rows)
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
