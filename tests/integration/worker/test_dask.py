"""Dask places worker processes: the rows stay the truth, whatever becomes of its scheduler and its workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.catalog.tables import Job
from mrseg_label.catalog.types import JobState
from mrseg_label.errors import Unavailable
from mrseg_label.intake.service import import_paths
from mrseg_label.jobs import enqueue, queue
from mrseg_label.maintenance.checks.check import State
from mrseg_label.maintenance.checks.dask import check_dask
from mrseg_label.presegmentation.service import presegmentation_for
from mrseg_label.worker.dask.placer import Placer
from mrseg_label.worker.dask.slurm import SlurmJobs, job_script, jobs_wanted
from mrseg_label.workspace import Workspace
from tests.integration.conftest import write_image
from tests.support.postgresql import new_database
from tests.support.process_trees import any_running, descendants_of, wait_until

NODE = [sys.executable, "-m", "mrseg_label.cli", "worker", "--dask", "--gpus", "0", "--workspace"]


@pytest.fixture
def workspace(tmp_path: Path, postgresql_server: str) -> Iterator[OpenedWorkspace]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = f'DATABASE_URL = "{new_database(postgresql_server)}"\nDASK_SCHEDULER = "tcp://127.0.0.1:{port}"\nDEVICE = "cpu"\n'
    Workspace.init(tmp_path / "ws", settings_text=settings)
    opened = open_workspace(tmp_path / "ws")
    yield opened
    opened.close()


@contextmanager
def scheduler_of(workspace: OpenedWorkspace) -> Iterator[subprocess.Popen[bytes]]:
    """Dask's own command, at the address of the workspace."""
    port = address_of(workspace).rpartition(":")[2]
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--no-dashboard"]
    with (workspace.logs / "scheduler.log").open("ab") as output:
        process = subprocess.Popen([*command, "--port", port], stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def running(
    workspace: OpenedWorkspace, *command: str, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with (workspace.logs / "node.log").open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def address_of(workspace: OpenedWorkspace) -> str:
    assert workspace.settings.dask_scheduler is not None
    return workspace.settings.dask_scheduler


def add_light_job(workspace: OpenedWorkspace) -> str:
    with workspace.catalog.begin() as session:
        return enqueue(session, queue.PRESEGMENT_PENDING, {}, key=queue.PRESEGMENT_PENDING).id


def job_of(workspace: OpenedWorkspace, job_id: str) -> Job:
    with workspace.catalog.read() as session:
        job = rows.get(session, job_id)
        assert job is not None
        return job


def place_until(workspace: OpenedWorkspace, placer: Placer, job_id: str, state: JobState) -> None:
    """Place work, as the placer's own loop does, until a job is in a state."""
    deadline = time.monotonic() + 60
    while job_of(workspace, job_id).state is not state:
        assert time.monotonic() < deadline, job_of(workspace, job_id).error
        try:
            placer.place()
        except Unavailable:
            placer.close()
        time.sleep(0.3)


@pytest.mark.soak
def test_work_goes_on_when_the_scheduler_comes_back(workspace: OpenedWorkspace) -> None:
    placer = Placer(workspace, address_of(workspace))
    with pytest.raises(Unavailable, match="does not answer"):
        placer.place()
    with running(workspace, *NODE, str(workspace.root)) as node:  # before there is a scheduler
        with scheduler_of(workspace) as scheduler:
            place_until(workspace, placer, add_light_job(workspace), JobState.DONE)
            check = check_dask(workspace, address_of(workspace))
            assert check.state is State.OK and f"{socket.gethostname()} (1 thread)" in check.detail, check
            away = OpenedWorkspace(workspace.root / "away", workspace.settings, workspace.catalog)
            blind = check_dask(away, address_of(away))
            assert blind.state is State.FAILED and f"does not see {away.root}" in (blind.advice or "")
            scheduler.kill()
            scheduler.wait()
            waiting = add_light_job(workspace)
        assert check_dask(workspace, address_of(workspace)).state is State.FAILED
        with scheduler_of(workspace):
            place_until(workspace, placer, waiting, JobState.DONE)
        node.terminate()
        assert node.wait(30) == 0
    placer.close()


def test_the_command_slurm_runs_the_scheduler(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    """Without work it submits nothing, so that a program in place of sbatch is only asked whether it would take a job."""
    command = [sys.executable, "-m", "mrseg_label.cli", "slurm", "--gpus", "0", "--workspace", str(workspace.root)]
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(
        '#!/bin/sh\n[ "$1" = --test-only ] && ! grep -q nowhere "$2" || { echo "invalid partition" >&2; exit 1; }\n'
    )
    sbatch.chmod(0o755)
    environment = {**os.environ, "PATH": f"{sbatch.parent}:{os.environ['PATH']}"}
    refused = subprocess.run([*command, "--partition", "nowhere"], env=environment, capture_output=True, text=True)
    assert refused.returncode == 2 and "Slurm would not take such a job: invalid partition" in refused.stderr
    with running(workspace, *command, environment=environment) as process:
        wait_until(lambda: check_dask(workspace, address_of(workspace)).state is State.WARNING, 60)
        process.terminate()
        assert process.wait(30) == 0


def test_slurms_warning_puts_the_job_back_before_the_time_limit(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    """The script that sbatch is given, run by bash, and SIGTERM to where Slurm sends it: the process of the script."""
    options = SlurmJobs(gpus=2, partition="gpu", account="radiology", time_limit="04:00:00", directives=("--qos=long",))
    before = signal.getsignal(signal.SIGINT)
    text = job_script(workspace, options)
    assert signal.getsignal(signal.SIGINT) is before  # dask_jobqueue takes Ctrl-C for itself when it is imported
    for line in ("-p gpu", "-A radiology", "-t 04:00:00", "--gres=gpu:2", "--signal=B:TERM@120", "--qos=long"):
        assert f"#SBATCH {line}\n" in text, text
    assert "--resources GPU=2" in text
    script = tmp_path / "job.sh"
    script.write_text(job_script(workspace, SlurmJobs(gpus=0)))
    assert jobs_wanted(workspace, options) == 0
    [entry] = import_paths(workspace, [write_image(tmp_path / "image.nii.gz", 1)]).accepted
    with pytest.raises(Unavailable, match="no worker has started"):
        presegmentation_for(workspace, entry.id, wait_seconds=0)
    with workspace.catalog.read() as session:
        [job] = [job for job in rows.list_in_states(session) if job.kind == queue.PRESEGMENT]
    placer = Placer(workspace, address_of(workspace))
    with scheduler_of(workspace), running(workspace, "bash", str(script)) as batch:
        place_until(workspace, placer, job.id, JobState.RUNNING)
        started = descendants_of(batch.pid)
        assert started
        batch.terminate()
        batch.wait(30)
        given_back = job_of(workspace, job.id)
        assert (given_back.state, given_back.attempt, given_back.deaths) == (JobState.QUEUED, 0, 0)
        wait_until(lambda: not any_running(started), 10)
    placer.close()
