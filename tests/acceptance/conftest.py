"""One small run of the real demo for all tests of a session, through its command in a separate process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

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


def run_the_demo(folder: Path, *arguments: str, **environment: str) -> DemoRun:
    """Run ``mrseg-label demo`` to its end."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "mrseg_label.cli", "demo", "--workspace", str(folder / "demo"), *arguments]
    done = subprocess.run(
        [*command, "--report", str(report)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    content = json.loads(report.read_text()) if report.is_file() else {}
    return DemoRun(folder / "demo", content, done.returncode, done.stdout)


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """Two rounds of three cases with a minimal training: the whole loop, quickly."""
    run = run_the_demo(tmp_path_factory.mktemp("demo"), *SMALL, MRSEG_TRAINING_PROFILE="smoke")
    assert run.code == 0, run.output
    return run
