"""nnU-Net's trainer with checkpoints that are always whole, progress that others can read, and a short schedule.

None of these trainers changes the network, so that plain nnU-Net loads what they train under the name of its own
trainer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from nnunetv2.training.logging.nnunet_logger import MetaLogger
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper

from mrseg_label.files import replacing
from mrseg_label.nnunet.augmented_training import AugmentedTraining
from mrseg_label.nnunet.compilation import CompiledTraining
from mrseg_label.nnunet.environment import CONFIGURATION
from mrseg_label.nnunet.losses import AnnealedDiceCrossEntropy
from mrseg_label.nnunet.profiles import TrainingProfile
from mrseg_label.nnunet.seeded_batches import SeededLoading

LATEST, FINAL, BEST = "checkpoint_latest.pth", "checkpoint_final.pth", "checkpoint_best.pth"
_REPORT_SECONDS = 1.0
_WARM_UP = 0.15
_FIRST_EXPONENT = 0.5

Progress = Callable[[int, int, float | None], None]
"""Called with the number of epochs done, of iterations done, and the latest loss; None where it has not changed."""


class _RoundTrainer(CompiledTraining, SeededLoading, AugmentedTraining):
    """What the trainers of a round have in common. Call :meth:`configure` before training.

    nnU-Net inspects the arguments of ``__init__``, so there is none here.
    """

    profile: TrainingProfile
    _progress: Progress
    _seed: int
    _saved_at: float
    _reported_at: float
    _iteration: int

    def configure(self, profile: TrainingProfile, progress: Progress, seed: int = 0) -> None:
        """Set the length of the training, the callback for its progress and the seed."""
        self.profile = profile
        self._progress = progress
        self._seed = seed
        self._saved_at = monotonic()
        self._reported_at = 0.0
        self._iteration = 0
        self.choose_compilation(profile)
        self.num_epochs = profile.epochs
        self.num_iterations_per_epoch = profile.iterations_per_epoch
        self.initial_lr = profile.peak_learning_rate
        self.num_val_iterations_per_epoch = profile.validation_iterations
        self.save_every = profile.epochs + 1  # checkpoints are written by time, below
        if profile.short_schedule:
            self.logger = _LoggerWithoutPlots(self.output_folder, False)

    def on_epoch_start(self) -> None:
        """Seed each epoch anew, so that a training that is resumed continues as if it had not been interrupted."""
        seed = (self._seed * 100_003 + int(self.fold) * 1_009 + self.current_epoch) % 2**32
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        self._iteration = self.current_epoch * self.num_iterations_per_epoch
        super().on_epoch_start()

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Run one of nnU-Net's iterations, and report progress at most once a second."""
        result: dict[str, Any] = super().train_step(batch)
        self._iteration += 1
        if monotonic() - self._reported_at >= _REPORT_SECONDS:
            self._progress(self.current_epoch, self._iteration, float(result["loss"]))
            self._reported_at = monotonic()
        return result

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Run one of nnU-Net's validation steps, and show at most once a second that the training goes on."""
        result: dict[str, Any] = super().validation_step(batch)
        if monotonic() - self._reported_at >= _REPORT_SECONDS:
            self._progress(self.current_epoch, self._iteration, None)
            self._reported_at = monotonic()
        return result

    def on_epoch_end(self) -> None:
        """Do what nnU-Net does, and write a checkpoint if the last one is old."""
        super().on_epoch_end()
        self._progress(self.current_epoch, self._iteration, float(self.logger.get_value("train_losses", step=-1)))
        due = monotonic() - self._saved_at >= self.profile.checkpoint_seconds
        if due and self.current_epoch < self.num_epochs:
            self.current_epoch -= 1  # a checkpoint holds the number of the epoch after the current one
            self.save_checkpoint(str(Path(self.output_folder) / LATEST))
            self.current_epoch += 1
            self._saved_at = monotonic()

    def save_checkpoint(self, filename: str) -> None:
        """Replace a checkpoint durably: a process that is killed leaves the old one or the new one, whole."""
        if Path(filename).name == BEST and self.profile.short_schedule:
            return  # chosen by a few validation patches and never used
        with replacing(Path(filename), durable=True, one_writer=True) as partial:
            super().save_checkpoint(str(partial))


class MrsegTrainer(_RoundTrainer):
    """nnU-Net's own training."""


class MrsegShortTrainer(_RoundTrainer):
    """A training of a few hundred iterations: AdamW with one cycle, annealed class weights.

    References
    ----------
    Smith LN, Topin N. Super-convergence. arXiv 1708.07120.
    """

    def configure(self, profile: TrainingProfile, progress: Progress, seed: int = 0) -> None:
        """Configure as for every round; patches are drawn around a structure as often as in a larger batch."""
        super().configure(profile, progress, seed)
        # nnU-Net takes the last third of a batch from the foreground, and a batch of one has none.
        self.probabilistic_oversampling = True
        self.weight_decay = 1e-4

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, _OneCycle]:
        """Return AdamW and a schedule of one cycle over all iterations."""
        rates = one_cycle_rates(self.initial_lr, self.profile.total_iterations)
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=rates[0], betas=(0.9, 0.99), weight_decay=self.weight_decay
        )
        return optimizer, _OneCycle(optimizer, rates, self.num_iterations_per_epoch)

    def _build_loss(self) -> torch.nn.Module:
        loss = AnnealedDiceCrossEntropy(_FIRST_EXPONENT, self.label_manager.ignore_label)
        if not self.enable_deep_supervision:
            return loss
        weights = np.array([0.5**level for level in range(len(self._get_deep_supervision_scales()))])
        if len(weights) > 1:
            weights[-1] = 0  # as in nnU-Net: the coarsest output is not trained
        wrapped: torch.nn.Module = DeepSupervisionWrapper(loss, weights / weights.sum())
        return wrapped

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Run one iteration with the learning rate and the class weights that its place in the training asks for."""
        self.lr_scheduler.at(self._iteration)
        loss = self.loss.loss if isinstance(self.loss, DeepSupervisionWrapper) else self.loss
        loss.exponent = _FIRST_EXPONENT * (1 - self._iteration / self.profile.total_iterations)
        # nnU-Net uses half precision on GPUs only. On a CPU that multiplies bfloat16 it halves the time.
        with torch.autocast("cpu", torch.bfloat16, enabled=self.device.type == "cpu" and _cpu_has_bfloat16()):
            return super().train_step(batch)


@cache
def _cpu_has_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def one_cycle_rates(peak: float, iterations: int) -> list[float]:
    """Learning rate of each iteration of one cycle, as torch's OneCycleLR computes it."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peak, total_steps=max(iterations, 2), pct_start=_WARM_UP, cycle_momentum=False
    )
    rates = []
    for _ in range(iterations):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if len(rates) < iterations:
            schedule.step()
    return rates


class _OneCycle:
    """Learning rates by iteration, behind the ``step(epoch)`` that nnU-Net calls. It has no state to save."""

    def __init__(self, optimizer: torch.optim.Optimizer, rates: list[float], iterations_per_epoch: int) -> None:
        self._optimizer, self._rates, self._per_epoch = optimizer, rates, iterations_per_epoch

    def step(self, epoch: int) -> None:
        """Set the rate of an epoch's first iteration."""
        self.at(epoch * self._per_epoch)

    def at(self, iteration: int) -> None:
        """Set the rate of an iteration."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rates[iteration]


class _LoggerWithoutPlots(MetaLogger):
    """nnU-Net's logger without its figure after each epoch, which takes longer than a short epoch."""

    def plot_progress_png(self, output_folder: str) -> None:
        """Do nothing."""


def make_trainer(
    plans: dict[str, Any], dataset_json: dict[str, Any], fold: int, profile: TrainingProfile, device: torch.device
) -> _RoundTrainer:
    """Make the trainer of a profile for one fold; call its ``configure`` next."""
    trainer_class = MrsegShortTrainer if profile.short_schedule else MrsegTrainer
    plans = {**plans, "continue_training": False}  # nnU-Net removes it again; only its online loggers use it
    trainer: _RoundTrainer = trainer_class(plans, CONFIGURATION, fold, dataset_json, device)
    return trainer
