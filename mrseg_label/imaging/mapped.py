"""Read the voxels of a stored image through the disk, so that memory does not depend on its size."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.formats import read_header
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.header import Encoding
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES, check_size
from mrseg_label.imaging.volume import grid_of, load_image

_STORED = (np.dtype(np.uint8), np.dtype(np.int16), np.dtype(np.float32))
_CHUNK = 1 << 23


def map_voxels(path: Path, scratch: Path, max_bytes: int = MAX_VOXEL_BYTES) -> tuple[NDArray[Any], Geometry]:
    """Map the voxels of an image into memory, read-only; what is compressed is unpacked to a file first.

    Parameters
    ----------
    scratch : a name for that file, which must last as long as the array is used.

    Returns
    -------
    array : (X, Y, Z) as stored: uint8, int16 or float32. A file in another form than the workspace's own is read as
        :func:`mrseg_label.imaging.volume.load_image` does.
    geometry : its grid.

    Raises
    ------
    InvalidInput
        The file is truncated or damaged.
    """
    header = read_header(path)
    plain = (header.slope, header.intercept) == (1.0, 0.0) and header.dtype in _STORED
    if not plain or header.encoding is not Encoding.GZIP_FILE:
        array, geometry, _ = load_image(path, max_bytes=max_bytes)
        return array, geometry
    geometry, _ = grid_of(header)
    count = header.dtype.itemsize * int(np.prod(geometry.shape, dtype=object))
    check_size(path, count, compressed=True, max_bytes=max_bytes)
    try:
        with gzip.open(path, "rb") as source, scratch.open("wb") as target:
            source.read(header.offset)
            found = 0
            while chunk := source.read(_CHUNK):
                target.write(chunk)
                found += len(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidInput(f"{path.name}: the compressed voxels are damaged or truncated: {error}") from error
    if found != count:
        raise InvalidInput(
            f"{path.name} holds {found:,} bytes of voxels instead of the {count:,} that its header promises"
        )
    return np.memmap(scratch, dtype=header.dtype, mode="r", shape=geometry.shape, order="F"), geometry
