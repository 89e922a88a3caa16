"""Charts laid out as numbers: axes that contain their values, interrupted lines, intervals, the words of a comparison."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrseg_label.reports.charts.axes import nice_ticks
from mrseg_label.reports.charts.comparison import comparison_rows
from mrseg_label.reports.charts.layout import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Series,
    bar_chart,
    interval,
    line_chart,
)
from mrseg_label.reports.documents.comparison import ComparisonOut, DifferenceOut

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@given(NUMBERS, NUMBERS)
def test_ticks_are_evenly_spaced_and_reach_around_both_ends(one: float, other: float) -> None:
    low, high = sorted((one, other))
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 12
    slack = 1e-6 + 1e-8 * max(abs(low), abs(high))  # no pixel of any chart
    assert ticks[0] <= low + slack and ticks[-1] >= high - slack
    steps = [after - before for before, after in itertools.pairwise(ticks)]
    assert min(steps) > 0 and max(steps) == pytest.approx(min(steps), rel=1e-3)


def test_ticks_are_round_numbers() -> None:
    assert nice_ticks(0, 1) == [0, 0.25, 0.5, 0.75, 1]
    assert nice_ticks(0, 487) == [0, 200, 400, 600]
    assert nice_ticks(1, 18, whole=True) == [0, 5, 10, 15, 20]
    assert nice_ticks(3, 3)[0] < 3 < nice_ticks(3, 3)[-1]


def test_a_line_lies_within_its_axes_and_is_interrupted_where_a_value_is_missing() -> None:
    values = [(1, 0.2), (2, None), (3, 0.9), (4, 0.4)]
    chart = line_chart(
        "t", [Series("a", values), Series("none", [(1, None)])], x_name="epoch", y_name="y", y_limits=(0, 1)
    )
    assert chart is not None
    (line,) = chart.lines
    assert line.path.count("M") == 2 and line.path.count("L") == 1
    assert [point.text for point in line.points] == ["a, epoch 1: 0.2", "a, epoch 3: 0.9", "a, epoch 4: 0.4"]
    for point in line.points:
        assert LEFT <= point.x <= WIDTH - RIGHT and TOP <= point.y <= HEIGHT - BOTTOM
    higher, lower = line.points[1], line.points[0]
    assert higher.y < lower.y, "SVG counts downwards"
    assert line_chart("t", [Series("a", [(1, None)])], x_name="x", y_name="y") is None


def test_a_long_line_has_no_marks_and_one_point_alone_has_its_place() -> None:
    long = line_chart("t", [Series("a", [(k, float(k)) for k in range(1000)])], x_name="epoch", y_name="y")
    assert long is not None and not long.lines[0].points and long.lines[0].end.text == "a, epoch 999: 999"
    alone = line_chart("t", [Series("a", [(1, -0.5)])], x_name="epoch", y_name="y")
    assert alone is not None and LEFT < alone.lines[0].points[0].x < WIDTH - RIGHT
    assert alone.summary == "a, epoch 1: \u22120.5"


def test_bars_are_as_high_as_their_values_and_a_missing_one_has_none() -> None:
    chart = bar_chart("t", [("bootstrap", 400.0), ("r1", None), ("r2", 200.0)], x_name="x", y_name="y", unit=" ml")
    assert chart is not None
    first, none, last = chart.bars
    assert first.height == pytest.approx(2 * last.height, abs=0.2) and none.height == 0 and none.text == ""
    assert chart.summary == "bootstrap: 400 ml; r2: 200 ml"
    assert bar_chart("t", [("r1", None)], x_name="x", y_name="y") is None
    assert bar_chart("t", [("r1", 0.0)], x_name="x", y_name="y") is not None


def test_an_interval_has_zero_in_the_middle_and_ends_with_its_axis() -> None:
    found = interval(0.05, 0.0, 0.3, 0.1)
    assert found is not None and (found.mean, found.low, found.high) == (75.0, 50.0, 100.0)
    alone = interval(-0.1, None, None, 0.1)
    assert alone is not None and alone.mean == alone.low == alone.high == 0.0
    assert interval(None, None, None, 0.1) is None


def comparison(difference: DifferenceOut, **changes: Any) -> ComparisonOut:
    nothing = DifferenceOut(participants=0, mean=None, low=None, high=None, p=None, clear=False)
    values: dict[str, Any] = {
        "versions": ("r1", "r2"),
        "cases": 3,
        "mean_dsc": (0.7, 0.8),
        "difference": difference,
        "draft_advantage": 0.0,
        "corrected": difference,
        "groups": {"vessels": difference, "bones": difference},
        "false_positive_ml": nothing,
        "drafted_by_these": 0,
        "left_out_as_drafted": 0,
        "structures": {"aorta": (0.7, 0.9), "liver": (0.8, 0.7)},
        "structure_cases": {"aorta": 3, "liver": 2},
        "false_positives": {},
    }
    return ComparisonOut(**values | changes)


@pytest.mark.parametrize(
    ("participants", "mean", "clear", "said"),
    [
        (0, None, False, "cannot be compared"),
        (1, 0.2, False, "Too few to tell: 1 held-out participant "),
        (5, 0.2, False, "Too few to tell: 5 held-out participants"),
        (6, 0.01, False, "No clear difference"),
        (6, 0.2, True, "r2 is clearly better than r1."),
        (9, -0.2, True, "r2 is clearly worse than r1."),
    ],
)
def test_the_verdict_says_no_more_than_the_numbers(
    participants: int, mean: float | None, clear: bool, said: str
) -> None:
    found = comparison(DifferenceOut(participants=participants, mean=mean, low=None, high=None, p=None, clear=clear))
    assert said in comparison_rows(found).verdict


def test_the_verdict_goes_by_the_difference_without_the_advantage_of_drafts() -> None:
    as_scored = DifferenceOut(participants=7, mean=-0.02, low=-0.03, high=-0.01, p=0.01, clear=True)
    corrected = DifferenceOut(participants=7, mean=0.03, low=0.02, high=0.04, p=0.01, clear=True)
    rows = comparison_rows(comparison(as_scored, draft_advantage=0.05, corrected=corrected))
    assert rows.verdict == "r2 is clearly better than r1."
    assert [row.name for row in rows.groups[:2]] == ["all structures", "all structures, corrected"]


def test_the_structure_that_lost_most_comes_first() -> None:
    rows = comparison_rows(comparison(DifferenceOut(participants=7, mean=0.1, low=0.05, high=0.15, p=0.01, clear=True)))
    assert [(row.name, row.cases) for row in rows.structures] == [("liver", 2), ("aorta", 3)]
    assert rows.structures[0].picture is not None and rows.structures[0].picture.mean < 50
    assert [row.name for row in rows.groups] == ["all structures", "bones", "vessels"]
    assert rows.limit >= 0.15 and rows.structure_limit >= 0.2
    empty = comparison_rows(comparison(DifferenceOut(participants=0, mean=None, low=None, high=None, p=None, clear=False), structures={}))  # fmt: skip
    assert empty.structures == [] and empty.groups[0].picture is None
