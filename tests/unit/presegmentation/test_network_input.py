"""What the CT network gets of an image, in whatever order the axes of its file are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mrseg_label.presegmentation.preparation import network_input
from mrseg_label.presegmentation.sources import Preparation
from tests.support.axis_orders import AXIS_ORDERS, as_stored, large_image

SOME = ("LPS", "SLP", "PIR", "AIL")


@pytest.mark.parametrize("preparation", list(Preparation))
@pytest.mark.parametrize("orders", [SOME, pytest.param(AXIS_ORDERS, marks=pytest.mark.soak)], ids=("some", "all"))
def test_every_source_gives_the_network_the_same_image(preparation: Preparation, orders: Sequence[str]) -> None:
    image = large_image()
    assert image[0].size > 400_000
    expected, expected_grid = network_input(*image, preparation)
    assert len(np.unique(expected)) > 100
    for array, grid in as_stored(image, orders):
        found, found_grid = network_input(array, grid, preparation)
        np.testing.assert_array_equal(found, expected)
        assert found.strides == expected.strides
        assert found_grid == expected_grid
