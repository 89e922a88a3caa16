"""A chart as a file of its own: its values as CSV, and a picture with title, names of axes and legend as PNG."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from mrseg_label.reports.charts.layout import Chart, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE_INCHES, _DOTS_PER_INCH = (6.4, 4.0), 200
_INK, _SOFT, _GRID = "#16202b", "#55636f", "#dce3ea"
_EARLIER = "#afb3ba"
# As the style sheet has them in light, and as the templates draw lines.
COLORS = ("#155e9f", "#c05a00", "#1c7a55", "#8a3ea8", "#6b7280")
DASHES = ("", "6 4", "", "2 4", "")


def to_csv(chart: Chart) -> str:
    """Write the values of a chart as CSV: a row for each place on the horizontal axis, a column for each series.

    A value that was not measured is empty. The header has the names of the axes with their units.
    """
    names = [chart.y_name if one.name == chart.y_name else f"{one.name}: {chart.y_name}" for one in chart.series]
    columns = [dict(one.values) for one in chart.series]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([chart.x_name, *names])
    for x in sorted({x for column in columns for x in column}):
        place = _as_text(chart.labels[int(x)]) if chart.labels else f"{x:g}"
        values = [column.get(x) for column in columns]
        writer.writerow([place, *("" if value is None else repr(float(value)) for value in values)])
    return text.getvalue()


def to_png(chart: Chart) -> bytes:
    """Draw a chart as PNG, on white."""
    # Loaded with the first picture that somebody saves: it takes memory that a server need not have.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=_SIZE_INCHES, dpi=_DOTS_PER_INCH, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(chart.title, loc="left", fontsize=13, fontweight="bold", color=_INK, pad=12)
    axes.set_xlabel(chart.x_name, color=_SOFT)
    axes.set_ylabel(chart.y_name, color=_SOFT)
    for k, one in enumerate(chart.series):
        x = [place for place, _ in one.values]
        y = [float("nan") if value is None else value for _, value in one.values]
        if chart.bars:
            drawn = axes.bar(x, y, width=0.6, color=[_EARLIER] * (len(x) - 1) + [COLORS[0]], zorder=3)
            if one.ranges:
                _draw_ranges(axes, one, _INK)
            axes.bar_label(drawn, [bar.text for bar in chart.bars], padding=3, color=_INK, fontweight="bold")
        else:
            style = (0, tuple(float(part) / 2 for part in DASHES[k % 5].split())) if DASHES[k % 5] else "-"
            marker = "o" if len(x) <= 40 else ""
            axes.plot(
                x,
                y,
                color=COLORS[k % 5],
                linestyle=style,
                linewidth=1.8,
                marker=marker,
                markersize=4,
                label=one.name,
                zorder=3,
            )
            _draw_ranges(axes, one, COLORS[k % 5])
    if chart.labels:
        axes.set_xticks(range(len(chart.labels)), chart.labels)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(chart.series) > 1:
        axes.legend(frameon=False, labelcolor=_INK)
    if chart.bars:
        axes.margins(y=0.12)
    if chart.y_ticks[0].text == "0":
        axes.set_ylim(bottom=0)
    axes.tick_params(length=0, labelcolor=_SOFT)
    axes.grid(axis="y", color=_GRID, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    made = io.BytesIO()
    figure.savefig(made, format="png", facecolor="white")
    return made.getvalue()


def _draw_ranges(axes: Axes, series: Series, color: str) -> None:
    for x, (low, high) in series.ranges.items():
        axes.errorbar(
            [x],
            [(low + high) / 2],
            yerr=[(high - low) / 2],
            fmt="none",
            ecolor=color,
            elinewidth=1,
            capsize=3,
            zorder=4,
        )


def _as_text(label: str) -> str:
    """A label that no spreadsheet takes for a formula."""
    return f"'{label}" if label.startswith(("=", "+", "-", "@")) else label
