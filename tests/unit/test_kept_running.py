"""Children that are kept running start again when they end, later each time, and end when they are told to."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mrseg_label import kept_running
from mrseg_label.kept_running import KeptRunning
from mrseg_label.processes import end_child, start_child
from tests.support.process_trees import is_running, wait_until


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_running, "RESTART_SECONDS", 0.05)
    monkeypatch.setattr(kept_running, "_WATCH_SECONDS", 0.02)


class Children:
    """Notes of what was started and what ended."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.started: list[subprocess.Popen[bytes]] = []
        self.moments: list[float] = []
        self.ended: list[tuple[str, int | OSError]] = []
        self.errors = 0

    def start(self) -> subprocess.Popen[bytes]:
        self.moments.append(time.monotonic())
        if self.errors:
            self.errors -= 1
            raise BlockingIOError("no process id is left")
        self.started.append(start_child(["sh", "-c", self.command]))
        return self.started[-1]

    def kept(self, stop_seconds: float = 10.0) -> KeptRunning:
        return KeptRunning({"a": self.start}, lambda *what: self.ended.append(what), end_child, stop_seconds)


def test_one_that_is_killed_is_replaced_and_none_is_left_at_the_end() -> None:
    children = Children("read line")
    kept = children.kept()
    kept.start()
    wait_until(lambda: len(children.started) == 1)
    children.started[0].kill()
    wait_until(lambda: len(children.started) == 2)
    assert children.ended == [("a", -9)]
    kept.stop()
    kept.stop()
    assert children.started[1].returncode == 1  # the pipe that it reads is closed
    assert len(children.started) == 2 and len(children.ended) == 1


def test_those_that_end_at_once_start_again_later_each_time() -> None:
    children = Children("exit 3")
    kept = children.kept()
    kept.start()
    wait_until(lambda: len(children.moments) == 5)
    kept.stop()
    waits = [after - before for before, after in zip(children.moments, children.moments[1:], strict=False)]
    assert all(wait >= 0.05 * number for number, wait in enumerate(waits[:4], 1))
    assert children.ended[:4] == [("a", 3)] * 4


def test_failures_of_long_ago_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_running, "HEALTHY_SECONDS", 0.0)
    children = Children("exit 3")
    kept = children.kept()
    kept.start()
    wait_until(lambda: len(children.moments) == 3)
    kept.stop()
    assert {slot.failures for slot in kept._slots.values()} == {1}


def test_one_that_cannot_be_started_is_tried_again() -> None:
    children = Children("read line")
    children.errors = 2
    kept = children.kept()
    kept.start()
    wait_until(lambda: len(children.started) == 1)
    kept.stop()
    assert [(name, str(reason)) for name, reason in children.ended] == [("a", "no process id is left")] * 2


def test_one_that_does_not_end_is_killed_with_what_it_started(tmp_path: Path) -> None:
    children = Children(f"sleep 300 & echo $! > {tmp_path / 'id'}; wait")
    kept = children.kept(stop_seconds=0.2)
    kept.start()
    wait_until(lambda: (tmp_path / "id").exists() and (tmp_path / "id").read_text().strip().isdigit())
    kept.stop()
    wait_until(lambda: not is_running(int((tmp_path / "id").read_text())))


def test_without_children_no_thread_runs() -> None:
    before = threading.active_count()
    kept = KeptRunning({}, print, end_child, 1.0)
    kept.start()
    assert threading.active_count() == before
    kept.stop()


def test_they_end_with_the_process_that_keeps_them(tmp_path: Path) -> None:
    """The rule has no clean-up of its own for a kill: the children watch their pipe."""
    program = f"""
import time
from mrseg_label.kept_running import KeptRunning
from mrseg_label.processes import end_child, start_child
KeptRunning({{"a": lambda: start_child(["sh", "-c", "echo $$ > {tmp_path / "id"}; read line"])}}, print, end_child, 1).start()
time.sleep(300)
"""
    keeper = subprocess.Popen([sys.executable, "-c", program])
    wait_until(lambda: (tmp_path / "id").exists() and (tmp_path / "id").read_text().strip().isdigit())
    keeper.kill()
    keeper.wait()
    wait_until(lambda: not is_running(int((tmp_path / "id").read_text())))
