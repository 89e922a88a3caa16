"""A server that the demo starts does not outlive it, and one that fails to start gives the reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mrseg_label.errors import Unavailable
from mrseg_label.simulation.server import Server, free_port


def test_a_process_ends_when_its_parents_pipe_closes() -> None:
    command = [sys.executable, "-m", "mrseg_label.simulation.with_parent", "http.server", str(free_port())]
    with subprocess.Popen(
        [*command, "--bind", "127.0.0.1"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)  # it runs as long as the pipe is open
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) != 0


def test_a_server_that_fails_to_start_is_reported_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="is not a workspace"), Server(tmp_path, tmp_path / "server.log"):
        pass
