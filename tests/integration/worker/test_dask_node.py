"""A machine joins a Dask cluster, leaves it when told to, and says what is missing; the scheduler is Dask's own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest
from distributed import Scheduler

from mrseg_label.cluster import GPU
from mrseg_label.errors import ConfigurationError
from mrseg_label.worker.dask import node
from mrseg_label.workspace import Workspace

SECONDS = 60.0


async def _until(scheduler: Scheduler, workers: int) -> None:
    async with asyncio.timeout(SECONDS):
        while len(scheduler.workers) != workers:
            await asyncio.sleep(0.02)


async def _join_and_end(number: signal.Signals) -> tuple[int, dict[str, float]]:
    """Join with two threads and one GPU, end by a signal; return what the scheduler saw."""
    async with Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
        joining = asyncio.ensure_future(node._join(scheduler.address, gpus=1, threads=2))
        await _until(scheduler, 1)
        (worker,) = scheduler.workers.values()
        seen = worker.nthreads, dict(worker.resources)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(joining, SECONDS)
        await _until(scheduler, 0)
        return seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_machine_joins_and_leaves(number: signal.Signals) -> None:
    assert asyncio.run(_join_and_end(number)) == (2, {GPU: 1.0})


async def _join_before_the_scheduler(port: int) -> None:
    joining = asyncio.ensure_future(node._join(f"tcp://127.0.0.1:{port}", gpus=0, threads=1))
    await asyncio.sleep(0.5)  # in vain
    async with Scheduler(host="127.0.0.1", port=port, dashboard=False) as scheduler:
        await _until(scheduler, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(joining, SECONDS)


def test_a_machine_that_starts_before_the_scheduler_waits_for_it(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with caplog.at_level("INFO", logger="mrseg_label.worker"):
        asyncio.run(_join_before_the_scheduler(port))
    assert "joined the Dask cluster" in caplog.text and "left the Dask cluster" in caplog.text


def test_a_workspace_without_a_scheduler_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="DASK_SCHEDULER is not set in"):
        node.join_workspace(Workspace.init(tmp_path / "ws"), gpus=None, threads=None)
