"""Charts of a training: loss and pseudo-Dice by epoch."""

from __future__ import annotations

from collections.abc import Sequence

from mrseg_label.reports.charts.layout import Chart, Series, line_chart
from mrseg_label.reports.documents.rounds import FoldDetail


def loss_chart(folds: Sequence[FoldDetail]) -> Chart | None:
    """Lay out the losses by epoch, of training and validation for one fold, of validation alone for several."""
    if len(folds) == 1:
        curve = folds[0].curve
        series = [
            Series("training", [(point.epoch, point.train_loss) for point in curve]),
            Series("validation", [(point.epoch, point.validation_loss) for point in curve]),
        ]
    else:
        series = [
            Series(f"fold {fold.fold}", [(point.epoch, point.validation_loss) for point in fold.curve])
            for fold in folds
        ]
    title = "Loss" if len(folds) == 1 else "Validation loss"
    return line_chart(title, series, x_name="epoch", y_name="loss")


def pseudo_dice_chart(folds: Sequence[FoldDetail]) -> Chart | None:
    """Lay out nnU-Net's pseudo-Dice by epoch: of one fold with its moving average, of several the averages."""
    if len(folds) == 1:
        curve = folds[0].curve
        series = [
            Series("single epoch", [(point.epoch, point.pseudo_dice) for point in curve]),
            Series("moving average", [(point.epoch, point.pseudo_dice_average) for point in curve]),
        ]
    else:
        series = [
            Series(f"fold {fold.fold}", [(point.epoch, point.pseudo_dice_average) for point in fold.curve])
            for fold in folds
        ]
    return line_chart("Pseudo-Dice", series, x_name="epoch", y_name="pseudo-Dice", y_limits=(0.0, 1.0))
