"""A real Slurm runs what is submitted to it: by ``mrseg-label slurm``, and by hand with the script in deploy/slurm."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.types import JobState
from mrseg_label.simulation.server import free_port
from mrseg_label.worker.dask.placer import Placer
from mrseg_label.workspace import Workspace
from tests.integration.worker.test_dask import add_light_job, address_of, job_of, place_until, running
from tests.support.paths import ROOT
from tests.support.postgresql import new_database
from tests.support.process_trees import wait_until
from tests.support.slurm import missing_programs, slurm, temporary_cluster


@pytest.fixture
def cluster() -> Iterator[dict[str, str]]:
    missing = missing_programs() or ([] if os.geteuid() == 0 else ["(only root can run slurmd)"])
    if missing:
        assert not os.environ.get("REQUIRE_SLURM"), f"not installed: {', '.join(missing)}"
        pytest.skip(f"not installed: {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, temporary_cluster(Path(folder) / "c") as made:
        yield made


@pytest.fixture
def workspace(tmp_path: Path, postgresql_server: str) -> Iterator[OpenedWorkspace]:
    settings = f'DATABASE_URL = "{new_database(postgresql_server)}"\nDASK_SCHEDULER = "tcp://127.0.0.1:{free_port()}"\n'
    Workspace.init(tmp_path / "ws", settings_text=f'{settings}DEVICE = "cpu"\nWORKERS = 0\n')
    with closing(open_workspace(tmp_path / "ws")) as opened:
        yield opened


def state_of_jobs(cluster: dict[str, str]) -> str:
    return slurm(cluster, "squeue", "--noheader", "--format=%T")


@pytest.mark.soak
def test_slurm_runs_jobs_while_there_is_work(
    workspace: OpenedWorkspace, cluster: dict[str, str], tmp_path: Path
) -> None:
    root, python = str(workspace.root), [sys.executable, "-m", "mrseg_label.cli"]
    options = ["--gpus", "0", "--cpus", "1", "--memory", "500MB", "--time-limit", "0-00:10:00", "--partition", "gpu"]
    placer = Placer(workspace, address_of(workspace))
    with running(workspace, *python, "slurm", *options, "--workspace", root, environment=cluster) as command:
        done = add_light_job(workspace)
        place_until(workspace, placer, done, JobState.DONE)
        assert "RUNNING" in state_of_jobs(cluster)
        wait_until(lambda: not state_of_jobs(cluster).strip(), 60)  # without work there is no job
        command.terminate()
        assert command.wait(30) == 0
    placer.close()

    # By hand: another machine's worth of options, and the end as at the time limit.
    waiting = add_light_job(workspace)
    program = f"PROGRAM={Path(sys.executable).parent / 'mrseg-label'}"
    smaller = [
        "--gres=none",
        "--cpus-per-task=1",
        "--mem=500M",
        f"--export=ALL,{program}",
        f"--output={tmp_path}/job.log",
    ]
    number = slurm(cluster, "sbatch", "--parsable", *smaller, str(ROOT / "deploy/slurm/worker.sbatch"), root).strip()
    wait_until(lambda: job_of(workspace, waiting).state is JobState.DONE, 120)
    slurm(cluster, "scancel", "--batch", "--signal=TERM", number)
    wait_until(lambda: not state_of_jobs(cluster).strip(), 30)
    assert "JobState=COMPLETED" in slurm(cluster, "scontrol", "show", "job", number), (tmp_path / "job.log").read_text()
