"""Round numbers along an axis, numbers as texts, and paths."""

from __future__ import annotations

import math
from collections.abc import Sequence

_FLAT = 1e-6  # values that differ by less, relatively, are drawn as one


def nice_ticks(low: float, high: float, count: int = 5, *, whole: bool = False) -> list[float]:
    """Choose round numbers, about ``count`` of them, that reach from ``low`` or less to ``high`` or more."""
    if high - low < _FLAT * max(1.0, abs(low), abs(high)):
        margin = abs(low) * 0.1 if abs(low) > _FLAT else 0.5
        low, high = low - margin, high + margin
    rough = (high - low) / (count - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    if whole:
        step = max(1.0, math.ceil(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 10) for k in range(first, last + 1)]


def number_text(value: float) -> str:
    """A number as short as its size allows."""
    if value == 0:
        return "0"
    digits = (
        0
        if abs(value) >= 100 or float(value).is_integer()
        else 1
        if abs(value) >= 10
        else 2
        if abs(value) >= 0.1
        else 3
    )
    text = f"{value:,.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "\u2212")


def path_through(places: Sequence[tuple[float, float] | None]) -> str:
    """An SVG path through places, interrupted where there is none."""
    parts: list[str] = []
    begins = True
    for place in places:
        if place is None:
            begins = True
            continue
        parts.append(f"{'M' if begins else 'L'}{place[0]:g} {place[1]:g}")
        begins = False
    return "".join(parts)
