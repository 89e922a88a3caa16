"""Swapped fat and water images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mrseg_label.imaging import Geometry
from mrseg_label.imaging.swaps import swapped_parts
from mrseg_label.simulation.phantom import Participant, paint, render_all


def body() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Geometry]:
    """Water and fat of a cylinder with 20 mm of fat around it, 80 x 80 x 20 voxels of 4 mm, LPS."""
    x, y = np.meshgrid(np.arange(80), np.arange(80), indexing="ij")
    radius = np.hypot((x - 40) / 34, (y - 40) / 26)
    noise = np.random.default_rng(0).normal(0, 15, (2, 80, 80, 20))
    fat = np.where((radius < 1) & (radius > 0.8), 900, 0) + np.where(radius <= 0.8, 60, 0)
    water = np.where(radius <= 0.8, 800, 0) + np.where((radius < 1) & (radius > 0.8), 50, 0)
    affine = np.diag((-4.0, -4.0, 4.0, 1.0))
    images = [np.abs(image[..., None] + part).astype(np.int16) for image, part in zip((water, fat), noise, strict=True)]
    return images[0], images[1], Geometry((80, 80, 20), affine)


def test_swaps_of_fat_and_water_are_found_whole_and_half() -> None:
    water, fat, geometry = body()
    assert swapped_parts(fat, water, geometry) == []
    assert swapped_parts(water, fat, geometry) == ["whole image"]
    left = slice(40, None)  # the first axis points to the left
    mixed_water, mixed_fat = water.copy(), fat.copy()
    mixed_water[left], mixed_fat[left] = fat[left], water[left]
    assert swapped_parts(mixed_fat, mixed_water, geometry) == ["left half"]
    upper_water, upper_fat = water.copy(), fat.copy()
    upper_water[..., 10:], upper_fat[..., 10:] = fat[..., 10:], water[..., 10:]
    assert swapped_parts(upper_fat, upper_water, geometry) == ["upper half"]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((slice(None), slice(None), slice(14, None)), "upper part"),
        ((slice(None), slice(None), slice(6, 14)), "slab across foot to head"),
        ((slice(30, 50), slice(None), slice(None)), "slab across left to right"),
        ((slice(None), slice(0, 30), slice(None)), "front part"),  # the second axis points to the back
        ((slice(52, None), slice(None), slice(None)), "left part"),
    ],
)
def test_swaps_of_a_slab_are_found(place: tuple[slice, ...], expected: str) -> None:
    water, fat, geometry = body()
    mixed_water, mixed_fat = water.copy(), fat.copy()
    mixed_water[place], mixed_fat[place] = fat[place], water[place]
    assert swapped_parts(mixed_fat, mixed_water, geometry) == [expected]


def test_noise_is_no_swap() -> None:
    random = np.random.default_rng(1)
    geometry = Geometry((40, 40, 20), np.diag((4.0, 4.0, 4.0, 1.0)))
    fat, water = random.integers(0, 900, (2, 40, 40, 20))
    assert swapped_parts(fat, water, geometry) == []
    assert swapped_parts(np.zeros((40, 40, 20)), np.zeros((40, 40, 20)), geometry) == []


@pytest.mark.parametrize("station", ["abdomen", "pelvis"])
def test_swaps_of_a_phantom_are_found_and_no_other(station: str) -> None:
    painted = paint(Participant.draw(seed=3, index=2), station)
    images = render_all(painted, ("water", "fat"))
    water, fat = images["water"], images["fat"]
    x, y, z = water.shape
    geometry = Geometry((x, y, z), painted.affine)
    assert swapped_parts(fat, water, geometry) == []
    assert swapped_parts(water, fat, geometry) == ["whole image"]
    axis = next(n for n, code in enumerate(geometry.axcodes) if code in "RL")
    index = np.arange(water.shape[axis]).reshape([-1 if n == axis else 1 for n in range(3)])
    towards_left = geometry.axcodes[axis] == "L"
    left = np.broadcast_to((index >= water.shape[axis] // 2) == towards_left, water.shape)
    assert swapped_parts(np.where(left, water, fat), np.where(left, fat, water), geometry) == ["left half"]
