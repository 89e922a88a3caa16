"""A supervised process never outlives its parent, whatever happens to the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mrseg_label.errors import InvalidInput, MrsegError
from mrseg_label.nnunet import supervise
from mrseg_label.nnunet.run import ERROR_FILE, TrainingRun
from mrseg_label.nnunet.supervise import SupervisedProcess

# A process with two children, one of them a grandchild of its own session's leader, all writing their ids.
FAMILY = "echo $$ >> {ids}; sh -c 'echo $$ >> {ids}; exec sleep 300' & sh -c 'echo $$ >> {ids}; sleep 300; true' & wait"


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def ids_in(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_kill_of_the_parent_ends_children_and_grandchildren(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    parent = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from mrseg_label.nnunet.supervise import SupervisedProcess
        process = SupervisedProcess(["sh", "-c", {FAMILY.format(ids=ids)!r}], Path({str(tmp_path / "log")!r}))
        print(process.pid, flush=True)
        time.sleep(300)
    """)
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        supervisor = int(running.stdout.readline())
        assert wait_for(lambda: len(ids_in(ids)) == 3)
        family = ids_in(ids)
        assert all(map(alive, family))
        running.send_signal(signal.SIGKILL)
    assert wait_for(lambda: not any(map(alive, [*family, supervisor])), 20)


def test_kill_returns_when_all_are_gone(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    process = SupervisedProcess(["sh", "-c", FAMILY.format(ids=ids)], tmp_path / "log")
    assert wait_for(lambda: len(ids_in(ids)) == 3)
    assert process.poll() is None
    process.kill()
    assert not any(map(alive, ids_in(ids)))


def test_what_the_command_leaves_behind_goes_with_it(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    command = f"sh -c 'echo $$ >> {ids}; exec sleep 300' & while ! [ -s {ids} ]; do sleep 0.05; done; exit 7"
    process = SupervisedProcess(["sh", "-c", command], tmp_path / "log")
    assert process.wait(60) == 7
    assert wait_for(lambda: not alive(ids_in(ids)[0]), 10)


def test_a_terminated_supervisor_takes_its_command_along(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    process = SupervisedProcess(["sh", "-c", FAMILY.format(ids=ids)], tmp_path / "log")
    assert wait_for(lambda: len(ids_in(ids)) == 3)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGKILL
    assert not any(map(alive, ids_in(ids)))


def test_output_goes_to_the_log_and_standard_input_is_empty(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("earlier\n")
    assert SupervisedProcess(["sh", "-c", "cat; echo out; echo err >&2"], log).wait(60) == 0
    assert log.read_text() == "earlier\nout\nerr\n"


def training_run(folder: Path) -> TrainingRun:
    return TrainingRun(folder / "run", folder / "nnunet", "Dataset501_missing", "smoke", folder / "model")


def test_a_training_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="Dataset501_missing is not a data set"):
        supervise.train(training_run(tmp_path), poll_seconds=0.05)


def test_a_training_that_dies_without_a_word_names_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(run: TrainingRun) -> SupervisedProcess:
        run.write()
        return SupervisedProcess(["sh", "-c", "kill -9 $$"], run.folder / "training.log")

    monkeypatch.setattr(supervise, "start_training", start)
    with pytest.raises(MrsegError, match=r"by signal 9 .*training\.log"):
        supervise.train(training_run(tmp_path), poll_seconds=0.05)


def test_what_the_progress_callback_raises_ends_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = tmp_path / "ids"

    def start(run: TrainingRun) -> SupervisedProcess:
        run.write()
        (run.folder / ERROR_FILE).write_text("{}")
        return SupervisedProcess(["sh", "-c", FAMILY.format(ids=ids)], run.folder / "training.log")

    def cancel(_: object) -> None:
        if len(ids_in(ids)) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(supervise, "start_training", start)
    with pytest.raises(KeyboardInterrupt):
        supervise.train(training_run(tmp_path), cancel, poll_seconds=0.05)
    assert not any(map(alive, ids_in(ids)))
