"""Time at work, told from what a reader was seen to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mrseg_label.annotation.working_time import time_at_work

START = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


def events(*seen: tuple[float, str]) -> list[tuple[datetime, str, bool]]:
    """Minutes and cases; a case with ``!`` is submitted."""
    return [(START + timedelta(minutes=at), case.rstrip("!"), case.endswith("!")) for at, case in seen]


@pytest.mark.parametrize(
    ("seen", "minutes"),
    [
        ([(0, "a"), (25, "a!")], 25),
        ([(0, "a"), (1, "a"), (2, "a"), (25, "a!")], 25),
        ([(0, "a"), (60, "a!")], 60),  # a pause is longer than that
        ([(0, "a"), (61, "a!")], None),  # nobody knows how much of it was work
        ([(0, "a"), (10, "a"), (300, "a"), (320, "a!")], 30),  # opened again after the pause
        ([(0, "a"), (10, "a"), (300, "a!")], None),
        ([(0, "a"), (20, "a!"), (30, "a!")], 30),  # corrected after the submission
        ([(0, "a"), (5, "b"), (25, "b!"), (30, "a"), (40, "a!")], 15),  # another case in between
        ([(0, "a"), (1, "b"), (20, "b!"), (28, "a!")], 9),  # opened before, and gone on with
        ([(0, "b"), (20, "b!"), (30, "a"), (40, "a!")], 10),  # between two cases nothing is open
        ([(0, "b"), (20, "b!"), (32, "a!")], 12),  # never seen to open it: since the submission before
        ([(0, "a!")], None),
        ([(0, "b"), (5, "a!")], None),
    ],
)
def test_time_at_work(seen: list[tuple[float, str]], minutes: float | None) -> None:
    found = time_at_work(events(*seen), 3600.0)
    assert found == (None if minutes is None else pytest.approx(60 * minutes))
