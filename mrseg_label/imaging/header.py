"""What a file's header says, in one form for NIfTI, NRRD and MetaImage, and the voxels behind it."""

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
    """How the voxels are packed."""

    RAW = "raw"
    GZIP_FILE = "gzip of the whole file"
    GZIP_DATA = "gzip of the voxels alone"
    ZLIB_DATA = "zlib of the voxels alone"


@dataclass(frozen=True)
class Header:
    """A header whose promises are not yet checked against the voxels.

    Attributes
    ----------
    shape : every axis of the file, the fastest first; may have more or fewer than three.
    dtype : of the stored numbers, with their byte order.
    spacing_mm : along the three spatial axes.
    affine : (4, 4) voxel index to RAS mm as the file has it, or None where it gives no orientation.
    offset : where the voxels begin, in bytes of the file (of the unpacked file for ``GZIP_FILE``).
    slope, intercept : real value = stored value * slope + intercept.
    component_axis : axis of the components of a voxel (NRRD lists them first), if there is one.
    warnings : what was converted, in words for the person who imports.
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
        """The stored numbers, every axis of the file, native byte order, Fortran layout; not yet scaled.

        Raises
        ------
        InvalidInput
            The file holds fewer or more voxels than promised, or a checksum is wrong.
        TooLarge
            More than ``max_bytes``.
        """
        count = self.dtype.itemsize
        for length in self.shape:  # Python's integers do not overflow
            count *= length
        check_size(self.path, count, self.encoding is not Encoding.RAW, max_bytes)
        with self.path.open("rb") as file:
            if self.encoding is Encoding.GZIP_FILE:
                data = read_exactly(open_gzip(file), count, self.path, skip=self.offset)
            else:
                file.seek(self.offset)
                if self.encoding is Encoding.ZLIB_DATA:
                    # Nobody's packer makes voxels larger than this; a longer file is not read whole to find that out.
                    data = read_zlib(file.read(2 * count + 4096), count, self.path)
                else:
                    data = read_exactly(
                        open_gzip(file) if self.encoding is Encoding.GZIP_DATA else file, count, self.path
                    )
        stored: NDArray[Any] = data.view(self.dtype).reshape(self.shape, order="F")
        return stored.astype(self.dtype.newbyteorder("="), copy=False)


def plain_dtype(dtype: np.dtype[Any], path: Path) -> np.dtype[Any]:
    """Accept whole and floating numbers of up to 64 bits.

    Raises
    ------
    InvalidInput
        Colours, complex or extended numbers.
    """
    if dtype.kind in "iuf" and dtype.itemsize <= 8:
        return dtype
    kind = {"V": f"{len(dtype.fields or ())} colour components a voxel (RGB)", "c": "complex numbers"}.get(
        dtype.kind, str(dtype)
    )
    raise InvalidInput(
        f"{path.name}: voxels are {kind}; an image here has one real number a voxel "
        "(export the magnitude or one channel)"
    )


def positive_shape(shape: Sequence[int], path: Path) -> tuple[int, ...]:
    """Check that every axis has at least one voxel."""
    lengths = tuple(int(n) for n in shape)
    if not lengths or min(lengths) < 1:
        raise InvalidInput(f"{path.name}: the header gives the size {lengths}; every axis must have at least one voxel")
    return lengths
