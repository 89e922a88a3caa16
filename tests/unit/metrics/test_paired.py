"""A paired difference is told from noise over participants, not over cases."""

from __future__ import annotations

import numpy as np
import pytest

from mrseg_label.metrics.paired import MIN_PARTICIPANTS, PairedDifference, paired_difference


def test_the_participant_is_the_unit() -> None:
    """Ten cases of one participant weigh as much as one case of another, and do not make the result any clearer."""
    many = paired_difference([("p1", 0.1)] * 10 + [("p2", -0.3)])
    assert many.participants == 2 and many.mean == pytest.approx(-0.1)
    assert not many.enough and not many.clear


def test_a_difference_in_all_of_six_participants_is_clear_and_in_five_is_not() -> None:
    differences = [(f"p{k}", 0.02 + 0.001 * k) for k in range(MIN_PARTICIPANTS)]
    six, five = paired_difference(differences), paired_difference(differences[1:])
    assert six.better and six.clear and not six.worse and six.p == pytest.approx(2 / 2**6)
    assert five.p == pytest.approx(2 / 2**5) and five.low is not None and five.low > 0 and not five.clear
    worse = paired_difference([(name, -value) for name, value in differences])
    assert worse.worse and not worse.better and worse.high == pytest.approx(-(six.low or 0))
    assert paired_difference(differences[::-1]) == six  # the same, in any order and at any time


def test_noise_is_seldom_clear() -> None:
    rng = np.random.default_rng(1)
    found = [paired_difference((f"p{k}", value) for k, value in enumerate(rng.normal(0, 0.02, 10))) for _ in range(60)]
    assert sum(one.clear for one in found) <= 12
    assert sum((one.p or 1) < 0.05 for one in found) <= 8


def test_little_or_nothing_to_compare() -> None:
    assert paired_difference([]) == PairedDifference()
    assert paired_difference([("p", 0.1)]) == PairedDifference(1, 0.1)
    equal = paired_difference([(f"p{k}", 0.0) for k in range(8)])
    assert (equal.low, equal.high, equal.p, equal.clear) == (0, 0, 1, False)
