"""Images that lie elsewhere than another on the same grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.studies.misregistration import breathe
from mrseg_label.imaging import Geometry
from mrseg_label.imaging.registration import Displacement, Reference
from mrseg_label.simulation.phantom import Participant, paint, render_all

Image = NDArray[Any]


@pytest.fixture(scope="module")
def scan() -> tuple[dict[str, Image], Geometry, Reference]:
    """The channels of a phantom, with the in-phase image as the reference."""
    painted = paint(Participant.draw(seed=3, index=2), "abdomen")
    images: dict[str, Image] = dict(render_all(painted, ("in", "opp", "fat", "water")))
    x, y, z = images["in"].shape
    geometry = Geometry((x, y, z), painted.affine)
    return images, geometry, Reference(images["in"], geometry)


def test_channels_in_place_are_not_suspected(scan: tuple[dict[str, Image], Geometry, Reference]) -> None:
    images, _, reference = scan
    assert [reference.find_displacement(images[name]) for name in ("in", "opp", "fat", "water")] == [None] * 4


@pytest.mark.parametrize(("name", "axis", "steps"), [("water", 0, 3), ("fat", 1, -2), ("opp", 2, 2)])
def test_a_shift_is_found_with_its_direction(
    scan: tuple[dict[str, Image], Geometry, Reference], name: str, axis: int, steps: int
) -> None:
    images, geometry, reference = scan
    found = reference.find_displacement(np.roll(images[name], steps, axis))
    assert found is not None and found.part == "the whole image"
    expected = geometry.affine[:3, axis] * steps
    assert np.allclose(found.mm, expected, atol=0.6 * max(reference.spacing)), (found.mm, expected)


def test_a_breath_moves_the_inside_of_the_body(scan: tuple[dict[str, Image], Geometry, Reference]) -> None:
    images, geometry, reference = scan
    found = reference.find_displacement(breathe(images["water"], geometry, 12.0))
    assert found is not None and found.part == "the upper inside of the body"
    assert found.mm[2] > 5 and "towards the head" in str(found)


def test_what_shows_nothing_is_not_suspected() -> None:
    draw = np.random.default_rng(0)
    grid = Geometry((40, 40, 24), np.diag((-4.0, -4.0, 4.0, 1.0)))
    first, second = draw.integers(0, 900, (2, 40, 40, 24))
    assert Reference(first, grid).find_displacement(second) is None
    assert Reference(first, grid).find_displacement(np.zeros_like(first)) is None
    assert Reference(np.zeros_like(first), grid).find_displacement(first) is None
    small = Geometry((4, 5, 6), np.diag((4.0, 4.0, 4.0, 1.0)))
    assert Reference(first[:4, :5, :6], small).find_displacement(second[:4, :5, :6]) is None


def test_a_displacement_is_told_in_words() -> None:
    told = str(Displacement("the whole image", (-4.4, 9.0, 0.2)))
    assert told == "the whole image by 4 mm towards the left and 9 mm towards the front"
