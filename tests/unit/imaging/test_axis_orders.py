"""One image, however its file lies: the order and direction of its axes change nothing that a network gets."""

from __future__ import annotations

import numpy as np
import pytest

from mrseg_label.imaging import Geometry, canonical, from_canonical, reorient
from mrseg_label.imaging.body import body_mask, robust_range
from mrseg_label.imaging.intensity import equalize, invert, round_to_int16
from tests.support.axis_orders import AXIS_ORDERS, LARGE, as_stored, large_image


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "PIR"])
@pytest.mark.parametrize("tilt_degrees", [0.0, 6.0, 45.0, -45.0])
def test_the_canonical_form_is_the_same_in_all_orders_of_axes(axcodes: str, tilt_degrees: float) -> None:
    assert len(set(AXIS_ORDERS)) == 48
    shape = (7, 5, 6)
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    image = voxels, Geometry(shape, large_image(tilt_degrees)[1].affine)
    expected, spacing = canonical(*image, axcodes)
    assert expected.flags.f_contiguous
    for array, grid in as_stored(image):
        found, found_spacing = canonical(array, grid, axcodes)
        np.testing.assert_array_equal(found, expected)
        assert (found.strides, found_spacing) == (expected.strides, spacing)
        np.testing.assert_array_equal(from_canonical(found, axcodes, grid), array)


def test_memory_order_changes_no_intensity() -> None:
    array, geometry = large_image()
    assert array.size > 400_000
    layouts = [
        np.asfortranarray(array),
        np.ascontiguousarray(array),
        np.ascontiguousarray(array[::-1, :, ::-1])[::-1, :, ::-1],
    ]
    body = body_mask(array)
    first = [make(layouts[0], geometry.spacing_mm, body) for make in (invert, equalize)]
    for layout in layouts[1:]:
        np.testing.assert_array_equal(body_mask(layout), body)
        assert robust_range(layout) == robust_range(array)
        np.testing.assert_array_equal(round_to_int16(layout / 1e4), round_to_int16(array / 1e4))
        for make, expected in zip((invert, equalize), first, strict=True):
            np.testing.assert_array_equal(make(layout, geometry.spacing_mm, body), expected)


def test_a_plain_orientation_is_that_of_nibabel() -> None:
    import nibabel

    image = large_image()
    for _, grid in as_stored(image):
        assert grid.axcodes == "".join(nibabel.aff2axcodes(grid.affine))
    assert reorient(*image, "SLP")[1].axcodes == "SLP" and image[0].shape == LARGE
