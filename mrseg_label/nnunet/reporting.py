"""What the process of a training reports of a fold: its progress at most every second, and its curve by epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, time_ns
from typing import Any, Protocol

from mrseg_label.files import write_atomically
from mrseg_label.nnunet.run import TrainingProgress

MAX_POINTS = 2000  # of a curve; one of a longer training keeps every second epoch, or every third, and so on
CURVE_SECONDS = 5.0  # shortest time between two writings of a curve
Curve = list[dict[str, float | None]]


class _Logger(Protocol):
    def get_value(self, key: str, step: int | None) -> Any: ...


class _Trainer(Protocol):
    logger: Any
    optimizer: Any


class FoldReporter:
    """Reports the progress of one fold to the files of a run.

    Parameters
    ----------
    folder : of the run.
    folds : numbers of all folds of the run.
    """

    def __init__(self, folder: Path, fold: int, folds: Sequence[int], epochs: int, iterations: int) -> None:
        self._folder, self._fold, self._folds = folder, fold, tuple(folds)
        self._epochs, self._iterations = epochs, iterations
        self._begun: tuple[float, int] | None = None
        self._loss: float | None = None
        self._curve_written = float("-inf")
        self._curve_epochs = -1

    def report(self, trainer: _Trainer, epoch: int, iteration: int, loss: float | None) -> None:
        """Write ``progress.json`` and, after an epoch, the curve."""
        moment = monotonic()
        self._begun = self._begun or (moment, iteration)
        self._loss = self._loss if loss is None else loss
        TrainingProgress(
            "training",
            fold=self._fold,
            folds=self._folds,
            epoch=epoch,
            total_epochs=self._epochs,
            iteration=iteration,
            total_iterations=self._iterations,
            loss=_rounded(self._loss),
            pseudo_dice=_last(trainer.logger, "ema_fg_dice"),
            learning_rate=float(trainer.optimizer.param_groups[0]["lr"]),
            seconds_left=self._seconds_left(moment, iteration),
            beat=time_ns(),
        ).write(self._folder)
        ended = epoch >= self._epochs
        if epoch != self._curve_epochs and (ended or moment - self._curve_written >= CURVE_SECONDS):
            write_curve(self._folder, self._fold, curve_of(trainer.logger))
            self._curve_epochs, self._curve_written = epoch, moment

    def _seconds_left(self, moment: float, iteration: int) -> float | None:
        """Time that this fold and those after it take at the pace since this process began the fold."""
        assert self._begun is not None
        begun, first = self._begun
        if iteration <= first:
            return None
        after = len(self._folds) - 1 - self._folds.index(self._fold)
        left = self._iterations - iteration + after * self._iterations
        return round((moment - begun) / (iteration - first) * left, 1)


def curve_of(logger: _Logger) -> Curve:
    """Read the curve of a training from nnU-Net's logger, whose values a checkpoint keeps.

    Returns
    -------
    For each epoch its number from 1, the losses of training and validation, the mean DSC of the validation patches
    (pseudo-Dice) with its moving average, the learning rate, and the seconds that it took; at most ``MAX_POINTS``.
    """
    columns = {
        "train_loss": "train_losses",
        "validation_loss": "val_losses",
        "pseudo_dice": "mean_fg_dice",
        "pseudo_dice_average": "ema_fg_dice",
        "learning_rate": "lrs",
    }
    values = {name: logger.get_value(key, None) for name, key in columns.items()}
    starts, ends = (logger.get_value(f"epoch_{edge}_timestamps", None) for edge in ("start", "end"))
    epochs = min(len(ends), *map(len, values.values()))
    step = -(-epochs // MAX_POINTS) or 1
    return [
        {
            "epoch": epoch + 1,
            **{name: _rounded(column[epoch]) for name, column in values.items()},
            "seconds": round(float(ends[epoch] - starts[epoch]), 2),
        }
        for epoch in range((epochs - 1) % step, epochs, step)
    ]


def write_curve(folder: Path, fold: int, curve: Curve) -> None:
    """Replace the file of a fold's curve."""
    write_atomically(curve_file(folder, fold), json.dumps(curve).encode())


def read_curve(folder: Path, fold: int) -> list[Mapping[str, float | None]]:
    """Read the curve of a fold; empty as long as there is none."""
    try:
        found = json.loads(curve_file(folder, fold).read_text())
    except (OSError, ValueError):
        return []
    return found if isinstance(found, list) else []


def curve_file(folder: Path, fold: int) -> Path:
    """Path of the file with the curve of a fold."""
    return folder / f"curve_{fold}.json"


def _last(logger: _Logger, key: str) -> float | None:
    values = logger.get_value(key, None)
    return _rounded(values[-1]) if values else None


def _rounded(value: Any) -> float | None:
    """Six digits of a number; None for NaN and infinity, which JSON does not have."""
    return float(f"{float(value):.6g}") if value is not None and math.isfinite(value) else None
