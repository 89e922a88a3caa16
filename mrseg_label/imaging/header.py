"""The header of an image file, in one form for NIfTI, NRRD and MetaImage, and reading the voxels behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.geometry import Affine
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES, check_size, open_gzip, read_exactly, read_zlib


class Encoding(Enum):
    """How the voxels are compressed."""

    RAW = "raw"
    GZIP_FILE = "gzip of the whole file"
    GZIP_DATA = "gzip of the voxels alone"
    ZLIB_DATA = "zlib of the voxels alone"


@dataclass(frozen=True)
class Header:
    """A header that has not yet been checked against the voxels.

    Attributes
    ----------
    shape : length of every axis of the file, the fastest first; there may be more or fewer than three.
    dtype : of the stored numbers, including their byte order.
    spacing_mm : along the three spatial axes.
    affine : (4, 4) from voxel index to RAS mm as stored; None if the file has no orientation.
    offset : byte at which the voxels begin (in the decompressed file for ``GZIP_FILE``).
    slope, intercept : real value = stored value * slope + intercept.
    component_axis : axis of the components of a voxel (the first in NRRD), if there is one.
    warnings : conversions that were made, for the import report.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    spacing_mm: tuple[float, ...]
    affine: Affine | None
    offset: int
    encoding: Encoding
    slope: float = 1.0
    intercept: float = 0.0
    component_axis: int | None = None
    warnings: tuple[str, ...] = field(default_factory=tuple)

    def read_voxels(self, max_bytes: int = MAX_VOXEL_BYTES) -> NDArray[Any]:
        """Read the stored numbers: all axes of the file, native byte order, Fortran order, not yet scaled.

        Raises
        ------
        InvalidInput
            The file contains fewer or more voxels than the header declares, or a checksum is wrong.
        TooLarge
            The voxels take more than ``max_bytes``.
        """
        count = self.dtype.itemsize
        for length in self.shape:  # Python integers do not overflow
            count *= length
        check_size(self.path, count, self.encoding is not Encoding.RAW, max_bytes)
        with self.path.open("rb") as file:
            if self.encoding is Encoding.GZIP_FILE:
                data = read_exactly(open_gzip(file), count, self.path, skip=self.offset)
            else:
                file.seek(self.offset)
                if self.encoding is Encoding.ZLIB_DATA:
                    # Compression never doubles the size, so nothing beyond this belongs to the voxels.
                    data = read_zlib(file.read(2 * count + 4096), count, self.path)
                else:
                    data = read_exactly(
                        open_gzip(file) if self.encoding is Encoding.GZIP_DATA else file, count, self.path
                    )
        stored: NDArray[Any] = data.view(self.dtype).reshape(self.shape, order="F")
        return stored.astype(self.dtype.newbyteorder("="), copy=False)


def plain_dtype(dtype: np.dtype[Any], path: Path) -> np.dtype[Any]:
    """Accept integers and floating-point numbers of up to 64 bits.

    Raises
    ------
    InvalidInput
        The voxels are colours, complex numbers or longer than 64 bits.
    """
    if dtype.kind in "iuf" and dtype.itemsize <= 8:
        return dtype
    kind = {"V": f"{len(dtype.fields or ())} colour components each (RGB)", "c": "complex numbers"}.get(
        dtype.kind, str(dtype)
    )
    raise InvalidInput(
        f"{path.name}: the voxels are {kind}, but must be one real number each; "
        "export the magnitude or a single channel"
    )


def positive_shape(shape: Sequence[int], path: Path) -> tuple[int, ...]:
    """Check that every axis has at least one voxel.

    Raises
    ------
    InvalidInput
        There is no axis, or one is empty.
    """
    lengths = tuple(int(n) for n in shape)
    if not lengths or min(lengths) < 1:
        raise InvalidInput(
            f"{path.name}: the header declares the size {lengths}, but every axis needs at least one voxel"
        )
    return lengths
