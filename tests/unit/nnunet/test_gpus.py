"""Which GPUs a process may use, and that a training keeps its GPU until the last of its processes is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mrseg_label.nnunet.gpus import Gpu, GpuSlots, find_gpus, visible_gpus
from mrseg_label.nnunet.supervise import SupervisedProcess
from tests.support.process_trees import FAMILY, any_running, ids_in, wait_until

LISTED = "0, GPU-aaaa-1\n1, GPU-bbbb-2\n2, GPU-bbcc-3\n"
TWO = (Gpu(0, "GPU-aaaa-1"), Gpu(1, "GPU-bbbb-2"))


@pytest.mark.parametrize(
    ("visible", "identities"),
    [
        (None, ["GPU-aaaa-1", "GPU-bbbb-2", "GPU-bbcc-3"]),
        ("2, 0", ["GPU-bbcc-3", "GPU-aaaa-1"]),
        ("GPU-bbc", ["GPU-bbcc-3"]),
        ("MIG-x,1", ["MIG-x", "GPU-bbbb-2"]),
        ("1,7,0", ["GPU-bbbb-2"]),
        ("", []),
        ("-1", []),
    ],
)
def test_gpus_that_a_process_may_use(visible: str | None, identities: list[str]) -> None:
    assert visible_gpus(LISTED, visible) == tuple(Gpu(number, one) for number, one in enumerate(identities))


def test_the_driver_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_gpus({}) == ()
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!{sys.executable}\nprint({LISTED!r}, end='')\n")
    tool.chmod(0o755)
    assert find_gpus({"CUDA_VISIBLE_DEVICES": "1"}) == (Gpu(0, "GPU-bbbb-2"),)
    tool.write_text("#!/bin/sh\nexit 9\n")  # no driver
    assert find_gpus({}) == ()


def test_trainings_take_free_gpus(tmp_path: Path) -> None:
    slots = GpuSlots(TWO, "auto", 1, tmp_path / "locks")
    first, second = slots.take(), GpuSlots(TWO, "auto", 1, tmp_path / "locks").take()
    assert first is not None and second is not None and {first.gpu, second.gpu} == set(TWO)
    assert slots.take() is None and slots.without_training() == ()
    second.release()
    assert slots.without_training() == (second.gpu,)
    pinned = GpuSlots(TWO, f"cuda:{first.gpu.number}", 2, tmp_path / "locks")
    assert pinned.gpus == (first.gpu,)
    shared = pinned.take()  # the second training that may share the GPU
    assert shared is not None and pinned.take() is None
    shared.release()
    first.release()
    first.release()
    assert slots.without_training() == TWO
    assert GpuSlots(TWO, "cpu", 1, tmp_path / "locks").gpus == ()
    assert (tmp_path / "locks").stat().st_mode & 0o7777 == 0o1777


def test_a_slot_lasts_as_long_as_the_processes_of_its_training(tmp_path: Path) -> None:
    """Also where the worker that took it is killed and cannot say so."""
    slots = GpuSlots(TWO[:1], "auto", 1, tmp_path / "locks")
    slot = slots.take()
    assert slot is not None
    ids = tmp_path / "ids"
    process = SupervisedProcess(["sh", "-c", FAMILY.format(ids=ids)], tmp_path / "log")
    wait_until(lambda: len(ids_in(ids)) == 3)
    slot.release()
    assert slots.is_training_on(TWO[0])
    os.kill(process.pid, signal.SIGKILL)
    for pid in ids_in(ids)[:2]:
        os.kill(pid, signal.SIGKILL)
    assert slots.is_training_on(TWO[0]) or not any_running(ids_in(ids))
    process.kill()
    assert not any_running(ids_in(ids)) and not slots.is_training_on(TWO[0])


def test_a_slot_ends_with_its_process(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from mrseg_label.nnunet.gpus import Gpu, GpuSlots
print(GpuSlots([Gpu(0, "GPU-aaaa-1")], folder=Path({str(tmp_path / "locks")!r})).take(), flush=True)
time.sleep(600)
"""
    slots = GpuSlots(TWO[:1], folder=tmp_path / "locks")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert slots.take() is None
        holder.kill()
    slot = slots.take()
    assert slot is not None
    slot.release()
