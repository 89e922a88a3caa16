"""Dask workers in Slurm jobs, as many as there is work for, with dask-jobqueue."""

from __future__ import annotations

import logging
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mrseg_label import logs
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.cluster import GPU
from mrseg_label.config import CONFIG_FILE
from mrseg_label.errors import ConfigurationError
from mrseg_label.jobs.queue import ROUNDS
from mrseg_label.workspace import Workspace

if TYPE_CHECKING:
    from dask_jobqueue import SLURMCluster

log = logging.getLogger("mrseg_label.worker")
NOTICE_SECONDS = 120  # Slurm looks at its clock about once a minute
POLL_SECONDS = 15.0


@dataclass(frozen=True)
class SlurmJobs:
    """What to ask Slurm for.

    Attributes
    ----------
    jobs : most jobs at a time; each runs ``max(1, gpus)`` trainings.
    time_limit : of a job, as Slurm writes it (``1-00:00:00``). A training that takes longer goes on in another one.
    memory : of a job, such as ``32GB``.
    directives : further options of sbatch, such as ``--qos=long``.
    """

    jobs: int = 1
    time_limit: str = "1-00:00:00"
    gpus: int = 1
    cpus: int = 8
    memory: str = "32GB"
    partition: str | None = None
    account: str | None = None
    directives: tuple[str, ...] = ()

    def job_arguments(self, log_folder: str) -> dict[str, Any]:
        """Arguments of :class:`dask_jobqueue.slurm.SLURMJob`.

        Slurm sends SIGTERM two minutes before it ends a job, to the batch shell alone (``B:``), in whose place the Dask
        worker runs (``exec``); the jobs of the worker then go back to the queue.
        """
        directives = [f"--signal=B:TERM@{NOTICE_SECONDS}", *self.directives]
        arguments = ["--no-dashboard"]
        if self.gpus:
            directives.insert(0, f"--gres=gpu:{self.gpus}")
            arguments += ["--resources", f"{GPU}={self.gpus}"]
        return {
            "job_name": "mrseg-label",
            "cores": self.gpus + 1,  # threads: trainings, and drafts beside them
            "processes": 1,
            "nanny": False,
            "memory": self.memory,
            "job_cpu": self.cpus,
            "walltime": self.time_limit,
            "queue": self.partition,
            "account": self.account,
            "python": f"exec {shlex.quote(sys.executable)}",
            "worker_command": "distributed.cli.dask_worker",
            "worker_extra_args": arguments,
            "job_extra_directives": directives,
            "log_directory": log_folder,
        }


def job_script(workspace: Workspace, options: SlurmJobs) -> str:
    """Return the script that is given to sbatch for one job."""
    with _keeping_ctrl_c():
        from dask_jobqueue.slurm import SLURMJob

    arguments = options.job_arguments(str(workspace.logs))
    script: str = SLURMJob(_scheduler(workspace), name="mrseg-label", **arguments).job_script()
    return script


def run_on_slurm(workspace: OpenedWorkspace, options: SlurmJobs) -> None:
    """Run the scheduler of DASK_SCHEDULER here, and as many Slurm jobs as there are rounds to train, until told to end.

    Raises
    ------
    ConfigurationError
        The scheduler cannot have that address here, or Slurm would not take such a job.
    """
    _check_submission(workspace, options)
    logs.configure(workspace.settings.log_format, others=logging.INFO)
    told_to_end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: told_to_end.set())
    cluster = _cluster(workspace, options)
    try:
        wanted = -1
        while not told_to_end.is_set():
            before, wanted = wanted, min(options.jobs, jobs_wanted(workspace, options))
            if wanted != before:
                log.info("Slurm jobs wanted: %d", wanted)
            cluster.scale(jobs=wanted)  # every time, so that one that ended is replaced
            told_to_end.wait(POLL_SECONDS)
    finally:
        with suppress(AssertionError):  # distributed asserts that Slurm took every job
            cluster.close()


def jobs_wanted(workspace: OpenedWorkspace, options: SlurmJobs) -> int:
    """Number of Slurm jobs that there is work for: rounds, and drafts where the server makes none itself."""
    with workspace.catalog.read() as session:
        active = {queue: sum(count.values()) for queue, count in rows.queue_lengths(session).items()}
    trainings = active.get(ROUNDS, 0)
    other = workspace.settings.workers == 0 and any(active.get(queue) for queue in active if queue != ROUNDS)
    return max(-(-trainings // max(1, options.gpus)), int(other))


def _check_submission(workspace: Workspace, options: SlurmJobs) -> None:
    """Have Slurm check the script of a job without submitting it."""
    program = shutil.which("sbatch")
    if program is None:
        raise ConfigurationError(
            "sbatch is not on the path of this machine; run this command on a node that may submit jobs to Slurm"
        )
    with workspace.scratch("slurm-") as folder:
        script = folder / "job.sh"
        script.write_text(job_script(workspace, options))
        tried = subprocess.run([program, "--test-only", str(script)], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise ConfigurationError(
            f"Slurm would not take such a job: {' '.join((tried.stderr or tried.stdout).split())}; change --partition, --gpus, "
            "--memory and the other options (see sinfo), or look at the script with --print"
        )


def _cluster(workspace: OpenedWorkspace, options: SlurmJobs) -> SLURMCluster:
    from distributed.security import Security

    with _keeping_ctrl_c():
        from dask_jobqueue import SLURMCluster

    address = urlsplit(_scheduler(workspace))
    scheduler: dict[str, Any] = {"host": address.hostname, "port": address.port, "dashboard": False}
    try:
        return SLURMCluster(
            protocol=f"{address.scheme}://",
            security=Security() if address.scheme == "tls" else None,
            scheduler_options=scheduler,
            **options.job_arguments(str(workspace.logs)),
        )
    except (OSError, RuntimeError) as error:
        raise ConfigurationError(
            f"the Dask scheduler cannot start at {_scheduler(workspace)}, as DASK_SCHEDULER says: {error}; run this command "
            "on the machine that has this address, and only once"
        ) from error


def _scheduler(workspace: Workspace) -> str:
    if workspace.settings.dask_scheduler is None:
        raise ConfigurationError(
            f"DASK_SCHEDULER is not set in {workspace.root / CONFIG_FILE}; set it to the address that the scheduler shall have "
            "on this machine, such as tcp://10.0.0.5:8786"
        )
    return workspace.settings.dask_scheduler


@contextmanager
def _keeping_ctrl_c() -> Iterator[None]:
    """Keep what Ctrl-C does: dask_jobqueue, when it is imported, makes it end the process with exit code 0."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
