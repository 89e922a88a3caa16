"""Two machines on one: network namespaces with host names of their own, joined by a cable that can be cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO


@dataclass(frozen=True)
class Machine:
    """A namespace with its host name, address and end of the cable."""

    name: str
    address: str
    cable: str

    def start(
        self, command: Sequence[str], output: IO[bytes], environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process on this machine; its id is that of the command itself."""
        shell = 'hostname "$0" && exec "$@"'
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, "unshare", "--uts", "sh", "-c", shell, self.name, *command],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )

    def cut(self) -> None:
        """Pull the cable out of this machine: packets are lost, and the other one waits for answers."""
        _run("ip", "-n", self.name, "link", "set", self.cable, "down")


def reason_not_possible() -> str | None:
    """Why there can be no namespaces here, if so."""
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return "the programs ip (iproute2) and unshare (util-linux) are not installed"
    name = f"mrseg-try-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if tried.returncode != 0:
        return f"this user may not make network namespaces: {tried.stderr.strip()}"
    _run("ip", "netns", "delete", name)
    return None


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Make the two namespaces and the cable between them; removed at the end."""
    own = os.getpid()
    first = Machine(f"mrseg-a-{own}", "10.231.77.1", "cable-a")
    second = Machine(f"mrseg-b-{own}", "10.231.77.2", "cable-b")
    for machine in (first, second):
        _run("ip", "netns", "add", machine.name)
    try:
        _run("ip", "-n", first.name, "link", "add", first.cable, "type", "veth", "peer", "name", second.cable, "netns", second.name)  # fmt: skip
        for machine in (first, second):
            _run("ip", "-n", machine.name, "address", "add", f"{machine.address}/24", "dev", machine.cable)
            _run("ip", "-n", machine.name, "link", "set", machine.cable, "up")
            _run("ip", "-n", machine.name, "link", "set", "lo", "up")
        yield first, second
    finally:
        for machine in (first, second):
            _run("ip", "netns", "delete", machine.name)


def on(machine: Machine) -> list[str]:
    """Words before a command that runs on a machine, for programs that start it themselves."""
    return ["ip", "netns", "exec", machine.name]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
