"""The comparison of drafts over the orders of axes sees a difference, and a clean-up makes none."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.axis_orders import Mask, differing, participant
from mrseg_label.imaging import load_image
from mrseg_label.imaging.clean_up import clean_up
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.anatomy import anatomy_of
from tests.support.axis_orders import AXIS_ORDERS

SHAPE = (36, 32, 22)
SOME = AXIS_ORDERS[::9]
ANATOMY = anatomy_of(LabelScheme.default())


def threshold(path: Path) -> Mask:
    array, _, _ = load_image(path)
    return (array // 90 % 7).astype(np.uint8)


def test_a_mask_that_depends_on_the_order_in_the_file_is_seen(tmp_path: Path) -> None:
    def first_half(path: Path) -> Mask:
        mask = threshold(path)
        mask[: len(mask) // 2] = 0
        return mask

    image = participant(SHAPE)
    assert not any(count for _, count in differing(threshold, image, SOME, tmp_path)[1])
    assert any(count for _, count in differing(first_half, image, SOME, tmp_path)[1])


def test_a_clean_up_is_the_same_in_all_orders_of_axes(tmp_path: Path) -> None:
    def cleaned(path: Path) -> Mask:
        array, grid, _ = load_image(path)
        return clean_up(threshold(path), grid, ANATOMY, array).label_map

    image = participant(SHAPE)
    mask, differences = differing(cleaned, image, SOME, tmp_path)
    assert mask.any()
    assert [count for _, count in differences] == [0] * (len(SOME) - 1)
