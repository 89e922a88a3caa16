"""What a training does before it trains: plan and preprocess."""

from __future__ import annotations

from dataclasses import dataclass, field

from mrseg_label.nnunet import planning
from mrseg_label.nnunet.dataset import RawDataset
from mrseg_label.nnunet.profiles import TrainingProfile
from mrseg_label.nnunet.run import TrainingProgress, TrainingRun
from mrseg_label.nnunet.stage_clock import StageClock


@dataclass(frozen=True)
class Preparation:
    """What planning and preprocessing led to; see :class:`mrseg_label.nnunet.run.TrainingReport`."""

    plans_from: str | None = None
    planned_anew: str | None = None
    reused: int = 0
    made: int = 0
    left_out: dict[str, str] = field(default_factory=dict)


def prepare(run: TrainingRun, dataset: RawDataset, profile: TrainingProfile, clock: StageClock) -> Preparation:
    """Plan and preprocess; the caller holds the lock of the data set's folder."""
    TrainingProgress("planning").write(run.folder)
    with clock.stage("planning"):
        planned = planning.plan(run.folders, dataset, profile, run.plans_from)
    TrainingProgress("preprocessing", total_iterations=len(dataset.cases)).write(run.folder)

    def progress(done: int, of: int) -> None:
        TrainingProgress("preprocessing", iteration=done, total_iterations=of).write(run.folder)

    with clock.stage("preprocessing"):
        reused, made, left_out = planning.preprocess(run.folders, dataset, profile, progress)
    return Preparation(planned.reused_from, planned.drift, reused, made, left_out)
