"""Charts of model versions: how good they are, and what readers changed in their drafts, from the oldest to the newest."""

from __future__ import annotations

from collections.abc import Sequence

from mrseg_label.reports.charts.layout import Chart, Series, bar_chart, line_chart
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
    return line_chart(
        "How good the drafts are",
        [Series("drafts that readers corrected", drafts), Series("held-out cases", held_out)],
        x_name="model version",
        y_name="mean DSC",
        y_limits=(0.0, 1.0),
        labels=[item.learning.model_version for item in shown],
    )


def effort_chart(points: Sequence[PerformanceOut]) -> Chart | None:
    """Lay out the volume that readers changed in a case, by the version that made the draft."""
    shown = [(item.effort.model_version, item.effort.edited_ml_per_case) for item in _oldest_first(points)]
    return bar_chart("What a case costs", shown, x_name="model version", y_name="ml changed per case", unit=" ml")


def minutes_chart(points: Sequence[PerformanceOut]) -> Chart | None:
    """Lay out the minutes from assignment to submission of a case, by the version that made the draft."""
    shown = [
        (item.effort.model_version, None if (seconds := item.effort.seconds_per_case) is None else seconds / 60)
        for item in _oldest_first(points)
    ]
    return bar_chart("Time per case", shown, x_name="model version", y_name="minutes per case", unit=" min")


def _oldest_first(points: Sequence[PerformanceOut]) -> list[PerformanceOut]:
    measured = [item for item in points if item.effort.cases or item.learning.held_out.cases]
    return measured[:MOST_VERSIONS][::-1]
