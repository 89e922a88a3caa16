"""Fifty radiologists at once, two server processes on PostgreSQL, while rounds train.

uv run python -m benchmarks.load [--quick] [--minutes M] [--readers N] [--pause FROM TO] [--full-speed] [--profile NAME]

Makes a study on a PostgreSQL of its own, serves it with ``mrseg-label serve --processes 2`` and a worker, which trains rounds
as the cases come in, and lets Locust's users work (benchmarks/radiologists.py). A correction takes 30 to 60 s unless
``--pause`` says otherwise; at ``--full-speed`` it takes no time. Prints the seconds of every request. Exit code 1 if a request
failed, a case was assigned twice, an acknowledged submission was lost, or no round trained.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from sqlalchemy import func, select

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import rounds
from mrseg_label.catalog.tables import Annotation, Assignment, Round
from mrseg_label.catalog.types import AssignmentOutcome, Role, RoundState
from mrseg_label.simulation.server import Server
from mrseg_label.workspace import Workspace
from tests.support.busy_study import Study, exported_masks, fill
from tests.support.postgresql import new_database, temporary_server

PASSWORD = "a long enough password"
READERS, PROCESSES, ROUND_SIZE = 50, 2, 8
FASTEST_CASE_S = 3.0  # at full speed: the study has so many cases that none is left over sooner
LIMITS_S = {"next case": 0.1, "submission": 1.0}  # of the 95th percentile
_SPAWNED_PER_SECOND = 2
_STATES_READ_EVERY_S = 0.5
# Drafts stay those that there are: making them anew is work for a GPU. What each round learns is no matter here.
SETTINGS = f'ROUND_SIZE = {ROUND_SIZE}\nPROMOTION = "manual"\nPREPARE_AHEAD = 0\nMIXTURE = ""\n'


@dataclass(frozen=True)
class Load:
    """How much work there is.

    Attributes
    ----------
    pause : shortest and longest time that a correction takes, s.
    """

    readers: int = READERS
    seconds: float = 600.0
    pause: tuple[float, float] = (30.0, 60.0)
    profile: str = "tiny"

    @property
    def cases(self) -> int:
        """So many that some are left over in the end."""
        return int(self.readers * (self.seconds / max(self.pause[0], FASTEST_CASE_S) + 2))


@dataclass
class Outcome:
    """What happened.

    Attributes
    ----------
    seconds : that each request took, by name.
    errors : of requests, and of what is in the database afterwards.
    training_share : for how much of the time a round was planned, trained or evaluated.
    rounds : how many ended in which state, or had not ended.
    cpu_seconds : of the programs that took part; those of processes that ended before are left out where nobody waited for them.
    """

    seconds: dict[str, list[float]]
    errors: list[str]
    training_share: float
    rounds: dict[str, int]
    cpu_seconds: dict[str, float]

    def __str__(self) -> str:
        lines = [f"{'':20} {'n':>6} {'median':>9} {'p95':>9} {'p99':>9} {'longest':>9}"]
        for name, taken in self.seconds.items():
            p50, p95, p99 = (1000 * np.percentile(taken, (50, 95, 99))).tolist()
            lines.append(
                f"{name:20} {len(taken):6} {p50:6.0f} ms {p95:6.0f} ms {p99:6.0f} ms {1000 * max(taken):6.0f} ms"
            )
        ended = ", ".join(f"{count} {state}" for state, count in self.rounds.items()) or "none"
        lines.append(f"rounds: {ended}; one was under way for {self.training_share:.0%} of the time")
        lines.append("CPU, s: " + ", ".join(f"{name} {spent:.0f}" for name, spent in self.cpu_seconds.items()))
        return "\n".join([*lines, *(f"error: {error}" for error in self.errors[:20])])


def run(folder: Path, database: str, load: Load) -> Outcome:
    """Fill an empty folder and an empty PostgreSQL database with a study, and let radiologists work on it.

    Raises
    ------
    Unavailable
        The server could not be started.
    """
    settings = f'{SETTINGS}TRAINING_PROFILE = "{load.profile}"\nDATABASE_URL = "{database}"\n'
    Workspace.init(folder / "ws", settings_text=settings)
    workspace = open_workspace(folder / "ws")
    try:
        for number in range(load.readers):
            accounts.add(workspace.catalog, f"reader-{number}", Role.RADIOLOGIST, password=PASSWORD, actor="benchmark")
        study = Study.of_phantom()
        fill(workspace, folder, load.cases, study)
        _export_masks(workspace, study, folder / "masks")
        watch = _RoundWatch(workspace)
        with Server(workspace.root, folder / "serve.log", processes=PROCESSES) as server:
            before = _cpu_seconds(server.pid)
            watch.start()
            seconds, errors = _work(server.url, folder, load)
            watch.stop()
            spent = {name: total - before.get(name, 0) for name, total in _cpu_seconds(server.pid).items()}
        errors += _contradictions(workspace, seconds)
        return Outcome(seconds, errors, watch.share, _rounds_by_state(workspace), spent)
    finally:
        workspace.close()


def _export_masks(workspace: OpenedWorkspace, study: Study, folder: Path) -> None:
    folder.mkdir()
    exported_masks(folder, study)
    (folder / "names.json").write_text(json.dumps(list(workspace.scheme.names)))


def _work(url: str, folder: Path, load: Load) -> tuple[dict[str, list[float]], list[str]]:
    """Let the radiologists work; returns the seconds of each request by its name, and what went wrong."""
    written = folder / "seconds.json"
    users = Path(__file__).with_name("radiologists.py")
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(users),
        "--headless",
        "--only-summary",
        "--loglevel",
        "WARNING",
        "--host",
        url,
    ]
    command += ["--users", str(load.readers), "--spawn-rate", str(_SPAWNED_PER_SECOND)]
    command += ["--run-time", f"{load.seconds:.0f}s", "--stop-timeout", "30"]
    command += ["--masks", str(folder / "masks"), "--password", PASSWORD, "--seconds-file", str(written)]
    command += ["--pause", *map(str, load.pause)]
    with (folder / "locust.log").open("wb") as log:
        ended = subprocess.run(command, stdout=log, stderr=log, env=os.environ, check=False)
    if not written.is_file():
        return {}, [
            f"Locust ended with {ended.returncode}: {(folder / 'locust.log').read_text(errors='replace')[-2000:]}"
        ]
    found = json.loads(written.read_text())
    return found["seconds"], found["errors"]


def _cpu_seconds(server: int) -> dict[str, float]:
    """CPU seconds so far of the server's processes, of its workers, of PostgreSQL's, and of our own ended children (Locust)."""
    found = dict.fromkeys(("server", "workers", "PostgreSQL", "Locust"), 0.0)
    first = psutil.Process(server)
    answering = {first, *(one for one in first.children() if "further_process" in " ".join(one.cmdline()))}
    for process in {first, *first.children(recursive=True)}:
        found["server" if process in answering else "workers"] += _spent(process, of_children=process not in answering)
    for process in psutil.Process().children(recursive=True):
        if process.name().startswith("postgres"):
            found["PostgreSQL"] += _spent(process, of_children=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found["Locust"] = used.ru_utime + used.ru_stime
    return found


def _spent(process: psutil.Process, *, of_children: bool) -> float:
    times = process.cpu_times()
    own = float(times.user + times.system)
    return own + float(times.children_user + times.children_system) if of_children else own


def _contradictions(workspace: OpenedWorkspace, seconds: dict[str, list[float]]) -> list[str]:
    """Compare what the radiologists were told with what is in the database."""
    found = []
    with workspace.catalog.read() as session:
        assigned = Counter(session.scalars(select(Assignment.acquisition_id)))
        found += [f"case {case} was assigned {count} times" for case, count in assigned.items() if count > 1]
        submitted = session.scalars(select(func.count()).select_from(Annotation)).one()
        of_others = session.scalars(
            select(func.count())
            .select_from(Annotation)
            .join(Assignment, Assignment.id == Annotation.assignment_id)
            .where(Annotation.author != Assignment.account)
        ).one()
        closed = session.scalars(
            select(func.count()).select_from(Assignment).where(Assignment.outcome == AssignmentOutcome.SUBMITTED)
        ).one()
    acknowledged = len(seconds.get("submission", ()))
    # A radiologist who was stopped may have sent one that was not answered any more.
    if submitted < acknowledged or closed != submitted:
        found.append(f"{acknowledged} submissions were acknowledged, {submitted} recorded, {closed} assignments closed")
    if of_others:
        found.append(f"{of_others} annotations are of cases that another reader had")
    return found


def _rounds_by_state(workspace: OpenedWorkspace) -> dict[str, int]:
    with workspace.catalog.read() as session:
        return dict(Counter(str(state) for state in session.scalars(select(Round.state))))


@dataclass
class _RoundWatch:
    """Looks every now and then whether a round is under way."""

    workspace: OpenedWorkspace
    looks: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="round-watch")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    @property
    def share(self) -> float:
        """Of the looks at which a round was under way."""
        return sum(self.looks) / max(1, len(self.looks))

    def _watch(self) -> None:
        while not self._stopping.wait(_STATES_READ_EVERY_S):
            with self.workspace.catalog.read() as session:
                active = rounds.active(session)
            self.looks.append(active is not None and active.state is not RoundState.QUEUED)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one minute, and rounds of the profile smoke")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--readers", type=int, default=READERS)
    parser.add_argument("--pause", type=float, nargs=2, default=(30.0, 60.0), metavar=("FROM", "TO"), help="seconds")
    parser.add_argument("--full-speed", action="store_true", help="corrections take no time")
    parser.add_argument("--profile", default="tiny", help="how rounds train")
    options = parser.parse_args(arguments)
    minutes, profile = (1.0, "smoke") if options.quick else (options.minutes, options.profile)
    pause = (0.0, 0.0) if options.full_speed else (options.pause[0], options.pause[1])
    load = Load(options.readers, 60 * minutes, pause, profile)
    with tempfile.TemporaryDirectory(prefix="load-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs under a user of its own
        with temporary_server(folder / "pg") as server:
            outcome = run(folder, new_database(server), load)
    print(outcome)
    if outcome.errors or not outcome.rounds or RoundState.FAILED in outcome.rounds:
        raise SystemExit(1)
    p95 = {what: 1000 * float(np.percentile(outcome.seconds[what], 95)) for what in LIMITS_S}
    told = ", ".join(f"{what} {p95[what]:.0f} ms of {1000 * limit:.0f} ms" for what, limit in LIMITS_S.items())
    print(f"load: {load.readers} readers, 95th percentile of {told}")


if __name__ == "__main__":
    main()
