"""A fold's progress and curve, from the values that nnU-Net logs."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mrseg_label.nnunet.reporting import MAX_POINTS, FoldReporter, curve_of, read_curve
from mrseg_label.nnunet.run import TrainingProgress


class Logged:
    """Values by epoch under the names of nnU-Net's logger."""

    def __init__(self, epochs: int) -> None:
        self.values: dict[str, list[Any]] = {
            "train_losses": [-number / 10 for number in range(epochs)],
            "val_losses": [float("nan")] * epochs,
            "mean_fg_dice": [0.5] * epochs,
            "ema_fg_dice": [0.123456789] * epochs,
            "lrs": [0.01] * (epochs + 1),  # an epoch that has begun has a learning rate already
            "epoch_start_timestamps": [float(number) for number in range(epochs + 1)],
            "epoch_end_timestamps": [number + 0.5 for number in range(epochs)],
        }

    def get_value(self, key: str, step: int | None) -> Any:
        return self.values[key] if step is None else self.values[key][step]


def test_a_curve_has_a_point_for_each_epoch_that_is_done() -> None:
    assert curve_of(Logged(0)) == []
    first, second = curve_of(Logged(2))
    assert (first["epoch"], second["epoch"], second["train_loss"], second["seconds"]) == (1, 2, -0.1, 0.5)
    assert first["validation_loss"] is None and first["pseudo_dice_average"] == 0.123457
    long = curve_of(Logged(2 * MAX_POINTS + 1))
    assert len(long) <= MAX_POINTS and long[-1]["epoch"] == 2 * MAX_POINTS + 1


def test_progress_says_how_long_the_rest_will_take(tmp_path: Path) -> None:
    trainer = SimpleNamespace(logger=Logged(0), optimizer=SimpleNamespace(param_groups=[{"lr": 0.01}]))
    reporter = FoldReporter(tmp_path, 3, (2, 3, 4), epochs=4, iterations=40)
    reporter.report(trainer, 1, 10, None)
    before = TrainingProgress.read(tmp_path)
    assert (before.seconds_left, before.loss, before.pseudo_dice, before.learning_rate) == (None, None, None, 0.01)
    assert read_curve(tmp_path, 3) == []
    trainer.logger = Logged(2)
    reporter.report(trainer, 2, 20, float("nan"))
    reporter.report(trainer, 2, 20, None)  # of validation, which has no loss of training
    after = TrainingProgress.read(tmp_path)
    assert after.seconds_left is not None and after.seconds_left >= 0
    assert (after.loss, after.pseudo_dice, after.folds) == (None, 0.123457, (2, 3, 4))
    assert after.beat != before.beat
    reporter.report(trainer, 4, 40, -1.0)  # the end, however soon after the curve before
    assert [point["epoch"] for point in read_curve(tmp_path, 3)] == [1, 2]
    assert json.loads((tmp_path / "progress.json").read_text())["loss"] == -1.0
