"""Charts of effort by group, and of the learning curve with what another round would bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mrseg_label.reports.charts.layout import Chart, Range, Series, bar_chart, line_chart
from mrseg_label.reports.documents.effort import EffortGroupOut, EffortOut, MeanOut
from mrseg_label.reports.documents.learning_curve import CurvePointOut, ForecastOut, LearningCurveOut

MOST_BARS = 12
_MOST_LETTERS = 52  # under the bars, each place as wide as the longest name
MOST_POINTS = 10  # of a curve: the newest


class Figure(StrEnum):
    """What a chart of effort shows."""

    EDITED_ML = "edited_ml"
    SECONDS = "seconds"
    EDITS = "edits"
    SURFACE_CHANGED = "surface_changed"
    DSC = "dsc"


@dataclass(frozen=True)
class _Shown:
    name: str
    y_name: str
    unit: str = ""
    factor: float = 1.0


FIGURES = {
    Figure.EDITED_ML: _Shown("Changed volume", "ml changed per case", " ml"),
    Figure.SECONDS: _Shown("Time at work", "minutes per case", " min", 1 / 60),
    Figure.EDITS: _Shown("Edits", "edits per case"),
    Figure.SURFACE_CHANGED: _Shown("Changed surface", "% of the surface", " %", 100.0),
    Figure.DSC: _Shown("DSC of the draft", "mean DSC"),
}


def effort_by_chart(document: EffortOut, figure: Figure) -> Chart | None:
    """Lay out a figure by group; None where it was measured of none, or the bars have no room for the names of all groups."""
    names = [name_of(one) for one in document.groups]
    if not names or len(names) > MOST_BARS or len(names) * max(map(len, names)) > _MOST_LETTERS:
        return None
    shown = FIGURES[figure]
    means: list[MeanOut] = [getattr(one, figure.value) for one in document.groups]
    return bar_chart(
        shown.name,
        [
            (name, None if mean.mean is None else mean.mean * shown.factor)
            for name, mean in zip(names, means, strict=True)
        ],
        x_name=" and ".join(one.replace("_", " ") for one in document.by) or "all cases",
        y_name=shown.y_name,
        unit=shown.unit,
        ranges={k: ends for k, mean in enumerate(means) if (ends := _range(mean, shown.factor)) is not None},
    )


def name_of(group: EffortGroupOut) -> str:
    """Name a group of effort."""
    parts = ["none" if value in (None, "") else str(value).replace("_", " ") for value in group.group.values()]
    return ", ".join(parts) or "all cases"


def curve_chart(document: LearningCurveOut, index: int = 0) -> Chart | None:
    """Lay out the DSC of each version on the common held-out cases and of its drafts, and what another round would bring.

    Parameters
    ----------
    index : of the group, in the order of the document.
    """
    points = document.rounds[-MOST_POINTS:]
    if not points:
        return None
    held_out = _series("held-out cases", [point.groups[index].held_out_common.dsc for point in points])
    drafts = _series("drafts that readers corrected", [point.groups[index].drafts.dsc for point in points])
    estimate = document.estimates[index].held_out_dsc
    labels = [point.model_version for point in points]
    series = [held_out, drafts]
    if estimate is not None:
        series.append(_estimated(estimate, points, held_out))
        labels.append("next")
    return line_chart(
        "Learning curve",
        series,
        x_name="model version",
        y_name="mean DSC",
        y_limits=(0.0, 1.0),
        labels=labels,
    )


def _series(name: str, means: Sequence[MeanOut]) -> Series:
    ranges = {float(k): ends for k, mean in enumerate(means) if (ends := _range(mean)) is not None}
    return Series(name, [(float(k), mean.mean) for k, mean in enumerate(means)], ranges)


def _estimated(estimate: ForecastOut, points: Sequence[CurvePointOut], held_out: Series) -> Series:
    """From the newest measured value to what is expected of another round."""
    known = [(x, y) for x, y in held_out.values if y is not None]
    place = float(len(points))
    return Series(
        "what another round would bring", [known[-1], (place, estimate.value)], {place: (estimate.low, estimate.high)}
    )


def _range(mean: MeanOut, factor: float = 1.0) -> Range | None:
    if mean.low is None or mean.high is None:
        return None
    return mean.low * factor, mean.high * factor
