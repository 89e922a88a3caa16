"""A PostgreSQL server for a test session, if its programs are installed."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

USER = "mrseg"


def program(name: str) -> str | None:
    """Find one of PostgreSQL's programs, which Debian does not put on the path."""
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(beside[-1]) if beside else None)


@contextmanager
def temporary_server(folder: Path, prefix: Sequence[str] = (), address: str = "") -> Iterator[str]:
    """Start a server that listens on a socket in ``folder``; yields its URL with %s for a database's name.

    Parameters
    ----------
    prefix : words before the command of the server, which may have it run elsewhere.
    address : network address to listen on as well, where everybody in the network of /24 is trusted.
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
        [str(initdb), "-D", str(data), "-U", USER, "-A", "trust", "--no-sync"],
        check=True,
        user=user,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if address:
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {address}/24 trust\n")
    # Not by Popen's own argument: the words before the command may need the rights that are given up here.
    as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
    options = ["-k", str(folder), "-c", f"listen_addresses={address}", "-c", "fsync=off"]
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


def new_database(server: str) -> str:
    """Create an empty database; returns its URL."""
    name = f"test_{secrets.token_hex(4)}"
    folder = server.partition("host=")[2]
    with psycopg.connect(host=folder, user=USER, dbname="postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return server % name
