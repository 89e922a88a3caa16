"""Label maps from files. SciPy and scikit-image are not needed for this and not imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.formats import read_header
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES
from mrseg_label.imaging.volume import grid_of, real_values

# Scaled integer headers give values such as 4.9999998; anything farther from a whole number is no label.
WHOLE_TOLERANCE = 1e-3
MAX_LABEL = 65535


def load_label_map(
    path: Path, orientation: str | None = None, *, max_bytes: int = MAX_VOXEL_BYTES
) -> tuple[NDArray[Any], Geometry, list[str]]:
    """Read a label map; its ids are those of whoever made it.

    Returns
    -------
    array : (X, Y, Z) uint8 where every id is below 256, else uint16.
    geometry : its grid, as it is in the file.
    warnings : as :func:`mrseg_label.imaging.volume.load_image`.

    Raises
    ------
    InvalidInput
        A value is not a whole number (to 1e-3) between 0 and 65,535, or the file cannot be read.
    GeometryError, TooLarge
        As :func:`mrseg_label.imaging.volume.load_image`. A constant map is a label map.
    """
    header = read_header(Path(path))
    geometry, warnings = grid_of(header, orientation)
    array = real_values(header, geometry, header.read_voxels(max_bytes))
    return as_label_map(array, header.path.name), geometry, warnings


def as_label_map(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Whole numbers as uint8, or uint16 where an id is above 255; ``name`` is the file's, for messages.

    Raises
    ------
    InvalidInput
        A value is not finite, not whole (to 1e-3), or not between 0 and 65,535.
    """
    if array.dtype.kind == "f":
        bad = ~np.isfinite(array)
        if bad.any():
            raise InvalidInput(
                f"{name}: {int(bad.sum()):,} of {array.size:,} voxels are NaN or infinite; labels are whole numbers"
            )
        rounded = np.rint(array)
        fractional = np.abs(array - rounded) > WHOLE_TOLERANCE
        if fractional.any():
            raise InvalidInput(
                f"{name}: {int(fractional.sum()):,} of {array.size:,} voxels are not whole numbers "
                f"(such as {float(array[fractional][0]):g}); labels are"
            )
        array = rounded
    low, high = array.min(), array.max()
    if low < 0 or high > MAX_LABEL:
        raise InvalidInput(f"{name}: labels lie between {low:g} and {high:g}; allowed are 0 to {MAX_LABEL}")
    return array.astype(np.uint8 if high <= 255 else np.uint16)
