"""A Slurm cluster of one node on this machine: the real programs, with a configuration and keys of their own."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mrseg_label.simulation.server import free_port
from tests.support.process_trees import wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo", "squeue", "scancel")
_CONFIGURATION = """\
ClusterName=hospital
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=gpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """Programs of Slurm that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@contextmanager
def temporary_cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start the cluster; yields the environment with which Slurm's commands find it.

    Parameters
    ----------
    folder : new, and with a short path, since a socket lies in it.
    """
    folder.mkdir(mode=0o755)
    (folder / "key").touch(mode=0o400)
    (folder / "key").write_bytes(secrets.token_bytes(128))
    configuration = folder / "slurm.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0],
            controller=free_port(),
            node=free_port(),
            folder=folder,
            user="root",
        )
    )
    (folder / "state").mkdir()
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    munge = [
        f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in ("socket", "pid-file", "log-file", "seed-file")
    ]
    commands = [
        ["munged", "--foreground", "--force", f"--key-file={folder}/key", *munge],
        ["slurmctld", "-D", "-f", str(configuration)],
        ["slurmd", "-D", "-f", str(configuration)],
    ]
    with ExitStack() as stack:
        for command in commands:
            output = stack.enter_context((folder / f"{command[0]}.out").open("wb"))
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            if command[0] == "munged":
                wait_until((folder / "munge.socket").exists, 30)
        wait_until(lambda: "idle" in slurm(environment, "sinfo", "--noheader"), 60)
        yield environment
        slurm(environment, "scancel", "--user=root", "--signal=KILL")
        wait_until(lambda: not slurm(environment, "squeue", "--noheader").strip(), 60)


def slurm(environment: dict[str, str], *command: str) -> str:
    """What one of Slurm's commands prints; empty where it fails."""
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout
