"""The list of segments beside the views of a case."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from numpy.typing import NDArray

from mrseg_label.labels import LabelScheme, Structure
from mrseg_label.metrics import dice, score_case

PANEL = "#2b2d31"
TEXT = "#e6e6e6"
FAINT = "#9aa0a8"
_LEGEND_ROWS = 16


def draw_legend(
    figure: Figure,
    presegmentation: NDArray[np.uint8],
    corrected: NDArray[np.uint8],
    scheme: LabelScheme,
    voxel_ml: float,
    draft_from: str,
    corrected_by: str,
) -> None:
    """List the largest structures with colour, volume and DSC of pre-segmentation and annotation.

    Parameters
    ----------
    voxel_ml : volume of a voxel, millilitres.
    draft_from : model version that made the pre-segmentation.
    corrected_by : reader who made the annotation.
    """
    left, bottom, width, height = 0.012, 0.025, 0.238, 0.9
    style = {"boxstyle": "round,pad=0,rounding_size=0.006", "facecolor": PANEL, "edgecolor": "none"}
    figure.add_artist(FancyBboxPatch((left, bottom), width, height, transform=figure.transFigure, **style))
    volumes = np.bincount(corrected.ravel(), minlength=len(scheme) + 1)[1:] * voxel_ml
    agreement = dice(corrected, presegmentation, len(scheme))
    largest, left_out = legend_rows(volumes)
    columns = (left + 0.034, left + 0.172, left + width - 0.01)
    figure.text(left + 0.012, 0.895, "Segments", color=TEXT, fontsize=11.5, fontweight="bold", va="center")
    for x, text in zip(columns[1:], ("ml", "draft DSC"), strict=True):
        figure.text(x, 0.862, text, color=FAINT, fontsize=8.5, va="center", ha="right")
    structures: tuple[Structure, ...] = scheme.structures
    for row, k in enumerate(largest):
        y = 0.832 - row * 0.0435
        color = tuple(channel / 255 for channel in structures[k].color)
        swatch = Rectangle((left + 0.012, y - 0.011), 0.014, 0.022, transform=figure.transFigure, facecolor=color)
        figure.add_artist(swatch)
        value = agreement[k]
        figure.text(columns[0], y, structures[k].shown_name.replace("_", " "), color=TEXT, fontsize=9, va="center")
        figure.text(columns[1], y, f"{volumes[k]:,.0f}", color=FAINT, fontsize=9, va="center", ha="right")
        figure.text(columns[2], y, f"{value:.2f}", color=_grade(float(value)), fontsize=9, va="center", ha="right")
    if left_out:
        y = 0.832 - len(largest) * 0.0435
        figure.text(
            columns[0],
            y,
            f"and {left_out} more, which are smaller",
            color=FAINT,
            fontsize=9,
            va="center",
            style="italic",
        )
    edited = int(np.count_nonzero(presegmentation != corrected))
    score = score_case(corrected, presegmentation, len(scheme))
    counted = int(np.isfinite(score.dsc).sum())
    mean = "" if score.mean is None else f", mean draft DSC {score.mean:.2f} of {counted}"
    lines = (
        f"Draft by {draft_from}, annotated by {corrected_by}",
        f"{len(largest) + left_out} structures{mean}",
        f"{edited:,} voxels edited ({edited * voxel_ml:,.0f} ml)",
    )
    for row, text in enumerate(lines):
        figure.text(left + 0.012, 0.112 - row * 0.031, text, color=TEXT, fontsize=9, va="center")


def legend_rows(volumes: NDArray[np.float64]) -> tuple[list[int], int]:
    """Choose the structures of the legend: indices of the largest ones that are present, and how many are left out."""
    present = [k for k in np.argsort(volumes)[::-1].tolist() if volumes[k] > 0]
    if len(present) <= _LEGEND_ROWS:
        return present, 0
    shown = present[: _LEGEND_ROWS - 1]  # the last row says how many are left out
    return shown, len(present) - len(shown)


def _grade(value: float) -> str:
    return "#7ecb8f" if value >= 0.8 else "#e8c96a" if value >= 0.5 else "#ef8a7c"
