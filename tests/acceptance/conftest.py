"""One small run of the real demo for all tests of a session, through its command in a separate process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.process_trees import wait_until

SMALL = ("--rounds", "2", "--round-size", "3")


@dataclass(frozen=True)
class DemoRun:
    """The result of a demo."""

    workspace: Path
    report: dict[str, Any]
    code: int
    output: str

    @property
    def cohort(self) -> Path:
        """Folder of images and truth."""
        return self.workspace.with_name(f"{self.workspace.name}-cohort")


def run_the_demo(
    folder: Path, *arguments: str, stop_when: Callable[[], bool] | None = None, **environment: str
) -> DemoRun:
    """Run ``mrseg-label demo`` to its end, or until a condition comes true, and Ctrl-C then."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "mrseg_label.cli", "demo", "--workspace", str(folder / "demo"), *arguments]
    with (folder / "output").open("w+") as output:
        process = subprocess.Popen(
            [*command, "--report", str(report)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            if stop_when is not None:
                wait_until(lambda: process.poll() is not None or stop_when(), 600)
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        output.seek(0)
        text = output.read()
    content = json.loads(report.read_text()) if report.is_file() else {}
    return DemoRun(folder / "demo", content, process.returncode, text)


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """Two rounds of three cases with a minimal training: the whole loop, quickly."""
    run = run_the_demo(tmp_path_factory.mktemp("demo"), *SMALL, MRSEG_TRAINING_PROFILE="smoke")
    assert run.code == 0, run.output
    return run
