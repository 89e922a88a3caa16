"""Check of the Dask cluster: whether its scheduler answers, and what its workers find on their machines."""

from __future__ import annotations

from mrseg_label import __version__
from mrseg_label.cluster import ClusterWorker, Node, connect, look_everywhere, workers_of
from mrseg_label.errors import MrsegError
from mrseg_label.maintenance.checks.check import Check, State
from mrseg_label.workspace import Workspace

_ADVICE = "rounds and drafts wait in the queue meanwhile; docs/several-machines.md describes how to start both"


def check_dask(workspace: Workspace, address: str) -> Check:
    """Check that the scheduler answers, and that every worker can work for this workspace."""
    try:
        client = connect(address)
    except MrsegError as error:
        return Check("dask", State.FAILED, str(error), _ADVICE)
    try:
        workers = workers_of(client)
        if not workers:
            advice = "run on every machine that is to compute: mrseg-label worker --dask"
            return Check("dask", State.WARNING, f"the scheduler at {address} has no workers", advice)
        found = look_everywhere(client, workspace.root, workers)
    except OSError as error:
        return Check("dask", State.FAILED, f"the scheduler at {address} stopped answering: {error}", _ADVICE)
    finally:
        client.close(timeout=1)
    shown = "; ".join(_describe(worker, found.get(worker.address)) for worker in workers)
    wrong = [text for worker in workers if (text := _problem(workspace, found.get(worker.address))) is not None]
    detail = f"{address}: {shown}"
    if wrong:
        return Check("dask", State.FAILED, detail, "; ".join(sorted(set(wrong))))
    note = None if any(worker.gpus for worker in workers) else "no worker declares a GPU: trainings run on any of them"
    return Check("dask", State.OK, detail, note)


def _describe(worker: ClusterWorker, node: Node | Exception | None) -> str:
    name = node.host if isinstance(node, Node) else worker.host
    gpus = f", {worker.gpus} GPU{'' if worker.gpus == 1 else 's'}" if worker.gpus else ""
    return f"{name} ({worker.threads} thread{'' if worker.threads == 1 else 's'}{gpus})"


def _problem(workspace: Workspace, node: Node | Exception | None) -> str | None:
    """Return what keeps a worker from working for the workspace."""
    if not isinstance(node, Node):
        return (
            f"a worker cannot run this version of mrseg-label ({node!r}); install {__version__} there, and restart it"
        )
    if node.version != __version__:
        return f"{node.host} has mrseg-label {node.version}; install {__version__} there, and restart its worker"
    if not node.sees_workspace:
        return f"{node.host} does not see {workspace.root}; mount the shared folder there under the same path"
    return None
