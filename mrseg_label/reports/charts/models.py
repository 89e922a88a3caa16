"""Charts of model versions: how good they are, and what readers changed in their drafts, from the oldest to the newest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mrseg_label.reports.charts.layout import Chart, Series, Trend, bar_chart, line_chart
from mrseg_label.reports.documents.learning import PerformanceOut

MOST_VERSIONS = 12  # of a chart: the newest


def quality_chart(points: Sequence[PerformanceOut]) -> Chart | None:
    """Lay out the mean DSC of each version on the held-out cases that all have, and of its drafts.

    Parameters
    ----------
    points : newest first, as the documents list them.
    """
    shown = _oldest_first(points)
    held_out = [
        (float(k), None if item.learning.held_out_common is None else item.learning.held_out_common.mean_dsc)
        for k, item in enumerate(shown)
    ]
    drafts = [(float(k), item.learning.presegmentations.mean_dsc) for k, item in enumerate(shown)]
    chart = line_chart(
        "How good the drafts are",
        [Series("drafts that readers corrected", drafts), Series("held-out cases", held_out)],
        x_name="model version",
        y_name="mean DSC",
        y_limits=(0.0, 1.0),
        labels=[item.learning.model_version for item in shown],
    )
    labels = [item.learning.model_version for item in shown]
    # The same cases for all versions where there are such; drafts are of different cases each time.
    values = [held_out, drafts][sum(value is not None for _, value in held_out) < 2]
    return _with_trend(chart, [(labels[int(k)], value) for k, value in values], "DSC", digits=2, more_is_better=True)


def effort_chart(points: Sequence[PerformanceOut]) -> Chart | None:
    """Lay out the volume that readers changed in a case, by the version that made the draft."""
    shown = [(item.effort.model_version, item.effort.edited_ml_per_case) for item in _oldest_first(points)]
    chart = bar_chart("What a case costs", shown, x_name="model version", y_name="ml changed per case", unit=" ml")
    return _with_trend(chart, shown, "ml to correct")


def minutes_chart(points: Sequence[PerformanceOut]) -> Chart | None:
    """Lay out the minutes from assignment to submission of a case, by the version that made the draft."""
    shown = [
        (item.effort.model_version, None if (seconds := item.effort.seconds_per_case) is None else seconds / 60)
        for item in _oldest_first(points)
    ]
    chart = bar_chart("Time per case", shown, x_name="model version", y_name="minutes per case", unit=" min")
    return _with_trend(chart, shown, "minutes")


def _oldest_first(points: Sequence[PerformanceOut]) -> list[PerformanceOut]:
    measured = [item for item in points if item.effort.cases or item.learning.held_out.cases]
    return measured[:MOST_VERSIONS][::-1]


def _with_trend(
    chart: Chart | None,
    values: Sequence[tuple[str, float | None]],
    unit: str,
    *,
    digits: int = 0,
    more_is_better: bool = False,
) -> Chart | None:
    """Add to a chart where it leads: the newest value, and how it differs from the oldest."""
    known = [(label, value) for label, value in values if value is not None]
    if chart is None or not known:
        return chart
    (oldest, first), (_, last) = known[0], known[-1]
    shown = f"{last:,.{digits if last >= 10 or digits else 1}f}"
    if len(known) == 1 or first <= 0:
        return replace(chart, trend=Trend(f"{shown} {unit}"))
    difference = last - first
    if more_is_better:
        change = f"{difference:+.{digits}f} since {oldest}".replace("-", "\u2212")
    else:
        change = f"{abs(difference) / first:.0%} {'less' if difference < 0 else 'more'} than with {oldest}"
    if abs(difference) < 0.005 * first:
        return replace(chart, trend=Trend(f"{shown} {unit}", f"as with {oldest}"))
    return replace(chart, trend=Trend(f"{shown} {unit}", change, (difference > 0) is more_is_better))
