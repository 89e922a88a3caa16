"""``mrseg-label worker`` at a terminal: how it is told to end, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.catalog.types import JobState
from mrseg_label.jobs import enqueue, queue
from mrseg_label.workspace import Workspace
from tests.support.process_trees import children_of, is_running, umask_of, wait_until

Started = subprocess.Popen[bytes]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[Started, int]]:
    """The command, and the process of the worker that it started and that is at work."""
    Workspace.init(tmp_path / "ws")
    open_workspace(tmp_path / "ws").close()
    log = tmp_path / "log"
    # A job that is done tells that its loop runs, handlers of signals and all.
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "mrseg_label.cli",
                "worker",
                "--workspace",
                str(tmp_path / "ws"),
                "--queues",
                "light",
            ],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    opened = open_workspace(tmp_path / "ws")
    with opened.catalog.begin() as session:
        job_id = enqueue(session, queue.PRESEGMENT_PENDING, {}, key=queue.PRESEGMENT_PENDING).id

    def worked() -> bool:
        with opened.catalog.read() as session:
            job = rows.get(session, job_id)
            return job is not None and job.state is JobState.DONE

    try:
        wait_until(worked)
        (worker,) = children_of(process.pid)
        yield process, worker
    finally:
        opened.catalog.close()
        for pid in (process.pid, *children_of(process.pid)):
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_to(started: tuple[Started, int], number: int) -> None:
    process, worker = started
    assert umask_of(worker) == "0077"
    process.send_signal(number)
    assert process.wait(30) == 0
    assert not is_running(worker)


def test_the_worker_ends_with_the_command_that_is_killed(started: tuple[Started, int]) -> None:
    process, worker = started
    process.kill()
    process.wait(30)
    wait_until(lambda: not is_running(worker), 10)


def test_it_says_that_the_worker_died(started: tuple[Started, int]) -> None:
    process, worker = started
    os.kill(worker, signal.SIGKILL)
    assert process.wait(30) == signal.SIGKILL
