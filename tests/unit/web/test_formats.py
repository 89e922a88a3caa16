"""How values are written on a page."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mrseg_label.web import formats


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0 s"), (59.6, "1 min 0 s"), (95, "1 min 35 s"), (600, "10 min"), (3600, "1 h 0 min"), (8280, "2 h 18 min"), (200_000, "2 d 7 h")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert formats.duration(seconds) == text


def test_numbers_differences_and_names() -> None:
    assert (formats.dsc(0.8765), formats.dsc(None)) == ("0.876", "–")
    assert (formats.signed(0.0314), formats.signed(-0.5, 1), formats.signed(None)) == ("+0.031", "\u22120.5", "–")
    assert (formats.number(1_234_567), formats.number(2.5, 1), formats.percent(0.364)) == ("1,234,567", "2.5", "36%")
    assert formats.words("awaiting_review") == "awaiting review"


def test_moments_are_those_of_the_servers_clock() -> None:
    noon = datetime(2026, 3, 7, 12, 5, tzinfo=UTC)
    local = noon.astimezone()
    assert formats.moment(noon) == f"{local.day} Mar 2026, {local:%H:%M}" and formats.moment(None) == "–"
    assert formats.date(noon) == f"{local.day} March 2026"
