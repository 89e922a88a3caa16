"""The catalogue at 10,000, 100,000 and 1.6 million examinations: milliseconds of what readers wait for.

uv run python -m benchmarks.catalog [--quick] [--database URL] [--rows N]... [--keep FOLDER] [--stock] [--results FILE]

Each catalogue has cases in every state (benchmarks/filled_catalog.py). What is asked: the next case by every strategy, the
bookkeeping of a submission (its transaction and what the job that follows it asks, without decoding and files), what MONAI
Label's clients ask, progress, pages of examinations, model versions, a round. Wall-clock and CPU milliseconds of this
process, median and 99th percentile. The database is SQLite unless the URL of an empty PostgreSQL database is given; with
that, one size. In the end the next case is asked of ours and of MONAI Label's own datastore in turn, at 50,000 images (files
without content); where a size, a database or a folder is named, only with ``--stock``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import generate_latest

from benchmarks.catalog_results import Cost, save
from benchmarks.filled_catalog import fill
from benchmarks.measuring import print_result
from mrseg_label.annotation import record
from mrseg_label.api.prometheus import registry
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import examinations
from mrseg_label.catalog.queries.examination_pages import Place, Sort, SortKey, page
from mrseg_label.catalog.queries.examinations import ExaminationFilter
from mrseg_label.catalog.queries.upcoming import STRATEGIES
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Examination, Participant
from mrseg_label.catalog.types import CaseState, StructureState
from mrseg_label.config import load_settings
from mrseg_label.ids import new_id
from mrseg_label.reports.overview import read_overview
from mrseg_label.reports.performance import read_effort, read_learning_curve
from mrseg_label.reports.progress import read_progress
from mrseg_label.reports.rounds import read_round
from mrseg_label.rounds.service import start_if_due
from mrseg_label.rounds.trigger import is_ahead, keep_ahead
from mrseg_label.segments.decode import Decoded
from mrseg_label.worklist.service import assign_next_case
from mrseg_label.workspace import Workspace

SIZES, QUICK_SIZES = (10_000, 100_000, 1_600_000), (10_000,)
STOCK_IMAGES, QUICK_STOCK_IMAGES = 50_000, 2_000
REPEATS, STOCK_REPEATS = 30, 10
LIMITS_MS = {"next case": 20, "submission": 20, "/info/": 50, "page": 100}


def measure(question: Callable[[], object], repeats: int = REPEATS, at_most_s: float = 10.0) -> Cost:
    """Ask a question several times, fewer times where that takes too long; once before, to warm up."""
    question()
    wall: list[float] = []
    cpu: list[float] = []
    end = time.perf_counter() + at_most_s
    while len(wall) < repeats and (not wall or time.perf_counter() < end):
        begin, busy = time.perf_counter(), time.process_time()
        question()
        wall.append(1000 * (time.perf_counter() - begin))
        cpu.append(1000 * (time.process_time() - busy))
    return Cost(tuple(wall), tuple(cpu))


class Questions:
    """What is asked of a filled workspace."""

    def __init__(self, workspace: OpenedWorkspace) -> None:
        self.workspace = workspace
        self._run, self._reader = new_id("rd"), 0
        self._to_submit = self._waiting()

    def all(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """Every question by its name."""
        from mrseg_monailabel.protocol_app import ProtocolApp

        catalog, app = self.workspace.catalog, ProtocolApp(self.workspace)
        for strategy in STRATEGIES:
            yield f"next case, {strategy}", partial(self.next_case, strategy)
        yield "next case with sign-in", partial(self.next_case, STRATEGIES[0], signed_in=True)
        yield "submission", self.submission
        yield "job after a submission", self.follow_up
        yield "/info/", lambda: app.info(Reader(client="somebody"))
        yield "/datastore/?output=all", lambda: app.datastore().json(Reader(client="somebody"))
        yield "progress", lambda: read_progress(self.workspace)
        yield "overview", lambda: read_overview(self.workspace)
        yield "learning curve", lambda: read_learning_curve(catalog, 50)
        yield "effort", lambda: read_effort(catalog, 50)
        yield "/metrics", lambda: generate_latest(registry(self.workspace))
        yield "a round", lambda: read_round(catalog, 1)
        for name, wanted in FILTERS.items():
            yield f"page, {name}", partial(self.page, wanted)
        yield "page, in the middle of all", lambda: self.page(ExaminationFilter(), deep=True)
        yield (
            "page, in the middle of one state",
            lambda: self.page(ExaminationFilter(state=CaseState.WAITING), deep=True),
        )

    def next_case(self, strategy: str, *, signed_in: bool = False) -> str:
        """The next case of a reader who has none; returns the case."""
        self._reader += 1
        name = f"{self._run}-{self._reader}"
        found = assign_next_case(self.workspace, Reader(client=name, account=name if signed_in else None), strategy)
        assert found is not None, "no case is left"
        return found.acquisition_id

    def _waiting(self) -> list[Examination]:
        with self.workspace.catalog.read() as session:
            found = page(session, ExaminationFilter(state=CaseState.WAITING), self.workspace.catalog.now(session), 1000)
        return list({one.acquisition_id: one for one in found}.values())

    def submission(self) -> None:
        """The transaction of a submission: everything but decoding, files, and the assignment before it."""
        examination = self._to_submit.pop()
        names = self.workspace.scheme.names
        decoded = Decoded(np.zeros((1, 1, 1), np.uint8), dict.fromkeys(names, 100))
        submission = record.Submission(
            examination=examination,
            reader=Reader(client="somebody"),
            decoded=decoded,
            digest=new_id("x"),
            upload_digest="0" * 64,
            presegmentation=None,
            states=dict.fromkeys(names, StructureState.DRAWN),
            report={},
        )
        identifier = new_id("an")
        with self.workspace.catalog.begin() as session:
            number = annotation_rows.next_number(session, examination.acquisition_id)
            paths = (f"annotations/{identifier}.nii.gz", f"annotations/{identifier}.seg.nrrd")
            done = record._record(session, self.workspace, submission, identifier, number, paths)
        assert done is not None

    def follow_up(self) -> None:
        """What the job after a submission asks of the database."""
        catalog, settings = self.workspace.catalog, load_settings(self.workspace.root)
        with catalog.read() as session:
            ready = is_ahead(session, settings, catalog.now(session))
        with catalog.begin() as session:
            start_if_due(session, settings)
            if not ready:
                keep_ahead(session, settings, catalog.now(session))

    def page(self, wanted: ExaminationFilter, *, deep: bool = False) -> None:
        """A page of a list, the number of what it lists, and the page before it, as the dashboard asks for them."""
        with self.workspace.catalog.read() as session:
            moment = self.workspace.catalog.now(session)
            after = Place("", self._middle(session), "") if deep else None
            found = page(session, wanted, moment, 51, Sort(SortKey.STORED), after)
            page(session, wanted, moment, 51, Sort(SortKey.STORED), after, backwards=True)
            examinations.states(session, [one.acquisition_id for one in found], moment)

    def _middle(self, session: Any) -> datetime:
        newest = examinations.newest(session)
        assert newest is not None
        start = datetime(2026, 1, 1, tzinfo=UTC)
        return start + (newest.created_at - start) / 2


FILTERS = {
    "all": ExaminationFilter(),
    "station": ExaminationFilter(station="pelvis"),
    "no match": ExaminationFilter(station="nowhere"),
    "annotated, one sequence": ExaminationFilter(state=CaseState.ANNOTATED, sequence="water"),
    "no match in one state": ExaminationFilter(state=CaseState.NO_IMAGE, sequence="T2"),
    "a participant": ExaminationFilter(participant="P0000077"),
}


def run(workspace: OpenedWorkspace, rows: int, results: Path | None = None) -> None:
    """Fill a workspace's catalogue, unless it is filled, and ask; what was measured goes into a file, if one is named."""
    with workspace.catalog.read() as session:
        empty = session.query(Participant).first() is None
    if empty:
        fill(workspace.catalog, rows)
    begin, busy = time.perf_counter(), time.process_time()
    with open_again(workspace) as opened:
        opened_s = time.perf_counter() - begin, time.process_time() - busy
        kind = "SQLite" if opened.catalog.is_sqlite else "PostgreSQL"
        print(f"\n{rows:,} examinations, {kind}: opened in {opened_s[0]:.2f} s (CPU {opened_s[1]:.2f})", flush=True)
        gc.collect()
        gc.freeze()  # as the server does
        before = resident_mb()
        costs = {}
        for name, question in Questions(opened).all():
            costs[name] = measure(question)
            print(f"  {name:34} {costs[name]}", flush=True)
        if results is not None:
            save(results, kind, rows, costs, opened_s[0], resident_mb())
        print(f"  memory: {before:.0f} MB before, {resident_mb():.0f} MB after, {peak_mb():.0f} MB at most", flush=True)


@contextmanager
def open_again(workspace: OpenedWorkspace) -> Iterator[OpenedWorkspace]:
    """Open a workspace anew, as a start of the server does."""
    opened = open_workspace(workspace.root)
    try:
        yield opened
    finally:
        opened.close()


def resident_mb() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak_mb() -> float:
    """The most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def compare_with_stock(images: int) -> None:
    """Ask ours, and MONAI Label's own datastore and strategy, for the next case in turn, and the latter for the list of all."""
    from monailabel.datastore.local import LocalDatastore
    from monailabel.tasks.activelearning.random import Random

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(images):
            (folder / f"P{number:07}.nii.gz").touch()
        begin = time.perf_counter()
        datastore = LocalDatastore(name, extensions=("*.nii.gz",), auto_reload=False)
        print(
            f"\n{images:,} images, MONAI Label's datastore: opened in {time.perf_counter() - begin:.2f} s", flush=True
        )
        strategy = Random()

        def ask_stock() -> None:  # what MONAI Label's route does: look at the state, choose, and note who got the case
            datastore.status()
            chosen = strategy({"strategy": "random"}, datastore)["id"]
            noted = {"random": {"ts": int(time.time()), "client_id": "somebody"}}
            datastore.update_image_info(chosen, {"strategy": noted})

        def ask() -> None:
            next_case("random")

        listing = measure(lambda: json.dumps(datastore.json()))
        print(f"  {'/datastore/?output=all':34} {listing}", flush=True)
        # Without drafts, since the other has none to order.
        Workspace.init(folder / "ours", settings_text='AUTH = "off"\nWORKERS = 0\nPRESEGMENTATION = "off"\n')
        workspace = open_workspace(folder / "ours")
        try:
            fill(workspace.catalog, images)
            next_case = Questions(workspace).next_case
            ask()
            taken: tuple[list[float], list[float]] = ([], [])
            for _ in range(STOCK_REPEATS):  # in turn, since others may use the machine too
                for seconds, question in zip(taken, (ask, ask_stock), strict=True):
                    busy = time.process_time()
                    question()
                    seconds.append(time.process_time() - busy)
        finally:
            workspace.close()
        ours, stock = (float(np.median(seconds)) for seconds in taken)
        print(f"  next case, random: CPU ours {1000 * ours:.1f} ms, stock {1000 * stock:.1f} ms")
        print_result("catalog", "MONAI Label's datastore", ours, stock)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SIZES[0]:,} examinations")
    parser.add_argument("--rows", type=int, action="append", help="so many examinations; can be repeated")
    parser.add_argument("--database", metavar="URL", help="an empty PostgreSQL database instead of SQLite")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="a workspace to make, or to measure again")
    parser.add_argument("--stock", action="store_true", help="compare with MONAI Label's own datastore too")
    parser.add_argument("--results", metavar="FILE", type=Path, help="where to keep what was measured, as JSON")
    options = parser.parse_args(arguments)
    sizes = options.rows or (QUICK_SIZES if options.quick else SIZES)
    for rows in sizes[-1:] if options.database or options.keep else sizes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = options.keep or Path(temporary) / "workspace"
            database = f'DATABASE_URL = "{options.database}"\n' if options.database else ""
            if not folder.exists():
                Workspace.init(folder, settings_text=f'AUTH = "off"\nWORKERS = 0\n{database}')
            workspace = open_workspace(folder)
            try:
                run(workspace, rows, options.results)
            finally:
                workspace.close()
    if options.stock or not (options.rows or options.database or options.keep):
        compare_with_stock(QUICK_STOCK_IMAGES if options.quick else STOCK_IMAGES)


if __name__ == "__main__":
    main()
