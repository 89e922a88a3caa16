"""Read label maps from files. Does not import SciPy or scikit-image."""

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


def read_label_map(
    path: Path, *, highest: int | None = None, max_bytes: int = MAX_VOXEL_BYTES
) -> tuple[NDArray[Any], Geometry]:
    """Read a label map; its label ids are those of whoever made it.

    Parameters
    ----------
    highest : largest label id that is allowed, such as the number of structures of the scheme.

    Returns
    -------
    array : (X, Y, Z) uint8 where every id is below 256, else uint16.
    geometry : its grid, as it is in the file.

    Raises
    ------
    InvalidInput
        A value is not a whole number (to 1e-3) between 0 and ``highest`` or 65,535, or the file cannot be read.
    GeometryError, TooLarge
        As :func:`mrseg_label.imaging.volume.load_image`. A constant map is a label map.
    """
    header = read_header(Path(path))
    geometry, _ = grid_of(header, None)
    array = as_label_map(real_values(header, geometry, header.read_voxels(max_bytes)), header.path.name)
    if highest is not None and array.size and array.max() > highest:
        raise InvalidInput(f"{header.path.name}: labels go up to {array.max()}; the label scheme ends at {highest}")
    return array, geometry


def as_label_map(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Convert whole numbers to uint8, or uint16 where an id is above 255; ``name`` is the file's, for messages.

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
