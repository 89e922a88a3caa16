"""Have the workers of a Dask cluster work: ``python -m mrseg_label.worker.dask.placer --workspace DIR``.

Looks at which rows could be claimed, and keeps as many worker processes on the cluster as there is work and room. Each
of them claims rows by itself, so nothing is lost with Dask's tasks, and one too many only finds nothing to do.
"""

from __future__ import annotations

import argparse
import logging
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mrseg_label import logs
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.cluster import GPU, ClusterWorker, check_address, check_shared_database, connect, workers_of
from mrseg_label.errors import MrsegError, Unavailable
from mrseg_label.jobs.queue import DRAFTS, LIGHT, ROUNDS
from mrseg_label.private import keep_private
from mrseg_label.processes import end_with_parent
from mrseg_label.worker.dask.task import run_worker

if TYPE_CHECKING:
    from distributed import Client, Future

log = logging.getLogger("mrseg_label.worker")
POLL_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
SETTLE_SECONDS = 20.0  # from a task to the claim of its worker process
MAX_DELAY_SECONDS = 60.0


@dataclass(frozen=True)
class Kind:
    """A kind of worker process.

    Attributes
    ----------
    needs_gpu : take a GPU for itself where any worker of the cluster declares one.
    idle_seconds : how long the process waits for more work; what makes drafts has loaded a network.
    """

    queues: tuple[str, ...]
    needs_gpu: bool
    idle_seconds: float


# Some patience of a process for trainings too: where another program holds the GPU, it would only end and be placed again.
KINDS = (Kind((ROUNDS,), needs_gpu=True, idle_seconds=10.0), Kind((LIGHT, DRAFTS), needs_gpu=False, idle_seconds=20.0))


@dataclass(frozen=True)
class _Placed:
    future: Future
    kind: Kind
    needs_gpu: bool
    at: float


class Placer:
    """Keeps worker processes on the cluster while there is work for them.

    Parameters
    ----------
    address : of the scheduler.
    """

    def __init__(self, workspace: OpenedWorkspace, address: str) -> None:
        self._workspace = workspace
        self._address = address
        self._client: Client | None = None
        self._placed: list[_Placed] = []
        self._failures = 0
        self._not_before = 0.0

    def run(self) -> None:
        """Place work for ever."""
        pause = POLL_SECONDS
        while True:
            try:
                self.place()
                pause = POLL_SECONDS
            except (MrsegError, OSError, TimeoutError) as error:
                log.warning("%s", error)
                self._forget()
                pause = min(2 * pause, MAX_PAUSE_SECONDS)
            time.sleep(pause)

    def place(self) -> None:
        """Place as many worker processes as there is work and room for now.

        Raises
        ------
        Unavailable
            The scheduler does not answer. The next call connects anew, and places again what was lost.
        MachineFailure
            The database does not answer.
        """
        client = self._connected()
        workers = workers_of(client)
        gpus = sum(worker.gpus for worker in workers)
        self._collect(has_gpus=gpus > 0)
        if time.monotonic() < self._not_before:
            return
        with self._workspace.catalog.read() as session:
            waiting = rows.claimable(session, self._workspace.catalog.now(session))
        for kind in KINDS:
            needs_gpu = kind.needs_gpu and gpus > 0
            mine = [placed for placed in self._placed if placed.kind is kind]
            settling = sum(time.monotonic() - placed.at < SETTLE_SECONDS for placed in mine)
            room = (gpus if needs_gpu else len(workers)) - len(mine)
            for _ in range(min(room, sum(waiting.get(queue, 0) for queue in kind.queues) - settling)):
                self._submit(client, kind, needs_gpu)

    def close(self) -> None:
        """Leave the cluster. What runs there goes on until it finds no work."""
        self._forget()

    def _connected(self) -> Client:
        if self._client is not None and self._client.status != "running":
            self._forget()
            raise Unavailable(f"the Dask scheduler at {self._address} has gone; waiting for it")
        if self._client is None:
            self._client = connect(self._address)
            log.info("connected to the Dask scheduler at %s: %s", self._address, _listed(workers_of(self._client)))
        return self._client

    def _submit(self, client: Client, kind: Kind, needs_gpu: bool) -> None:
        name = kind.queues[-1]
        future = client.submit(
            run_worker,
            str(self._workspace.root),
            kind.queues,
            kind.idle_seconds,
            key=f"mrseg-{name}-{uuid.uuid4().hex}",
            pure=False,
            retries=0,
            resources={GPU: 1} if needs_gpu else None,
        )
        self._placed.append(_Placed(future, kind, needs_gpu, time.monotonic()))
        log.info("placed a worker for %s", ", ".join(kind.queues))

    def _collect(self, *, has_gpus: bool) -> None:
        """Drop the tasks that Dask has ended or lost, and those that wait for what the cluster no longer has."""
        remaining = []
        for placed in self._placed:
            if placed.future.status == "error":
                self._failures += 1
                delay = min(2.0**self._failures, MAX_DELAY_SECONDS)
                self._not_before = time.monotonic() + delay
                log.error("%s; trying again in %d s", placed.future.exception(), delay)
            elif placed.future.status == "finished":
                self._failures = 0
            elif placed.future.status == "pending" and placed.needs_gpu <= has_gpus:
                remaining.append(placed)
        self._placed = remaining

    def _forget(self) -> None:
        client, self._client = self._client, None
        self._placed = []
        if client is not None:
            client.close(timeout=1)


def _listed(workers: list[ClusterWorker]) -> str:
    return f"{len(workers)} workers, {sum(worker.gpus for worker in workers)} GPUs"


def main() -> None:
    """Parse the arguments and place work until the parent ends."""
    parser = argparse.ArgumentParser(description="Have the workers of DASK_SCHEDULER run the jobs of a workspace")
    parser.add_argument("--workspace", type=Path, required=True)
    arguments = parser.parse_args()
    end_with_parent()
    keep_private()
    import distributed  # noqa: F401 - it sets the levels of its loggers

    for name in ("distributed", "distributed.client"):  # a lost scheduler is reported here, in one line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    workspace = open_workspace(arguments.workspace)
    logs.configure(workspace.settings.log_format)
    address = workspace.settings.dask_scheduler or ""
    check_address(address)
    check_shared_database(workspace.database_url)
    Placer(workspace, address).run()


if __name__ == "__main__":
    main()
