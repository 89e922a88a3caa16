"""Real trainings that are cancelled or hang: with nnU-Net's own processes that load and augment, nothing is left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mrseg_label.errors import Cancelled, Stalled
from mrseg_label.nnunet.dataset import write_raw_dataset
from mrseg_label.nnunet.run import TrainingProgress, TrainingRun
from mrseg_label.nnunet.supervise import train
from tests.integration.nnunet.test_engine import processes_with
from tests.support.nnunet_cases import SCHEME, write_case
from tests.support.process_trees import any_running, children_of

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingRun]:
    root = tmp_path_factory.mktemp("ends")
    cases = write_case(root, 1, "LPS") + write_case(root, 2, "RAS")
    write_raw_dataset(root / "nnunet" / "raw", "Dataset501_round1", cases, SCHEME)
    yield TrainingRun(
        root / "run", root / "nnunet", "Dataset501_round1", "smoke", root / "model", device="cpu", threads=1
    )


def trainer_of(run: TrainingRun) -> int:
    """Process id of the training itself; its loaders, which are forks, have the same command."""
    (supervisor,) = set(processes_with("nnunet.supervise")) & set(processes_with(str(run.folder)))
    (trainer,) = children_of(supervisor)
    return trainer


def test_a_cancel_reaches_the_processes_that_load_and_augment(run: TrainingRun) -> None:
    family: list[int] = []
    cancelled = 0.0

    def cancel(progress: TrainingProgress) -> None:
        nonlocal cancelled
        if progress.stage == "training" and progress.iteration > 2:
            trainer = trainer_of(run)
            loaders = [pid for pid in children_of(trainer) if str(run.folder) in " ".join(command_of(pid))]
            assert len(loaders) >= 2, "nnU-Net loads in this process"
            family.extend([trainer, *children_of(trainer)])
            cancelled = time.monotonic()
            raise Cancelled("cancelled by an admin")

    pools = {"short_schedule": False, "process_pools": True, "epochs": 1000}
    with pytest.raises(Cancelled):
        train(replace(run, changes=pools), cancel, poll_seconds=0.2)
    assert time.monotonic() - cancelled < 10
    assert not any_running(family) and processes_with(str(run.folder)) == []


def test_a_training_that_hangs_is_ended_and_trained_again(run: TrainingRun) -> None:
    stopped: list[int] = []

    def stop(progress: TrainingProgress) -> None:
        if progress.stage == "training" and not stopped:
            stopped.append(trainer_of(run))
            os.kill(stopped[0], signal.SIGSTOP)

    with pytest.raises(Stalled, match=r"no progress for 0\.1 minutes \(stage training, fold 0"):
        train(replace(run, stall_minutes=0.1, changes={"epochs": 50}), stop, poll_seconds=0.2)
    assert not any_running(stopped) and processes_with(str(run.folder)) == []
    assert train(replace(run, changes={"epochs": 50}), poll_seconds=0.2).final_loss.keys() == {0}


def command_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
