"""Join a Dask cluster with this machine, and join it again whenever its scheduler has gone and comes back."""

from __future__ import annotations

import asyncio
import logging
import signal
import tempfile
from contextlib import suppress

from mrseg_label import logs
from mrseg_label.cluster import GPU
from mrseg_label.config import CONFIG_FILE, Settings
from mrseg_label.errors import ConfigurationError
from mrseg_label.nnunet.gpus import GpuSlots, find_gpus
from mrseg_label.private import keep_private
from mrseg_label.workspace import Workspace

log = logging.getLogger("mrseg_label.worker")
RETRY_SECONDS = 5.0
CONNECT_SECONDS = "10s"


def join_workspace(workspace: Workspace, *, gpus: int | None, threads: int | None) -> None:
    """Join the cluster of a workspace with this machine; parameters as of :func:`join_cluster`, by default its GPUs.

    Raises
    ------
    ConfigurationError
        DASK_SCHEDULER is not set.
    """
    address = workspace.settings.dask_scheduler
    if address is None:
        raise ConfigurationError(
            f"DASK_SCHEDULER is not set in {workspace.root / CONFIG_FILE}; set it to the address of the Dask scheduler, "
            "such as tcp://10.0.0.5:8786, or run a worker without --dask"
        )
    keep_private()
    logs.configure(workspace.settings.log_format, others=logging.INFO)
    declared = _trainings_at_a_time(workspace.settings) if gpus is None else gpus
    join_cluster(address, gpus=declared, threads=threads or declared + 1)


def _trainings_at_a_time(settings: Settings) -> int:
    """Number of trainings that the GPUs of this machine take."""
    return len(GpuSlots(find_gpus(), settings.device).gpus) * settings.trainings_per_gpu


def join_cluster(address: str, *, gpus: int, threads: int) -> None:
    """Run a Dask worker until SIGTERM or SIGINT; its jobs then go back to the queue at once.

    Parameters
    ----------
    address : of the scheduler.
    gpus : number of GPUs to declare, each of which gets one training at a time.
    threads : number of worker processes that run here at the same time.
    """
    asyncio.run(_join(address, gpus, threads))


async def _join(address: str, gpus: int, threads: int) -> None:
    told_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_end.set)
    with tempfile.TemporaryDirectory(prefix="mrseg-dask-", ignore_cleanup_errors=True) as folder:
        while not told_to_end.is_set():
            try:
                await _work(address, gpus, threads, folder, told_to_end)
            except (OSError, TimeoutError, ValueError, TypeError) as error:  # TypeError: tls without certificates
                log.warning("the Dask scheduler at %s does not answer: %s", address, error)
            with suppress(TimeoutError):
                await asyncio.wait_for(told_to_end.wait(), RETRY_SECONDS)


async def _work(address: str, gpus: int, threads: int, folder: str, told_to_end: asyncio.Event) -> None:
    """Be a worker of the cluster until the scheduler goes or this process is told to end."""
    import dask
    from distributed import Worker

    with dask.config.set({"distributed.comm.timeouts.connect": CONNECT_SECONDS}):
        worker = Worker(
            address,
            nthreads=threads,
            resources={GPU: gpus} if gpus else None,
            memory_limit=0,  # of this process alone, which computes nothing
            local_directory=folder,
            dashboard=False,
        )
        async with worker:
            log.info("joined the Dask cluster of %s with %d threads and %d GPUs", address, threads, gpus)
            ended = [asyncio.ensure_future(worker.finished()), asyncio.ensure_future(told_to_end.wait())]
            await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.cancel()
    log.info("left the Dask cluster of %s", address)
