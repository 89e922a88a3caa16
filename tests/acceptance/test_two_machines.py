"""A round on two machines ends although one of them disappears in the middle of a fold, and the scheduler after it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.queries import models, training
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.tables import Job, ModelVersion
from mrseg_label.catalog.types import FoldState, JobState, RoundState
from mrseg_label.rounds import service
from mrseg_label.workspace import Workspace
from tests.support.nnunet_cases import SCHEME
from tests.support.postgresql import new_database, require_server, temporary_server
from tests.support.process_trees import any_running, descendants_of, wait_until
from tests.support.round_cases import NAMES, annotate
from tests.support.two_machines import Machine, on, reason_not_possible, two_machines

SETTINGS = """\
AUTH = "off"
WORKERS = 0
PREPARE_AHEAD = 0
TRAINING_PROFILE = "smoke"
DEVICE = "cpu"
DASK_SCHEDULER = "tcp://{host}:8786"
DATABASE_URL = "{database}"
"""


class Cluster:
    """The processes of both machines, with their logs."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack

    def start(self, machine: Machine, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a program on a machine; it is killed at the end of the test."""
        output = self.stack.enter_context((self.folder / f"{name}.log").open("ab"))
        process = machine.start([sys.executable, "-m", *command], output)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    def start_scheduler(self, machine: Machine) -> subprocess.Popen[bytes]:
        """Start Dask's own scheduler."""
        program = "distributed.cli.dask_scheduler"
        return self.start(machine, "scheduler", program, "--host", machine.address, "--port", "8786", "--no-dashboard")

    def join(self, machine: Machine, root: Path) -> subprocess.Popen[bytes]:
        """Have a machine join the cluster, with a GPU that nobody looks for."""
        arguments = ("worker", "--dask", "--gpus", "1", "--workspace", str(root))
        return self.start(machine, machine.name, "mrseg_label.cli", *arguments)


@pytest.fixture
def machines() -> Iterator[tuple[Machine, Machine]]:
    reason = reason_not_possible()
    if reason is not None:
        pytest.skip(reason)
    with two_machines() as made:
        yield made


@pytest.fixture
def postgresql_folder() -> Iterator[Path]:
    require_server()
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:  # the path of a socket must be short
        Path(folder).chmod(0o755)
        yield Path(folder) / "server"


def state_of(workspace: OpenedWorkspace, number: int) -> RoundState:
    with workspace.catalog.read() as session:
        row = rows.get(session, number)
        assert row is not None
        assert row.state is not RoundState.FAILED, row.error
        return row.state


def folds_at(workspace: OpenedWorkspace, number: int, machine: Machine) -> dict[int, Job]:
    """The jobs of the folds that a machine is training, by fold."""
    found = {}
    with workspace.catalog.read() as session:
        for fold in training.folds(session, number):
            job = job_rows.get(session, fold.job_id or "")
            if job is not None and job.state is JobState.RUNNING and (job.owner or "").startswith(machine.name):
                found[fold.fold] = job
    return found


@pytest.mark.soak
@pytest.mark.timeout(420)
def test_a_round_ends_although_a_machine_and_the_scheduler_disappear(
    machines: tuple[Machine, Machine], tmp_path: Path, postgresql_folder: Path
) -> None:
    first, second = machines
    with ExitStack() as stack:
        server = stack.enter_context(temporary_server(postgresql_folder, on(first), first.address))
        local = new_database(server)
        (tmp_path / "labels.tsv").write_text(SCHEME.text)
        settings = SETTINGS.format(host=first.address, database="{}")
        root = tmp_path / "ws"
        Workspace.init(root, tmp_path / "labels.tsv", settings.format(local))
        workspace = open_workspace(root)  # by the socket, which a cut cable does not reach
        stack.callback(workspace.close)
        for seed in range(1, 7):
            annotate(workspace, tmp_path, seed, NAMES, held_out=seed == 6)
        # What runs on the two machines reaches the database through the cable alone.
        name = local.partition("@/")[2].partition("?")[0]
        (root / "mrseg.toml").write_text(settings.format(f"postgresql://mrseg@{first.address}/{name}"))

        cluster = Cluster(tmp_path, stack)
        scheduler = cluster.start_scheduler(first)
        cluster.start(first, "server", "mrseg_label.cli", "serve", "--workspace", str(root), "--port", "8000")
        lost = cluster.join(second, root)
        number = service.start(workspace, final=True)
        # The worker process, the supervisor of the training and the training.
        wait_until(lambda: bool(folds_at(workspace, number, second)) and len(descendants_of(lost.pid)) >= 3, 120)
        [(fold, interrupted)] = folds_at(workspace, number, second).items()
        at_work = descendants_of(lost.pid)
        kept = cluster.join(first, root)

        first.cut()
        wait_until(lambda: not any_running(at_work), 60)  # by themselves, before anybody else takes the fold
        assert folds_at(workspace, number, second)[fold].lease_token == interrupted.lease_token
        wait_until(lambda: bool(folds_at(workspace, number, first)), 60)

        scheduler.kill()
        scheduler.wait()
        wait_until(lambda: not folds_at(workspace, number, first), 30)  # given back
        wait_until(lambda: not descendants_of(kept.pid), 30)  # the worker that gave it back is ending
        cluster.start_scheduler(first)
        wait_until(lambda: state_of(workspace, number) is RoundState.DONE, 240)

        with workspace.catalog.read() as session:
            folds = training.folds(session, number)
            assert [one.state for one in folds] == [FoldState.DONE] * 5
            deaths = {one.fold: job_rows.get(session, one.job_id or "").deaths for one in folds}  # type: ignore[union-attr]
            assert deaths == {one.fold: int(one.fold == fold) for one in folds}  # what was given back does not count
            assert [version.version for version in session.query(ModelVersion) if version.path] == ["r1"]
            version, row = models.get(session, "r1"), rows.get(session, number)
            assert version is not None and row is not None and version.round_number == number
            assert version.dataset_digest == row.snapshot_digest
