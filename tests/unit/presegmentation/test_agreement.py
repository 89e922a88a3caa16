"""Before there are annotations, the source that others agree with, and whose structures are plausible, is chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging import Geometry
from mrseg_label.labels import LabelScheme, Structure
from mrseg_label.presegmentation.agreement import FEWEST_EARLIER, Measures, choose_by_agreement, measure

SCHEME = LabelScheme((Structure(1, "liver", ""), Structure(2, "spleen", "")))
GEOMETRY = Geometry((20, 20, 20), np.diag([3.0, 3.0, 3.0, 1.0]))
A, B, C = "raw", "inverted", "equalized"
KNOWS = {name: frozenset(SCHEME.names) for name in (A, B, C)}


def box(low: int, high: int, label: int = 1) -> NDArray[np.uint8]:
    labels = np.zeros(GEOMETRY.shape, dtype=np.uint8)
    labels[low:high, 4:14, 4:14] = label
    return labels


def chosen(maps: dict[str, NDArray[np.uint8]], earlier: list[Measures], alike: list[Measures]) -> dict[str, str]:
    present = measure(maps, KNOWS, GEOMETRY, SCHEME, earlier)
    return {name: one.source for name, one in choose_by_agreement([A, B, C], KNOWS, present, alike).items()}


def test_the_source_with_which_the_others_agree_is_chosen() -> None:
    maps = {A: box(13, 19), B: box(3, 12), C: box(3, 13)}
    assert chosen(maps, [], []) == {"liver": B}
    assert chosen({A: box(3, 12), B: box(3, 13), C: box(3, 12)}, [], []) == {
        "liver": A
    }  # the own one, if it is as good
    assert chosen({A: box(3, 12), B: box(3, 12, 2), C: box(3, 12, 2)}, [], []) == {"liver": A, "spleen": B}


def test_what_is_usual_at_the_station_decides_between_two_that_disagree() -> None:
    usual = [measure({A: box(3, 12 + n % 2), B: box(3, 12)}, KNOWS, GEOMETRY, SCHEME) for n in range(FEWEST_EARLIER)]
    knows = {A: KNOWS[A], B: KNOWS[B]}

    near = {A: box(3, 8), B: box(3, 12)}
    present = measure(near, knows, GEOMETRY, SCHEME, usual)
    assert choose_by_agreement([A, B], knows, measure(near, knows, GEOMETRY, SCHEME), [])["liver"].source == A
    assert present["liver"][A]["score"] < 0.15 < 0.6 < present["liver"][B]["score"]  # half a liver is implausible
    assert choose_by_agreement([A, B], knows, present, [])["liver"].source == B
    assert measure(near, knows, GEOMETRY, SCHEME, usual[1:])["liver"][A]["score"] > 0.6  # too few earlier cases


def test_earlier_cases_of_the_sequence_count_as_this_one_does() -> None:
    present = measure({A: box(3, 12), B: box(3, 12), C: box(12, 19)}, KNOWS, GEOMETRY, SCHEME)
    other = measure({A: box(13, 19), B: box(3, 12), C: box(3, 13)}, KNOWS, GEOMETRY, SCHEME)
    assert choose_by_agreement([A, B, C], KNOWS, present, [])["liver"].source == A
    assert choose_by_agreement([A, B, C], KNOWS, present, [other] * 5)["liver"].source == B
