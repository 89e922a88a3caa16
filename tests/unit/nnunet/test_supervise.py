"""A supervised process never outlives its parent, whatever happens to the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mrseg_label.errors import Conflict, InvalidInput, MrsegError, OutOfMemory, Stalled
from mrseg_label.nnunet import supervise
from mrseg_label.nnunet.lock import folder_lock
from mrseg_label.nnunet.run import ERROR_FILE, TrainingRun
from mrseg_label.nnunet.supervise import SupervisedProcess
from tests.support.process_trees import FAMILY, any_running, ids_in, is_running, wait_until


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
        wait_until(lambda: len(ids_in(ids)) == 3)
        family = ids_in(ids)
        assert all(map(is_running, family))
        running.send_signal(signal.SIGKILL)
    wait_until(lambda: not any_running([*family, supervisor]), 20)


def test_kill_returns_when_all_are_gone(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    process = SupervisedProcess(["sh", "-c", FAMILY.format(ids=ids)], tmp_path / "log")
    wait_until(lambda: len(ids_in(ids)) == 3)
    assert process.poll() is None
    process.kill()
    assert not any_running(ids_in(ids))


def test_what_the_command_leaves_behind_goes_with_it(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    command = f"sh -c 'echo $$ >> {ids}; exec sleep 300' & while ! [ -s {ids} ]; do sleep 0.05; done; exit 7"
    process = SupervisedProcess(["sh", "-c", command], tmp_path / "log")
    assert process.wait(60) == 7
    assert not any_running(ids_in(ids))


def test_a_terminated_supervisor_takes_its_command_along(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    process = SupervisedProcess(["sh", "-c", FAMILY.format(ids=ids)], tmp_path / "log")
    wait_until(lambda: len(ids_in(ids)) == 3)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGKILL
    assert not any_running(ids_in(ids))


# A training as nnU-Net runs it: it holds the lock on its folder, which its forked loaders of images share.
TRAINING = """
import multiprocessing, os, sys, time
from pathlib import Path
from mrseg_label.nnunet.lock import folder_lock
from mrseg_label.processes import end_with_parent

def note():
    with open(sys.argv[1], "a") as ids:
        print(os.getpid(), file=ids)

def load():
    note()
    time.sleep(300)

end_with_parent()
with folder_lock(Path(sys.argv[2])):
    for _ in range(2):
        multiprocessing.get_context("fork").Process(target=load).start()
    note()
    while True:
        time.sleep(0.1)
"""


def start_locked(folder: Path) -> SupervisedProcess:
    ids = folder / "ids"
    ids.unlink(missing_ok=True)
    command = [sys.executable, "-c", TRAINING, str(ids), str(folder / "fold_0")]
    process = SupervisedProcess(command, folder / "log")
    wait_until(lambda: len(ids_in(ids)) == 3)
    return process


def test_a_training_ends_with_its_supervisor_and_can_start_again(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    process = start_locked(tmp_path)
    with pytest.raises(Conflict, match="another process is working"), folder_lock(tmp_path / "fold_0"):
        pass
    first = ids_in(ids)
    os.kill(process.pid, signal.SIGKILL)
    started = time.monotonic()
    assert process.wait(20) == -signal.SIGKILL
    assert time.monotonic() - started < 5
    # Nothing is left when the end is reported, so the next attempt finds the folder free.
    assert not any_running(first)
    with folder_lock(tmp_path / "fold_0"):
        pass
    retry = start_locked(tmp_path)
    assert all(map(is_running, ids_in(ids))) and not set(first) & set(ids_in(ids))
    retry.kill()
    assert not any_running(ids_in(ids))


def test_any_command_ends_with_its_supervisor(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    process = SupervisedProcess(["sh", "-c", FAMILY.format(ids=ids)], tmp_path / "log")
    wait_until(lambda: len(ids_in(ids)) == 3)
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: process.poll() == -signal.SIGKILL)
    assert not any_running(ids_in(ids))


def test_a_training_ends_without_supervisor_and_worker(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    worker = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from mrseg_label.nnunet.supervise import SupervisedProcess
        command = [sys.executable, "-c", {TRAINING!r}, {str(ids)!r}, {str(tmp_path / "fold_0")!r}]
        print(SupervisedProcess(command, Path({str(tmp_path / "log")!r})).pid, flush=True)
        time.sleep(300)
    """)
    with subprocess.Popen([sys.executable, "-c", worker], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        supervisor = int(running.stdout.readline())
        wait_until(lambda: len(ids_in(ids)) == 3)
        running.send_signal(signal.SIGSTOP)  # it cannot clear up after its supervisor
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: not any_running(ids_in(ids)), 10)
        running.send_signal(signal.SIGKILL)
    with folder_lock(tmp_path / "fold_0"):
        pass


def test_the_death_of_the_supervisor_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = tmp_path / "ids"
    started: list[SupervisedProcess] = []

    def start(run: TrainingRun) -> SupervisedProcess:
        run.write()
        started.append(SupervisedProcess(["sh", "-c", FAMILY.format(ids=ids)], run.folder / "training.log"))
        return started[0]

    def kill_supervisor(_: object) -> None:
        if len(ids_in(ids)) == 3:
            os.kill(started[0].pid, signal.SIGKILL)

    monkeypatch.setattr(supervise, "start_training", start)
    with pytest.raises(MrsegError, match=r"its supervisor was killed by signal 9; see .*training\.log"):
        supervise.train(training_run(tmp_path), kill_supervisor, poll_seconds=0.05)
    assert not any_running(ids_in(ids))


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("earlier\n")
    assert SupervisedProcess(["sh", "-c", "echo out; echo err >&2"], log).wait(60) == 0
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
    with pytest.raises(MrsegError, match=r"was killed by signal 9 .*training\.log"):
        supervise.train(training_run(tmp_path), poll_seconds=0.05)


STOPPED = "echo $$ >> {ids}; sh -c 'echo $$ >> {ids}; exec sleep 300' & kill -STOP $$"


def test_a_training_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = tmp_path / "ids"

    def start(run: TrainingRun) -> SupervisedProcess:
        run.write()
        return SupervisedProcess(["sh", "-c", STOPPED.format(ids=ids)], run.folder / "training.log")

    monkeypatch.setattr(supervise, "start_training", start)
    run = replace(training_run(tmp_path), stall_minutes=0.02)
    with pytest.raises(Stalled, match=r"no progress for 0\.02 minutes \(stage starting\)"):
        supervise.train(run, poll_seconds=0.05)
    assert len(ids_in(ids)) == 2 and not any_running(ids_in(ids))


def test_a_supervisor_that_hangs_is_ended_too(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    process = SupervisedProcess(["sh", "-c", FAMILY.format(ids=ids)], tmp_path / "log")
    wait_until(lambda: len(ids_in(ids)) == 3)
    os.kill(process.pid, signal.SIGSTOP)
    process.kill()
    assert not any_running([*ids_in(ids), process.pid])


# Like a training: it reports that memory was exhausted, unless it was told to spare some.
HUNGRY = """
import resource, sys
from pathlib import Path
from mrseg_label.errors import MrsegError
from mrseg_label.nnunet import train
from mrseg_label.nnunet.run import TrainingReport

def run_training(run):
    resource.setrlimit(resource.RLIMIT_AS, (1 << 32, 1 << 32))
    if not run.spare_memory or sys.argv[-1] == "always":
        bytearray(1 << 33)
    TrainingReport(run.model, None, 0, 0, None, {}, {}, {}, {}).write(run.folder)

train.run_training = run_training
sys.argv = ["train", sys.argv[1]]
sys.exit(train.main())
"""


@pytest.mark.parametrize("always", [False, True])
def test_a_training_without_memory_is_tried_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always: bool
) -> None:
    started: list[TrainingRun] = []

    def start(run: TrainingRun) -> SupervisedProcess:
        started.append(run)
        code = HUNGRY.replace('sys.argv[-1] == "always"', str(always))
        return SupervisedProcess([sys.executable, "-c", code, str(run.write())], run.folder / "training.log")

    monkeypatch.setattr(supervise, "start_training", start)
    if always:
        with pytest.raises(OutOfMemory, match="MemoryError.*once more with smaller settings.*more memory"):
            supervise.train(training_run(tmp_path), poll_seconds=0.05)
    else:
        supervise.train(training_run(tmp_path), poll_seconds=0.05)
    assert [run.spare_memory for run in started] == [False, True]


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
    assert not any_running(ids_in(ids))
