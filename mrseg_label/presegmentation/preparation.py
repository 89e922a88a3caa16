"""How an image is brought into the form in which a network knows images: its orientation and its intensities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging import Geometry, canonical
from mrseg_label.imaging.intensity import equalize, invert, round_to_int16
from mrseg_label.presegmentation.sources import Preparation

# Intensities are prepared in this orientation, so that the result does not depend on how a file's axes lie.
PREPARED_AXCODES = "RAS"


def network_input(
    array: NDArray[Any], geometry: Geometry, preparation: Preparation
) -> tuple[NDArray[np.int16], Geometry]:
    """Prepare an image for a CT network; the result is the same, bit by bit, however the image's axes are stored.

    Parameters
    ----------
    array : (X, Y, Z) in any axis order, on the grid of ``geometry``.

    Returns
    -------
    prepared : (X, Y, Z) int16, axes RAS.
    grid : its spacing without tilt and place, which networks do not use.
    """
    turned, spacing_mm = canonical(array, geometry, PREPARED_AXCODES)
    x, y, z = turned.shape
    grid = Geometry((x, y, z), np.diag((*spacing_mm, 1.0)))
    return prepare(turned, grid, preparation), grid


def prepare(array: NDArray[Any], geometry: Geometry, preparation: Preparation) -> NDArray[np.int16]:
    """Prepare an image (X, Y, Z) with axes RAS for a CT network: int16 in the range of HU."""
    if preparation is Preparation.INVERTED:
        return invert(array, geometry.spacing_mm)
    if preparation is Preparation.EQUALIZED:
        return equalize(array, geometry.spacing_mm)
    return round_to_int16(array)
