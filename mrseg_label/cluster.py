"""A Dask cluster: the address of its scheduler, its workers and their GPUs."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mrseg_label import __version__
from mrseg_label.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from distributed import Client
    from sqlalchemy.engine import URL

GPU = "GPU"  # name of the resource that a Dask worker declares, one for each of its GPUs
CONNECT_SECONDS = 10.0
_PROTOCOLS = ("tcp", "tls")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class ClusterWorker:
    """A worker of a Dask cluster.

    Attributes
    ----------
    address : of its own port, such as ``tcp://10.0.0.7:40123``.
    host : address of its machine.
    gpus : number of GPUs that it declares as the resource ``GPU``.
    """

    address: str
    host: str
    threads: int
    gpus: int


@dataclass(frozen=True)
class Node:
    """What a Dask worker finds on its machine; see :func:`look`."""

    host: str
    version: str
    sees_workspace: bool


def check_address(address: str) -> None:
    """Check DASK_SCHEDULER, and that Dask is installed.

    Raises
    ------
    ConfigurationError
        It is not an address such as ``tcp://10.0.0.5:8786``, or Dask is missing.
    """
    try:
        parts = urlsplit(address)
        complete = parts.scheme in _PROTOCOLS and parts.hostname and parts.port and not parts.path.strip("/")
    except ValueError:  # a port that is not a number
        complete = False
    if not complete:
        raise ConfigurationError(
            f"DASK_SCHEDULER is {address!r}; write the address of a Dask scheduler, such as tcp://10.0.0.5:8786, or with "
            "certificates tls://10.0.0.5:8786"
        )
    if importlib.util.find_spec("distributed") is None:
        raise ConfigurationError(
            "DASK_SCHEDULER is set, but Dask is not installed; install it with: uv sync --extra dask"
        )


def usable_address(address: str) -> bool:
    """Whether :func:`check_address` finds nothing wrong."""
    try:
        check_address(address)
    except ConfigurationError:
        return False
    return True


def check_shared_database(url: URL) -> None:
    """Check that a database can be used from several machines.

    Raises
    ------
    ConfigurationError
        It is SQLite.
    """
    if url.get_backend_name() == "sqlite":
        raise ConfigurationError(
            f"DASK_SCHEDULER is set, but the database on {socket.gethostname()} is SQLite ({url.database}), which only the "
            "processes of one machine can use; set DATABASE_URL to a PostgreSQL that every machine reaches, best in "
            "mrseg.toml, since an environment variable must be set for each Dask worker too"
        )


def is_open_to_the_network(address: str) -> bool:
    """Whether a scheduler listens without certificates to other machines, any of which can run programs through it."""
    parts = urlsplit(address)
    return parts.scheme == "tcp" and parts.hostname not in _LOOPBACK


def connect(address: str) -> Client:
    """Connect to a scheduler. Certificates are those of Dask's own configuration.

    Raises
    ------
    Unavailable
        It does not answer.
    """
    from distributed import Client

    parts = urlsplit(address)
    try:
        # Dask asks again and again where nobody listens.
        socket.create_connection((parts.hostname or "", parts.port or 0), CONNECT_SECONDS).close()
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False, name="mrseg-label")
    except TypeError as error:  # how Dask says that it has no certificates
        raise Unavailable(
            f"the Dask scheduler at {address} asks for certificates; name them to Dask in the environment "
            "(docs/several-machines.md, Certificates)"
        ) from error
    except (OSError, TimeoutError, ValueError, RuntimeError) as error:
        raise Unavailable(
            f"the Dask scheduler at {address} does not answer ({error}); start it there with: dask scheduler --port "
            f"{parts.port}"
        ) from error


def workers_of(client: Client) -> list[ClusterWorker]:
    """List the workers that have joined the cluster; raises OSError if the scheduler has gone."""
    found = client.scheduler_info(n_workers=-1)["workers"]
    return [
        ClusterWorker(address, values.get("host", ""), values["nthreads"], int(values.get("resources", {}).get(GPU, 0)))
        for address, values in sorted(found.items())
    ]


def look(root: str) -> Node:
    """Look, on the machine of a Dask worker, for what work needs there."""
    return Node(socket.gethostname(), __version__, (Path(root) / "mrseg.toml").is_file())


def look_everywhere(client: Client, root: Path, workers: Sequence[ClusterWorker]) -> dict[str, Node | Exception]:
    """Have each worker :func:`look`; returns what it found or the error that it met, by its address."""
    addresses = [worker.address for worker in workers]
    found: dict[str, Node | Exception] = client.run(look, str(root), workers=addresses, on_error="return")
    return found
