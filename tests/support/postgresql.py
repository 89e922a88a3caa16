"""A PostgreSQL server for a test session, if its programs are installed."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from mrseg_label.catalog.database import open_catalog
from mrseg_label.config import CONFIG_FILE
from mrseg_label.workspace import Workspace

USER = "mrseg"
MEMORY = Path("/dev/shm")
NEEDED = 4 << 30  # bytes
# As a hospital's server sorts and compares text; SQLite, and PostgreSQL under the locale C, do so by bytes.
COLLATION = ("--encoding=UTF8", "--locale-provider=icu", "--icu-locale=en-US", "--locale=C.UTF-8")
# What is written need not outlive the tests. Each server and worker under test has connections of its own.
HASTE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300")


def program(name: str) -> str | None:
    """Find one of PostgreSQL's programs, which Debian does not put on the path."""
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(beside[-1]) if beside else None)


class Deadly:
    """A server that a test kills and starts again; its data stay."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        initdb = program("initdb")
        assert initdb
        self._user = "postgres" if os.geteuid() == 0 else None
        folder.mkdir(parents=True)
        if self._user:
            shutil.chown(folder, self._user)
        command = [str(initdb), "-D", str(folder / "data"), "-U", USER, "-A", "trust", "--no-sync"]
        subprocess.run(command, check=True, user=self._user, cwd=folder, stdout=subprocess.DEVNULL)
        self.start()

    @property
    def url(self) -> str:
        """URL with %s for a database's name."""
        return f"postgresql://{USER}@/%s?host={self.folder}"

    def start(self) -> None:
        """Start it, and wait until it answers; where the processes of before still end, again."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                command = [str(program("postgres")), "-D", str(self.folder / "data"), "-k", str(self.folder)]
                self._process = subprocess.Popen(
                    [*command, "-c", "listen_addresses="],
                    user=self._user,
                    cwd=self.folder,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            try:
                psycopg.connect(host=str(self.folder), user=USER, dbname="postgres").close()
                return
            except psycopg.OperationalError:
                time.sleep(0.1)
        raise AssertionError("PostgreSQL does not answer")

    def kill(self) -> None:
        """Kill the server; its other processes end by themselves."""
        assert self._process
        self._process.kill()
        self._process.wait()


def require_server() -> None:
    """Skip the test where PostgreSQL is not installed, or let it fail with REQUIRE_POSTGRESQL (`.ci/run`)."""
    if program("initdb") is None and os.environ.get("REQUIRE_POSTGRESQL"):
        pytest.fail("PostgreSQL is not installed, and REQUIRE_POSTGRESQL is set: apt-get install postgresql")
    if program("initdb") is None:
        pytest.skip("PostgreSQL's server is not installed: apt-get install postgresql")


@contextmanager
def session_server() -> Iterator[str]:
    """Start a server for a session, as :func:`require_server` allows."""
    require_server()
    # In memory where there is enough. Not pytest's own folder: the path of a socket must be short, and others' users must reach it.
    room = MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > NEEDED else None
    with tempfile.TemporaryDirectory(prefix="pg-", dir=room) as folder:
        Path(folder).chmod(0o755)
        with temporary_server(Path(folder) / "server") as server:
            yield server


@contextmanager
def temporary_server(
    folder: Path, prefix: Sequence[str] = (), address: str = "", method: str = "trust"
) -> Iterator[str]:
    """Start a server that listens on a socket in ``folder``; yields its URL with %s for a database's name.

    Parameters
    ----------
    prefix : words before the command of the server, which may have it run elsewhere.
    address : network address to listen on as well, for everybody in the network of /24.
    method : how PostgreSQL authenticates them; by default it trusts them.
    """
    initdb, postgres = program("initdb"), program("postgres")
    assert initdb and postgres
    # The server refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    folder.mkdir(parents=True)
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    subprocess.run(
        [str(initdb), "-D", str(data), "-U", USER, "-A", "trust", "--no-sync", *COLLATION],
        check=True,
        user=user,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if address:
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {address}/24 {method}\n")
    # Not by Popen's own argument: the words before the command may need the rights that are given up here.
    as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
    options = ["-k", str(folder), "-c", f"listen_addresses={address}"]
    options += [word for setting in HASTE for word in ("-c", setting)]
    server = subprocess.Popen(
        [*prefix, *as_user, str(postgres), "-D", str(data), *options],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(host=str(folder), user=USER, dbname="postgres").close()
                break
            except psycopg.OperationalError:
                assert server.poll() is None, "PostgreSQL ended"
                assert time.monotonic() < deadline, "PostgreSQL does not answer"
                time.sleep(0.1)
        yield f"postgresql://{USER}@/%s?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)  # without waiting for clients, which may hang
        server.wait(60)


_made: list[tuple[str, str]] = []  # server and name of each database, in their order


def new_database(server: str, template: str = "template1") -> str:
    """Create a database as a copy of another, to which nobody may be connected; an empty one by default. Returns its URL."""
    name = f"test_{secrets.token_hex(4)}"
    _command(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
    _made.append((server, name))
    return server % name


def copy_workspace(source: Path, target: Path, settings: str = "") -> Path:
    """Copy a workspace that nobody uses, with its database wherever that is; returns ``target``.

    Parameters
    ----------
    settings : content of the copy's ``mrseg.toml``, but for the database; as that of ``source`` by default.
    """
    shutil.copytree(source, target)
    text = settings or (source / CONFIG_FILE).read_text()
    if named := Workspace.open(source).settings.database_url:
        url = make_url(named)
        server = named.replace(f"/{url.database}?", "/%s?")
        lines = [line for line in text.splitlines() if not line.startswith("DATABASE_URL")]
        text = "\n".join([f'DATABASE_URL = "{new_database(server, str(url.database))}"', *lines, ""])
    (target / CONFIG_FILE).write_text(text)
    return target


@contextmanager
def databases_deleted() -> Iterator[None]:
    """Delete the databases that were made in a block at its end, with the connections to them."""
    before = len(_made)
    yield
    for server, name in _made[before:]:
        _command(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    del _made[before:]


def _command(server: str, text: str) -> None:
    folder = server.partition("host=")[2]
    with psycopg.connect(host=folder, user=USER, dbname="postgres", autocommit=True) as connection:
        connection.execute(text.encode())


class Databases:
    """Databases of a server that have been migrated already: copies of one that was."""

    def __init__(self, server: str) -> None:
        self._server = server
        url = new_database(server)
        open_catalog(url).close()
        self._template = str(make_url(url).database)

    def new(self) -> str:
        """Create one; returns its URL."""
        return new_database(self._server, self._template)

    @contextmanager
    def for_workspaces(self) -> Iterator[None]:
        """Let each workspace that this process makes name a database of its own, unless its settings name one."""
        init = Workspace.init

        def with_database(root: Path, labels: Path | None = None, settings_text: str | None = None) -> Workspace:
            text = settings_text or ""
            if "DATABASE_URL" not in text:
                text = f'DATABASE_URL = "{self.new()}"\n{text}'
            return init(root, labels, text)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Workspace, "init", with_database)
            yield
