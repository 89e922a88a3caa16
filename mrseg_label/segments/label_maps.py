"""Read label maps from files. Does not import SciPy or scikit-image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.formats import read_header
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.header import Header
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES
from mrseg_label.imaging.volume import grid_of

# A scaled int16 header gives 2.9999998 for 3; half a label is an interpolated mask.
WHOLE_TOLERANCE = 1e-3
MAX_LABEL = 65535

Layer = NDArray[np.uint16]


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
        A value is not a whole number between 0 and ``highest`` or 65,535, or the file cannot be read.
    GeometryError, TooLarge
        As :func:`mrseg_label.imaging.volume.load_image`. A constant map is a label map.
    """
    header = read_header(Path(path))
    geometry, _ = grid_of(header)
    labels = whole_labels(header.read_voxels(max_bytes).reshape(geometry.shape, order="F"), header)
    largest = int(labels.max())
    if highest is not None and largest > highest:
        raise InvalidInput(f"{header.path.name}: label ids up to {largest}; the label scheme ends at {highest}")
    return labels.astype(np.uint8 if largest <= 255 else np.uint16), geometry


def whole_labels(stored: NDArray[Any], header: Header) -> Layer:
    """Convert stored numbers (X, Y, Z) to label ids, uint16, with the header's scaling applied.

    Raises
    ------
    InvalidInput
        A value is NaN or infinite, negative, more than 0.001 from a whole number, or above 65,535.
    """
    name, scaled = header.path.name, (header.slope, header.intercept) != (1.0, 0.0)
    if not scaled and stored.dtype.kind in "iu":
        _check_range(int(stored.min()), int(stored.max()), name)
        return stored.astype(np.uint16, copy=False)
    labels = np.empty(stored.shape, dtype=np.uint16, order="F")
    for k in range(stored.shape[2]):  # plane by plane: no float copy of the whole volume
        plane = stored[:, :, k].astype(np.float64)
        if scaled:
            plane = plane * header.slope + header.intercept
        if not np.isfinite(plane).all():
            count = int((~np.isfinite(plane)).sum())
            raise InvalidInput(
                f"{name}: {count:,} voxels of slice {k} are NaN or infinite; label ids are whole numbers"
            )
        rounded = np.rint(plane)
        difference = np.abs(plane - rounded)
        if difference.max() > WHOLE_TOLERANCE:
            raise InvalidInput(
                f"{name}: holds the value {plane.flat[int(difference.argmax())]:g}; label ids are whole numbers "
                "(was the mask resampled with interpolation?)"
            )
        _check_range(int(rounded.min()), int(rounded.max()), name)
        labels[:, :, k] = rounded
    return labels


def _check_range(low: int, high: int, name: str) -> None:
    if low < 0 or high > MAX_LABEL:
        raise InvalidInput(f"{name}: label ids from {low} to {high}; they must lie between 0 and {MAX_LABEL}")
