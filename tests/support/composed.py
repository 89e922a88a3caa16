"""Run the services of ``docker-compose.yml`` without a container engine, in namespaces as one makes them.

Each service has a network, a host name, mounts and a root of its own: this machine's files, read-only where the compose
file says so. It gets the environment, the user, the volumes, the secrets and the addresses of the compose file, and is
started with the command there. Needs root, and what makes namespaces (iproute2, util-linux). PostgreSQL and nginx are
those of this machine.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from shlex import join, quote

import psycopg

from tests.support.compose_file import Service, read_compose, service_of, source_of
from tests.support.postgresql import USER, temporary_server

_BIN = Path(sys.executable).parent
_START = """\
set -e
hostname {hostname}
mount -t tmpfs -o mode=0755 tmpfs {scratch}
mkdir {scratch}/upper {scratch}/work {scratch}/root
mount -t overlay overlay -o lowerdir=/,upperdir={scratch}/upper,workdir={scratch}/work {scratch}/root
cd {scratch}/root
mount -t proc proc proc
mount --rbind /dev dev
cp {hosts} etc/hosts
{mounts}
{read_only}
exec chroot . setpriv --reuid={uid} --regid={gid} --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs \\
    env --ignore-environment --chdir={folder} {environment} {argv}
"""


class Composed:
    """The services of the compose file; those that run are killed at the end.

    Parameters
    ----------
    folder : for volumes and logs.
    environment : what ``.env`` says. SECRETS must name a folder; NETWORK is chosen.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], stack: ExitStack) -> None:
        self._number = os.getpid() % 200
        self.network = f"172.31.{self._number}"
        self.document = read_compose({**environment, "NETWORK": self.network})
        self._folder = folder
        self._stack = stack
        self._addresses: dict[str, dict[str, str]] = {}  # of each service, by network
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._count = 0
        for network, prefix in (("front", self.network), ("back", f"10.231.{self._number}")):
            self._make_bridge(network, prefix)
        for position, name in enumerate(self.document["services"], 20):
            self._plug_in(name, position)
        lines = ["127.0.0.1 localhost"]
        lines += [f"{ip} {name}" for name, networks in self._addresses.items() for ip in networks.values()]
        lines += [
            f"{line.partition(':')[2]} {line.partition(':')[0]}"
            for entry in self.document["services"].values()
            for line in entry.get("extra_hosts", [])
        ]
        self._hosts = folder / "hosts"
        self._hosts.write_text("\n".join(lines) + "\n")
        for volume in self.document["volumes"]:
            (folder / volume).mkdir()
            os.chown(folder / volume, 10001, 10001)  # as in the image

    def address(self, service: str, network: str = "front") -> str:
        """Address of a service."""
        return self._addresses[service][network]

    def log(self, name: str) -> str:
        """What a service has printed."""
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def start_database(self, folder: Path) -> None:
        """Start PostgreSQL as the image of the compose file does: user, database and password, and none without one."""
        service = service_of(self.document, "database")
        password = self._secret("database_password").read_text().strip()
        address = self.address("database", "back")
        prefix = ["ip", "netns", "exec", self._namespace("database")]
        self._stack.enter_context(temporary_server(folder, prefix, address, "scram-sha-256"))
        assert service.environment["POSTGRES_USER"] == USER
        with psycopg.connect(host=str(folder), user=USER, dbname="postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{service.environment["POSTGRES_DB"]}"'.encode())
            connection.execute(f"ALTER ROLE {USER} PASSWORD '{password}'".encode())

    def start(self, name: str, *, replica: int = 1) -> subprocess.Popen[bytes]:
        """Start a service with its own command."""
        service = service_of(self.document, name)
        log_name = name if replica == 1 else f"{name}-{replica}"
        output = self._stack.enter_context((self._folder / f"{log_name}.log").open("ab"))
        command = self._command(service, f"{service.hostname}-{replica}")
        process = self._processes[name] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def run(self, *command: str, given: str = "", mounted: Path | None = None) -> str:
        """What ``docker compose run --rm cli`` prints; ``mounted`` is a folder that it sees under its own path."""
        service = service_of(self.document, "cli", list(command))
        argv = self._command(service, "cli", mounted)
        done = subprocess.run(argv, input=given, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def wait_until_healthy(self, name: str, seconds: float = 120) -> None:
        """Wait until the health check of a service succeeds."""
        service = service_of(self.document, name)
        assert service.health
        deadline = time.monotonic() + seconds
        while True:
            argv = self._command(Service(**{**vars(service), "argv": service.health}), service.hostname)
            done = subprocess.run(argv, capture_output=True, text=True)
            if done.returncode == 0:
                return
            alive = self._processes[name].poll() is None and time.monotonic() < deadline
            assert alive, f"{name} is not healthy: {done.stderr}{self.log(name)[-3000:]}"
            time.sleep(1)

    def _secret(self, name: str) -> Path:
        return Path(self.document["secrets"][name]["file"])

    def _namespace(self, service: str) -> str:
        return f"mrseg-{os.getpid()}-{service}"

    def _make_bridge(self, network: str, prefix: str) -> None:
        bridge = f"mrseg{self._number}{network[0]}"
        _run("ip", "link", "add", bridge, "type", "bridge")
        self._stack.callback(_run, "ip", "link", "delete", bridge)
        _run("ip", "link", "set", bridge, "up")
        if network == "front":  # the network of the hospital, as Docker forwards it
            _run("ip", "address", "add", f"{prefix}.1/24", "dev", bridge)

    def _plug_in(self, name: str, position: int) -> None:
        service = service_of(self.document, name)
        namespace = self._namespace(name)
        _run("ip", "netns", "add", namespace)
        self._stack.callback(_run, "ip", "netns", "delete", namespace)
        _run("ip", "-n", namespace, "link", "set", "lo", "up")
        for network in service.entry["networks"]:
            ip = service.address_in(network) or f"10.231.{self._number}.{position}"
            self._addresses.setdefault(name, {})[network] = ip
            outer, inner = f"m{self._number}{network[0]}{position}", f"eth{network[0]}"
            _run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", namespace)
            _run("ip", "link", "set", outer, "master", f"mrseg{self._number}{network[0]}", "up")
            _run("ip", "-n", namespace, "address", "add", f"{ip}/24", "dev", inner)
            _run("ip", "-n", namespace, "link", "set", inner, "up")

    def _command(self, service: Service, hostname: str, mounted: Path | None = None) -> list[str]:
        """The command that runs a service where and as the compose file says."""
        self._count += 1
        scratch = self._folder / f"root-{self._count}-{secrets.token_hex(4)}"
        scratch.mkdir()
        uid, gid = service.user.split(":")
        entry = service.entry
        mounts = [f"mkdir -p .{service.folder}"]  # as in the image
        mounts += [f"chmod o+x {quote('.' + str(parent))}" for parent in _closed_folders()]
        for item in entry.get("tmpfs") or []:
            target, _, options = item.partition(":")
            mounts += [f"mkdir -p .{target}", f"mount -t tmpfs -o {options or 'mode=1777'} tmpfs .{target}"]
        for volume in entry.get("volumes") or []:
            mounts += _bind(*source_of(self.document, volume, self._folder))
        for name in entry.get("secrets") or []:
            mounts += _bind(self._secret(name), f"/run/secrets/{name}", read_only=True)
        if mounted is not None:
            mounts += _bind(mounted, str(mounted), read_only=True)
        # What the image has in /opt/mrseg is the virtual environment of the tests here.
        environment = {"HOME": "/home/mrseg" if service.is_ours else "/", **service.environment}
        environment["PATH"] = f"{_BIN}:{os.environ['PATH']}"
        if "PYTHONPYCACHEPREFIX" in os.environ:
            environment["PYTHONPYCACHEPREFIX"] = os.environ["PYTHONPYCACHEPREFIX"]
        script = _START.format(
            hostname=quote(hostname),
            scratch=quote(str(scratch)),
            hosts=quote(str(self._hosts)),
            mounts="\n".join(mounts),
            read_only="mount -o remount,ro ." if entry.get("read_only") else "",
            uid=uid,
            gid=gid,
            folder=quote(service.folder),
            environment=join(f"{key}={value}" for key, value in environment.items()),
            argv=join(service.argv),
        )
        words = ["unshare", "--mount", "--uts", "--ipc", "--propagation", "private", "sh", "-c", script]
        return ["ip", "netns", "exec", self._namespace(service.name), *words]


def missing_programs() -> list[str]:
    """Programs without which this is not possible."""
    return [name for name in ("ip", "unshare", "setpriv", "nginx", "curl") if shutil.which(name) is None]


def _bind(source: Path, target: str, read_only: bool = False) -> list[str]:
    make = f"mkdir -p .{quote(target)}"
    if source.is_file():
        make = f"mkdir -p .{quote(str(Path(target).parent))} && touch .{quote(target)}"
    lines = [make, f"mount --bind {quote(str(source))} .{quote(target)}"]
    return [*lines, f"mount -o remount,ro,bind .{quote(target)}"] if read_only else lines


def _closed_folders() -> list[Path]:
    """Folders on the way to Python and to the code that others than root may not enter; in the image there are none."""
    paths = (Path(sys.executable), Path(sys.executable).resolve(), Path(__file__))
    found = {parent for path in paths for parent in path.parents if not parent.stat().st_mode & 0o001}
    return sorted(found)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
