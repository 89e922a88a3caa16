"""One image in all 48 orders and directions of its axes, as files hold it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from mrseg_label.imaging import Geometry, reorient

Array = np.ndarray[Any, Any]
AXIS_ORDERS = tuple(
    "".join(codes) for letters in itertools.permutations(("RL", "AP", "SI")) for codes in itertools.product(*letters)
)
# More voxels than histograms are made of.
LARGE = (84, 78, 66)


def large_image(tilt_degrees: float = 6.0) -> tuple[Array, Geometry]:
    """A body of smooth random tissue that is unlike its mirror images, tilted about the axis from left to right, RAS."""
    rng = np.random.default_rng(3)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in LARGE), indexing="ij")
    body = (axes[0] + 0.1) ** 2 + (axes[1] - 0.05) ** 2 < 0.7 + 0.2 * axes[2]
    tissue = ndimage.gaussian_filter(rng.normal(size=LARGE), 2)
    signal = body * (500 + 250 * tissue / tissue.std() + 90 * axes[0] + 60 * axes[2]) + rng.normal(0, 8, LARGE)
    lung = ((axes[0] - 0.3) / 0.3) ** 2 + (axes[1] / 0.4) ** 2 < 1
    signal[lung & (axes[2] > 0)] *= 0.04
    angle = np.deg2rad(tilt_degrees)
    rotation = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = rotation * (2.1, 2.3, 3.7)
    affine[:3, 3] = (-88.3, -90.1, -120.7)
    return np.abs(signal).astype(np.int16), Geometry(LARGE, affine.astype(np.float32))


def as_stored(image: tuple[Array, Geometry], orders: Sequence[str] = AXIS_ORDERS) -> Iterator[tuple[Array, Geometry]]:
    """The image as it is read from files in each of these orders of axes; affines are rounded to float32 as in NIfTI."""
    for axcodes in orders:
        array, grid = reorient(*image, axcodes)
        yield np.asfortranarray(array), Geometry(grid.shape, grid.affine.astype(np.float32))
