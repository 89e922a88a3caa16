"""Run the real server as a child process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from mrseg_label.errors import Unavailable
from mrseg_label.processes import end_child, start_child

START_SECONDS = 180.0
STOP_SECONDS = 30.0
_POLL_SECONDS = 0.25
_LOG_LINES = 15


class Server:
    """``mrseg-label serve`` on a local port, running while the ``with`` block does.

    Parameters
    ----------
    workspace : folder of the workspace.
    log : file for the output of the server.
    port : a free one by default.
    environment : variables for the server; those of this process by default.
    processes : that answer requests.
    """

    def __init__(
        self,
        workspace: Path,
        log: Path,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        processes: int = 1,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._workspace = workspace
        self._log = log
        self._processes = processes
        self._environment = dict(os.environ if environment is None else environment)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it is ready.

        Raises
        ------
        Unavailable
            The server ended or was not ready in time; the message has the end of its log.
        """
        command = [sys.executable, "-m", "mrseg_label.simulation.with_parent", "mrseg_label.cli", "serve"]
        command += ["--workspace", str(self._workspace), "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--processes", str(self._processes)] if self._processes > 1 else []
        with self._log.open("ab") as output:
            # Ctrl-C is for the demo, which then ends the server. If the demo is killed, the server ends itself.
            self._process = start_child(command, stdout=output, stderr=output, environment=self._environment)
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and its workers."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()  # its workers end with it: their standard input closes
            process.wait()
        end_child(process)

    @property
    def pid(self) -> int:
        """Process id of the running server.

        Raises
        ------
        Unavailable
            The server is not running.
        """
        self.check()
        assert self._process is not None
        return self._process.pid

    def check(self) -> None:
        """Raise :class:`Unavailable` if the server has ended."""
        if self._process is None or self._process.poll() is not None:
            code = None if self._process is None else self._process.returncode
            raise Unavailable(f"the server exited with code {code}; the end of {self._log}:\n{self.log_tail()}")

    def wait(self) -> None:
        """Wait until the server ends."""
        if self._process is not None:
            self._process.wait()

    def log_tail(self) -> str:
        """Return the last lines of the server's output."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.is_file() else []
        return "\n".join(lines[-_LOG_LINES:])

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with httpx.Client(base_url=self.url, timeout=10, trust_env=False) as client:
            while time.monotonic() < deadline:
                self.check()
                try:
                    if client.get("/readyz").is_success:
                        return
                except httpx.TransportError:
                    pass  # it is not listening yet
                time.sleep(_POLL_SECONDS)
        raise Unavailable(
            f"the server was not ready within {START_SECONDS:.0f} s; the end of {self._log}:\n{self.log_tail()}"
        )


def free_port() -> int:
    """Find a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
