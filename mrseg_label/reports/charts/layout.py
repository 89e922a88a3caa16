"""Charts as numbers: where lines, bars, points and ticks lie. Templates draw them as SVG in the colours of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mrseg_label.reports.charts.axes import nice_ticks, number_text, path_through

WIDTH, HEIGHT = 340.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 42.0, 12.0, 16.0, 36.0  # margins, for ticks and names of axes
_MOST_POINTS = 40  # of a line whose points are marked
_MOST_READINGS = 250  # values along a chart that can be read off; more would be closer than a pixel

Value = tuple[float, float | None]
Range = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """Named values (x, y) in the order of x; y is None where there is none. ``ranges`` has the interval of a value by its x."""

    name: str
    values: Sequence[Value]
    ranges: Mapping[float, Range] = field(default_factory=dict)


@dataclass(frozen=True)
class Tick:
    """A place on an axis and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Point:
    """A value on a chart; ``text`` states it in words."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Whisker:
    """The interval of a value: its heights ``low`` and ``high`` on the chart."""

    x: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """A series as an SVG path, its points where there are few enough to mark, and their intervals."""

    name: str
    path: str
    points: Sequence[Point]
    end: Point
    ranges: Sequence[Whisker] = ()


@dataclass(frozen=True)
class Bar:
    """A bar from the horizontal axis upwards; ``label`` stands under it and ``text`` above."""

    x: float
    y: float
    width: float
    height: float
    label: str
    text: str
    range: Whisker | None = None

    @property
    def middle(self) -> float:
        """Horizontal middle."""
        return self.x + self.width / 2


@dataclass(frozen=True)
class Reading:
    """What can be read off a chart at one place of its horizontal axis: of each series its name, height and value."""

    x: float
    label: str
    values: Sequence[tuple[str, float, str]]


@dataclass(frozen=True)
class Trend:
    """Where a chart leads: its newest value, and how that differs from the oldest; ``is_better`` is None for no difference."""

    value: str
    change: str = ""
    is_better: bool | None = None


@dataclass(frozen=True)
class Chart:
    """A chart with one vertical axis. ``summary`` states in a sentence what it shows, for those who do not see it.

    Attributes
    ----------
    series : the values that it shows, as they were measured.
    labels : names of the places on the horizontal axis, where x counts them; else empty.
    """

    title: str
    summary: str
    x_name: str
    y_name: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    lines: Sequence[Line] = ()
    bars: Sequence[Bar] = ()
    series: Sequence[Series] = ()
    labels: Sequence[str] = ()
    readings: Sequence[Reading] = ()
    trend: Trend | None = None
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


@dataclass(frozen=True)
class Interval:
    """A difference with its interval on a horizontal axis from 0 to 100, with zero in the middle."""

    mean: float
    low: float
    high: float


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_name: str,
    y_name: str,
    y_limits: tuple[float | None, float | None] = (None, None),
    labels: Sequence[str] = (),
) -> Chart | None:
    """Lay out a chart of lines; None if there is no value at all.

    Parameters
    ----------
    y_limits : lower and upper end of the vertical axis, where they are fixed.
    labels : of x = 0, 1, 2 and so on, where x is the number of a category.
    """
    known = [(x, y) for one in series for x, y in one.values if y is not None]
    if not known:
        return None
    known += [(x, end) for one in series for x, ends in one.ranges.items() for end in ends]
    x_low, x_high = min(x for x, _ in known), max(x for x, _ in known)
    if labels:
        x_low, x_high = -0.4, len(labels) - 0.6
    elif x_low == x_high:
        x_low, x_high = x_low - 0.5, x_high + 0.5
    y_ticks = nice_ticks(
        min(y for _, y in known) if y_limits[0] is None else y_limits[0],
        max(y for _, y in known) if y_limits[1] is None else y_limits[1],
    )
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low)
        up = (y - y_low) / (y_high - y_low)
        return round(LEFT + across * (WIDTH - LEFT - RIGHT), 1), round(
            HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1
        )

    lines = []
    read: dict[float, list[tuple[str, float, str]]] = {}
    for one in series:
        drawn = [(x, y, *place(x, y)) if y is not None else None for x, y in one.values]
        points = [
            Point(at_x, at_y, f"{one.name}, {_x_text(x, x_name, labels)}: {_with_range(y, one.ranges.get(x))}")
            for x, y, at_x, at_y in (found for found in drawn if found is not None)
        ]
        for found in drawn:
            if found is not None:
                text = _with_range(found[1], one.ranges.get(found[0]))
                read.setdefault(found[0], []).append((one.name, found[3], text))
        if points:
            path = path_through([None if found is None else found[2:] for found in drawn])
            ends = [(place(x, low), place(x, high)) for x, (low, high) in sorted(one.ranges.items())]
            whiskers = [Whisker(low[0], low[1], high[1]) for low, high in ends]
            lines.append(Line(one.name, path, points if len(points) <= _MOST_POINTS else (), points[-1], whiskers))
    if labels:
        x_ticks = [Tick(place(k, y_low)[0], label) for k, label in enumerate(labels)]
    else:
        x_ticks = [
            Tick(place(x, y_low)[0], number_text(x))
            for x in nice_ticks(x_low, x_high, whole=True)
            if x_low <= x <= x_high
        ]
    return Chart(
        title=title,
        summary="; ".join(f"{line.end.text}" for line in lines),
        x_name=x_name,
        y_name=y_name,
        x_ticks=x_ticks,
        y_ticks=[Tick(place(x_low, y)[1], number_text(y)) for y in y_ticks],
        lines=lines,
        series=[one for one in series if any(y is not None for _, y in one.values)],
        labels=labels,
        readings=_thinned([Reading(place(x, y_low)[0], _x_text(x, x_name, labels), read[x]) for x in sorted(read)]),
    )


def bar_chart(
    title: str,
    values: Sequence[tuple[str, float | None]],
    *,
    x_name: str,
    y_name: str,
    unit: str = "",
    ranges: Mapping[int, Range] | None = None,
) -> Chart | None:
    """Lay out a chart of bars from labels and values; None if there is no value at all.

    Parameters
    ----------
    ranges : intervals of values, by their place among them.
    """
    known = [value for _, value in values if value is not None]
    if not known:
        return None
    ranges = ranges or {}
    ticks = nice_ticks(0.0, max(*known, *(high for _, high in ranges.values()), 1e-9))
    step = (WIDTH - LEFT - RIGHT) / len(values)
    width = min(0.62 * step, 64.0)
    bars = []
    for k, (label, value) in enumerate(values):
        height = 0.0 if value is None else value / ticks[-1] * (HEIGHT - TOP - BOTTOM)
        text = "" if value is None else number_text(value)
        ends = [round(HEIGHT - BOTTOM - end / ticks[-1] * (HEIGHT - TOP - BOTTOM), 1) for end in ranges.get(k, ())]
        whisker = Whisker(round(LEFT + (k + 0.5) * step, 1), *ends) if ends else None
        bars.append(Bar(round(LEFT + (k + 0.5) * step - width / 2, 1), round(HEIGHT - BOTTOM - height, 1), round(width, 1), round(height, 1), label, text, whisker))  # fmt: skip
    return Chart(
        title=title,
        summary="; ".join(f"{bar.label}: {bar.text}{unit}" for bar in bars if bar.text),
        x_name=x_name,
        y_name=y_name,
        x_ticks=[Tick(bar.middle, bar.label) for bar in bars],
        y_ticks=[
            Tick(round(HEIGHT - BOTTOM - tick / ticks[-1] * (HEIGHT - TOP - BOTTOM), 1), number_text(tick))
            for tick in ticks
        ],
        bars=bars,
        series=[
            Series(
                y_name,
                [(float(k), value) for k, (_, value) in enumerate(values)],
                {float(k): one for k, one in ranges.items()},
            )
        ],
        labels=[label for label, _ in values],
        readings=[
            Reading(bar.middle, bar.label, [(y_name, bar.y, f"{_with_range(value, ranges.get(k))}{unit}")])
            for k, (bar, (_, value)) in enumerate(zip(bars, values, strict=True))
            if value is not None
        ],
    )


def interval(mean: float | None, low: float | None, high: float | None, limit: float) -> Interval | None:
    """Place a difference and its interval on an axis from ``-limit`` to ``limit``; None where there is no difference."""
    if mean is None:
        return None
    at = [50.0 + 50.0 * max(-1.0, min(1.0, value / limit)) for value in (mean, mean if low is None else low, mean if high is None else high)]  # fmt: skip
    return Interval(*(round(value, 1) for value in at))


def _thinned(readings: Sequence[Reading]) -> Sequence[Reading]:
    """Every n-th, and always the last."""
    step = -(-len(readings) // _MOST_READINGS)
    return [one for k, one in enumerate(reversed(readings)) if k % step == 0][::-1] if step > 1 else readings


def _with_range(value: float, ends: Range | None) -> str:
    return number_text(value) + (f" ({number_text(ends[0])} to {number_text(ends[1])})" if ends else "")


def _x_text(x: float, name: str, labels: Sequence[str]) -> str:
    return labels[int(x)] if labels else f"{name} {number_text(x)}"
