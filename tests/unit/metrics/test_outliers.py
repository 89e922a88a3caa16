"""What lies far outside of others is found, and what cannot be told is left alone."""

from __future__ import annotations

import pytest

from mrseg_label.metrics.outliers import FEWEST_OTHERS, find_outliers

USUAL = {f"m{index}": 1000.0 + 40 * index for index in range(12)}


@pytest.mark.parametrize(("value", "above"), [(3000.0, True), (300.0, False), (0.0, False)])
def test_a_value_apart_is_found_with_the_median_of_all(value: float, above: bool) -> None:
    found = find_outliers(USUAL | {"odd": value}, 0.1)
    assert list(found) == ["odd"] and (found["odd"].z > 0) is above
    assert found["odd"].value == value and found["odd"].others == 12
    assert found["odd"].median == pytest.approx(1240 if above else 1200)


def test_several_wrong_values_do_not_hide_each_other() -> None:
    assert set(find_outliers(USUAL | {"a": 5000.0, "b": 5200.0, "c": 5100.0}, 0.1)) == {"a", "b", "c"}


def test_values_that_are_nearly_alike_have_no_outliers() -> None:
    alike = dict.fromkeys(USUAL, 500.0)
    assert find_outliers(alike | {"a": 600.0}, 0.1) == {}
    assert set(find_outliers(alike | {"a": 900.0}, 0.1)) == {"a"}


def test_of_few_values_nothing_is_said() -> None:
    few = {f"m{index}": 1000.0 for index in range(FEWEST_OTHERS - 1)}
    assert find_outliers(few | {"odd": 1e6}, 0.1) == {}
    assert set(find_outliers(few | {"m": 1000.0, "odd": 1e6}, 0.1)) == {"odd"}
    assert find_outliers({}, 0.1) == {}
