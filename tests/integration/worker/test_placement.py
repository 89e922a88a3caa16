"""Workers on a machine with two GPUs: rounds take free ones, drafts the others, and what cannot run is left to others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.catalog.types import JobState
from mrseg_label.jobs import enqueue, queue
from mrseg_label.nnunet.card_memory import CardMemory, card_memory
from mrseg_label.nnunet.gpus import Gpu, GpuSlots, find_gpus
from mrseg_label.worker import handlers
from mrseg_label.worker.loop import Worker
from mrseg_label.worker.placement import Placement
from mrseg_label.workspace import Workspace

GPUS = (Gpu(0, "GPU-a"), Gpu(1, "GPU-b"))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenedWorkspace]:
    for kind in (queue.TRAIN_ROUND, queue.PRESEGMENT):
        monkeypatch.setitem(handlers.HANDLERS, kind, ("tests.support.deadly:note_device",))
    Workspace.init(tmp_path / "w")
    opened = open_workspace(tmp_path / "w")
    yield opened
    opened.close()


def add(workspace: OpenedWorkspace, kind: str, key: str) -> str:
    with workspace.catalog.begin() as session:
        return enqueue(session, kind, {"note": str(workspace.root / key)}, key=key).id


def state_of(workspace: OpenedWorkspace, job_id: str) -> JobState:
    with workspace.catalog.read() as session:
        job = rows.get(session, job_id)
        assert job is not None
        return job.state


def test_rounds_and_drafts_share_out_the_gpus(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    locks = tmp_path / "locks"
    slots = GpuSlots(GPUS, folder=locks)
    worker = Worker(workspace, queue.QUEUES, GPUS, locks)

    def device_of(kind: str, key: str) -> str:
        add(workspace, kind, key)
        assert worker.run_one()
        return (workspace.root / key).read_text()

    assert device_of(queue.TRAIN_ROUND, "round 1") == "auto GPU-a"  # and is free again
    other = slots.take()  # a training of another worker
    assert other is not None and other.gpu == GPUS[0]
    assert device_of(queue.TRAIN_ROUND, "round 2") == "cuda:1 GPU-a GPU-b"
    assert device_of(queue.PRESEGMENT, "draft 1").startswith("cuda:1")
    last = slots.take()
    assert last is not None
    waiting = add(workspace, queue.TRAIN_ROUND, "round 3")
    assert not worker.run_one() and state_of(workspace, waiting) is JobState.QUEUED
    assert device_of(queue.PRESEGMENT, "draft 2").startswith("cpu")  # the round before it in the queue holds nothing up
    other.release()
    assert worker.run_one() and state_of(workspace, waiting) is JobState.DONE
    last.release()
    assert slots.without_training() == GPUS


def test_drafts_leave_the_memory_of_a_gpu_that_a_training_takes(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    placement = Placement(workspace, GPUS, tmp_path / "locks")
    add(workspace, queue.PRESEGMENT, "draft")
    assert placement.claim([queue.DRAFTS]) is not None
    assert not placement.must_give_way("auto")
    training = GpuSlots(GPUS, folder=tmp_path / "locks").take()
    assert training is not None
    assert [placement.must_give_way(device) for device in ("auto", "cuda:0", "cuda:1", "cpu")] == [
        True,
        True,
        False,
        False,
    ]
    training.release()


@pytest.mark.parametrize(("per_gpu", "devices"), [(1, ["auto", "cuda:1"]), (2, ["auto", "cuda:1", "auto", "cuda:1"])])
def test_drafting_workers_spread_over_the_gpus(
    workspace: OpenedWorkspace, tmp_path: Path, per_gpu: int, devices: list[str]
) -> None:
    workspace.settings.drafts_per_gpu = per_gpu
    placements = [Placement(workspace, GPUS, tmp_path / "locks") for _ in range(5)]
    for number in range(8):
        add(workspace, queue.PRESEGMENT, f"draft {number}")

    def claimed_on(placement: Placement) -> str | None:
        placed = placement.claim([queue.DRAFTS])
        return None if placed is None else placed[1].settings.device

    found = [claimed_on(placement) for placement in placements]
    assert found == [*devices, *[None] * (5 - len(devices))]  # the others leave the drafts to these
    assert claimed_on(placements[1]) == "cuda:1"  # where its networks are loaded
    training = GpuSlots(GPUS, folder=tmp_path / "locks").take()
    assert training is not None and training.gpu == GPUS[0]
    assert claimed_on(placements[0]) is None  # its GPU is taken, and the other one is full
    training.release()


def test_a_worker_beside_another_waits_for_memory(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    workspace.settings.drafts_per_gpu = 2
    for number in range(4):
        add(workspace, queue.PRESEGMENT, f"draft {number}")
    present: dict[int, CardMemory] = {}
    first, second = (Placement(workspace, GPUS[:1], tmp_path / "locks", present.get) for _ in range(2))

    def works(placement: Placement) -> bool:
        return placement.claim([queue.DRAFTS]) is not None

    assert works(first) and works(second)  # nothing is known before the first draft
    present[0] = CardMemory(free=3, held=1, peak=5)
    assert works(first) and not works(second)
    present[0] = CardMemory(free=4, held=1, peak=5)
    assert works(second)
    assert find_gpus() or card_memory(0) is None


def test_a_machine_without_gpus_holds_nothing_back(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    job_id = add(workspace, queue.TRAIN_ROUND, "round")
    assert Worker(workspace, [queue.ROUNDS], (), tmp_path / "locks").run_one()
    assert state_of(workspace, job_id) is JobState.DONE
    assert (workspace.root / "round").read_text() == "auto" and not (tmp_path / "locks").exists()
