"""A figure of the learning curve: how good the pre-segmentations of each round were, and how much readers edited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mrseg_label.errors import InvalidInput
from mrseg_label.scoring import MEAN_OF_CASES

_INK = "#22262b"
_FAINT = "#7a828c"
_GRID = "#e4e7eb"
_DRAFTS = "#1f6fb4"
_HELD_OUT = "#e0812b"
_EFFORT = "#5a9e6f"
_REJECTED = "#b9c0c8"


@dataclass(frozen=True)
class CurvePoint:
    """One round of the curve.

    Attributes
    ----------
    cases : number of annotations that were made from the round's pre-segmentations.
    mean_dsc : of the pre-segmentations that readers started from.
    heldout_dsc : of the round's model on a fixed set of held-out participants, if known.
    heldout_cases : number of cases in that set.
    edited_voxels_per_case : mean number of voxels that readers changed.
    promoted : whether the round's model became the current one.
    """

    round: int
    model_version: str
    cases: int
    mean_dsc: float
    heldout_dsc: float | None
    edited_voxels_per_case: float
    promoted: bool = True
    heldout_cases: int = 0


def curve(points: Sequence[CurvePoint], path: Path, title: str = "Drafts and annotations, round by round") -> None:
    """Draw DSC and effort by round.

    Parameters
    ----------
    path : file to write, PNG.

    Raises
    ------
    InvalidInput
        There is no round to draw.
    """
    if not points:
        raise InvalidInput("a learning curve needs at least one round")
    figure = Figure(figsize=(11.4, 4.9), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.065, 0.025, f"Mean DSC: {MEAN_OF_CASES}", fontsize=7.5, color=_FAINT, va="center")
    figure.text(0.065, 0.945, title, fontsize=15, fontweight="bold", color=_INK, va="center")
    quality, effort = figure.subplots(
        1, 2, gridspec_kw={"left": 0.065, "right": 0.975, "top": 0.82, "bottom": 0.18, "wspace": 0.2}
    )
    _draw_quality(quality, points)
    _draw_effort(effort, points)
    for axes in (quality, effort):
        _style(axes, points)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")


def _draw_quality(axes: Axes, points: Sequence[CurvePoint]) -> None:
    axes.set_title("Mean DSC against the truth", loc="left", fontsize=11, color=_INK, pad=12)
    positions = list(range(len(points)))
    presegmentations = [point.mean_dsc for point in points]
    axes.plot(
        positions,
        presegmentations,
        color=_DRAFTS,
        linewidth=2.4,
        marker="o",
        markersize=8,
        label="drafts that readers started from",
        zorder=3,
    )
    held = [(k, point.heldout_dsc) for k, point in enumerate(points) if point.heldout_dsc is not None]
    if held:
        axes.plot(*zip(*held, strict=True), color=_HELD_OUT, linewidth=2, linestyle="--", marker="D", markersize=6,
                  label=_held_out_name(points), zorder=2)  # fmt: skip
    beside = dict(held)
    for k, value in enumerate(presegmentations):
        above = value >= beside.get(k, -1.0)
        _label(axes, k, value, above, color=_DRAFTS, fontsize=10.5, fontweight="bold")
        if k in beside:
            _label(axes, k, beside[k], not above, color=_HELD_OUT, fontsize=9.5)
    axes.set_ylim(0, min(1.0, max([*presegmentations, *(value for _, value in held)]) * 1.25 + 0.05))
    axes.legend(loc="lower right", frameon=False, fontsize=9.5, labelcolor=_INK)


def _held_out_name(points: Sequence[CurvePoint]) -> str:
    counts = sorted({point.heldout_cases for point in points if point.heldout_dsc is not None})
    cases = f"{counts[0]} cases" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} cases, not all the same"
    return f"held-out participants ({cases})"


def _label(axes: Axes, k: int, value: float, above: bool, **style: Any) -> None:
    """Write the value beside its point, on the side away from the other curve."""
    axes.annotate(
        f"{value:.2f}", (k, value), textcoords="offset points", xytext=(0, 11 if above else -19), ha="center", **style
    )


def _draw_effort(axes: Axes, points: Sequence[CurvePoint]) -> None:
    axes.set_title("Voxels edited per case", loc="left", fontsize=11, color=_INK, pad=12)
    values = [point.edited_voxels_per_case for point in points]
    colors = [_EFFORT if point.promoted else _REJECTED for point in points]
    axes.bar(range(len(points)), values, width=0.56, color=colors, zorder=3)
    for k, value in enumerate(values):
        share = f"\n{value / values[0]:.0%} of the first" if k and values[0] else ""
        axes.annotate(f"{value:,.0f}{share}", (k, value), textcoords="offset points", xytext=(0, 5), ha="center", va="bottom",
                      fontsize=10, color=_INK)  # fmt: skip
    axes.set_ylim(0, max(max(values), 1.0) * 1.22)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _style(axes: Axes, points: Sequence[CurvePoint]) -> None:
    names = []
    for point in points:
        name = "bootstrap" if point.round == 0 else f"round {point.round}"
        names.append(f"{name}\n{point.cases} cases" + ("" if point.promoted else "\nnot promoted"))
    axes.set_xticks(range(len(points)), names, fontsize=10, color=_INK)
    axes.set_xlim(-0.5, len(points) - 0.5)
    axes.tick_params(axis="both", length=0, labelcolor=_INK)
    axes.tick_params(axis="y", labelcolor=_FAINT, labelsize=9)
    axes.grid(axis="y", color=_GRID, linewidth=1, zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
