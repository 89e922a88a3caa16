"""The charts of a study: box plots per structure (Figure 2), by sequence, correlation with age (Figure A3), differences of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from mrseg_label.evaluation.descriptions import UNNAMED
from mrseg_label.evaluation.measurements import counted
from mrseg_label.evaluation.statistics import MIN_FOR_CORRELATION, by_participant, correlate
from mrseg_label.evaluation.tables import Table, equals, number
from mrseg_label.reports.study.style import COLORS, FAINT, INK, color_of, new_figure, shown, styled, svg_of, tidy

TITLES = {"dsc": "DSC", "hd95_mm": "HD95, mm", "nsd": "NSD"}


@dataclass(frozen=True)
class StudyFigure:
    """A figure of a report.

    Attributes
    ----------
    key : name of its file, such as ``figure-2-structures``.
    number : as in the paper, such as ``Figure 2``.
    caption : whole sentences; the first says what it shows.
    svg : the picture.
    """

    key: str
    number: str
    caption: str
    svg: str


def boxes_per_structure(frame: pd.DataFrame, metrics: Sequence[str]) -> StudyFigure:
    """Draw Figure 2: a box for each structure, beside each other those of data sets or of models."""
    rows = counted(frame)
    by = "model" if frame["model"].nunique() > 1 else "data_set"
    groups = [str(name) for name in frame[by].unique()]
    judged = set(rows["structure"])
    structures = [str(name) for name in frame["structure"].unique() if name in judged]
    metrics = [name for name in metrics if np.isfinite(rows[name]).any()]
    with styled():
        figure = new_figure(max(2.2, 0.8 + len(structures) * (0.11 + 0.1 * len(groups))))
        panels = np.atleast_1d(figure.subplots(1, len(metrics), sharey=True))
        for axes, metric in zip(panels, metrics, strict=True):
            for place, group in enumerate(groups):
                of_group = rows[rows[by] == group]
                values = [of_group.loc[of_group["structure"] == name, metric] for name in structures]
                _boxes(axes, values, place, len(groups), COLORS[place % len(COLORS)])
                if metric == "hd95_mm":
                    _count_infinite(axes, values, place, len(groups))
            _finish_boxes(axes, metric, structures)
            axes.set_title(TITLES[metric], fontsize=8)  # above too: the figure is tall
            axes.tick_params(labeltop=True)
        if len(groups) > 1:
            handles = [Patch(facecolor=color_of(groups, name), label=name or UNNAMED) for name in groups]
            figure.legend(handles=handles, loc="outside upper right", ncols=min(4, len(groups)))
        svg = svg_of(figure)
    what = " and ".join(TITLES[name].split(",")[0] for name in metrics)
    return StudyFigure(
        "figure-2-structures",
        "Figure 2",
        f"{what} of each structure over the images in which it counts. Boxes reach from the first to the third quartile with the median, whiskers to "
        "the farthest value within 1.5 interquartile ranges; circles are single images. ∞ with a number: images in which the structure was "
        "missed, so that it has no finite HD95.",
        svg,
    )


def boxes_per_sequence(frame: pd.DataFrame) -> StudyFigure:
    """Draw a box of the images' mean DSC for each sequence."""
    rows = counted(frame)
    images = rows.groupby(["model", "data_set", "sequence", "case"], sort=True)["dsc"].mean().reset_index()
    by = "model" if frame["model"].nunique() > 1 else "data_set"
    groups, sequences = (
        [str(name) for name in frame[by].unique()],
        [str(name) for name in sorted(images["sequence"].unique())],
    )
    with styled():
        figure = new_figure(max(1.6, 0.9 + len(sequences) * (0.2 + 0.12 * len(groups))), 5.2)
        axes = figure.subplots()
        for place, group in enumerate(groups):
            values = [images.loc[(images[by] == group) & (images["sequence"] == name), "dsc"] for name in sequences]
            _boxes(axes, values, place, len(groups), COLORS[place % len(COLORS)], points=True)
        _finish_boxes(axes, "dsc", [name or UNNAMED for name in sequences])
        axes.set_xlabel("mean DSC of an image")
        if len(groups) > 1:
            handles = [Patch(facecolor=color_of(groups, name), label=name or UNNAMED) for name in groups]
            figure.legend(handles=handles, loc="outside upper right", ncols=min(4, len(groups)))
        svg = svg_of(figure)
    return StudyFigure(
        "figure-3-sequences", "Figure 3", "Mean DSC of each image over its structures, by sequence; each dot is an image.", svg
    )  # fmt: skip


def against_age(frame: pd.DataFrame, metric: str = "dsc") -> StudyFigure | None:
    """Draw Figure A3: the mean of each participant against age, with a line of regression; None where fewer than four ages are known."""
    models = [str(name) for name in frame["model"].unique()]
    people = {model: by_participant(frame[frame["model"] == model], metric).dropna(subset=["age"]) for model in models}
    if max(len(one) for one in people.values()) < MIN_FOR_CORRELATION:
        return None
    with styled():
        figure = new_figure(3.0, 4.6)
        axes = figure.subplots()
        notes = []
        for place, (model, found) in enumerate(people.items()):
            color = COLORS[place % len(COLORS)]
            axes.scatter(found["age"], found["value"], s=16, color=color, alpha=0.75, linewidths=0, label=model)
            test = correlate(found["age"].tolist(), found["value"].tolist())
            if np.isfinite(test.r):
                slope, offset = np.polyfit(found["age"], found["value"], 1)
                ends = np.array([found["age"].min(), found["age"].max()])
                axes.plot(ends, offset + slope * ends, color=color, linewidth=1.4)
                notes.append(
                    f"{model + ': ' if len(models) > 1 else ''}r = {number(test.r, 2)}, p {equals(test.p)}, n = {test.participants}"
                )
        axes.set_xlabel("age, years")
        axes.set_ylabel(f"mean {TITLES[metric]} of a participant")
        tidy(axes, along="both")
        if len(models) > 1:
            axes.legend(loc="best")
        svg = svg_of(figure)
    caption = f"{TITLES[metric]} and age: each dot is a participant, the line a linear regression (Pearson: {'; '.join(notes) or 'not tested'})."
    return StudyFigure("figure-a3-age", "Figure A3", caption, svg)


def forest(table: Table, metric: str) -> StudyFigure:
    """Draw the differences of two models per structure with their intervals."""
    rows = table.frame.iloc[::-1]
    places = np.arange(len(rows))
    clear = rows["p_corrected"] < 0.05
    with styled():
        figure = new_figure(max(1.6, 0.8 + 0.17 * len(rows)), 5.6)
        axes = figure.subplots()
        axes.axvline(0, color=FAINT, linewidth=0.8, zorder=1)
        for one, color in ((clear, COLORS[0]), (~clear, FAINT)):
            part = rows[one]
            axes.hlines(places[one.to_numpy()], part["low"], part["high"], color=color, linewidth=1.4, zorder=2)
            axes.scatter(part["difference"], places[one.to_numpy()], s=18, color=color, zorder=3, linewidths=0)
        axes.set_yticks(places, [shown(name) for name in rows["structure"]])
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.set_xlabel(f"difference of {TITLES[metric]}")
        tidy(axes, along="x")
        svg = svg_of(figure)
    return StudyFigure(
        table.key.replace("table-a5", "figure-a5"),
        "Figure A5",
        f"{table.title}: differences with 95 % intervals. Blue: significant after correction (p < 0.05).",
        svg,
    )


def _boxes(axes: Axes, values: Sequence[pd.Series], place: int, of: int, color: str, *, points: bool = False) -> None:
    width = 0.72 / of
    offset = (place - (of - 1) / 2) * width
    finite = [one[np.isfinite(one)].to_numpy(dtype=float) for one in values]
    positions = [row + offset for row in range(len(values))]
    parts = axes.boxplot(
        finite,
        positions=positions,
        orientation="horizontal",
        widths=width * 0.82,
        patch_artist=True,
        showfliers=not points,
        manage_ticks=False,
        boxprops={"facecolor": color, "alpha": 0.45, "linewidth": 0.7, "edgecolor": color},
        medianprops={"color": INK, "linewidth": 1.1},
        whiskerprops={"color": color, "linewidth": 0.8},
        capprops={"color": color, "linewidth": 0.8},
        flierprops={"marker": "o", "markersize": 2.2, "markerfacecolor": "none", "markeredgecolor": color, "markeredgewidth": 0.6},
    )  # fmt: skip
    for artist in parts["boxes"]:
        artist.set_zorder(2)
    if points:
        spread = np.random.default_rng(0)  # the same picture each time
        for position, one in zip(positions, finite, strict=True):
            jitter = position + spread.uniform(-0.25, 0.25, len(one)) * width
            axes.scatter(one, jitter, s=5, color=color, alpha=0.7, linewidths=0, zorder=3)


def _count_infinite(axes: Axes, values: Sequence[pd.Series], place: int, of: int) -> None:
    offset = (place - (of - 1) / 2) * 0.72 / of
    for row, one in enumerate(values):
        missed = int(np.isinf(one).sum())
        if missed:
            axes.annotate(
                f"∞ {missed}", (1.0, row + offset), xycoords=("axes fraction", "data"), xytext=(3, 0), textcoords="offset points",
                va="center", fontsize=6, color=COLORS[place % len(COLORS)], annotation_clip=False,
            )  # fmt: skip


def _finish_boxes(axes: Axes, metric: str, rows: Sequence[str]) -> None:
    axes.set_yticks(range(len(rows)), [shown(name) for name in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(TITLES[metric])
    if metric == "hd95_mm":
        # Most distances are a few millimetres, and one far stray voxel makes a hundred.
        axes.set_xscale("symlog", linthresh=1, linscale=0.4)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        low = axes.get_xlim()[0]
        axes.set_xlim(max(-0.02, np.floor(low * 10) / 10 - 0.02), 1.02)
    tidy(axes, along="x")
