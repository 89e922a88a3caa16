"""Read the voxels of a file: sizes are limited beforehand, compressed streams read to the end, checksums checked.

SimpleITK returns the beginning of a truncated file and nibabel ignores a wrong checksum, so voxels are always read
here.
"""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import InvalidInput, TooLarge

GZIP_MAGIC = b"\x1f\x8b"
# Deflate compresses by a factor of at most 1,032; a header that declares more is wrong.
_DEFLATE_LIMIT = 1032
MAX_VOXEL_BYTES = 4 * 1024**3
_CHUNK = 8 * 1024**2


def is_gzip(path: Path) -> bool:
    """Whether a file begins as a gzip stream, whatever its name."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def check_size(path: Path, declared: int, compressed: bool, max_bytes: int) -> None:
    """Check the size that a header declares, before memory is allocated for it.

    Parameters
    ----------
    declared : bytes of voxels that the header declares.
    compressed : whether they are compressed by deflate.

    Raises
    ------
    InvalidInput
        The file is too small to contain that much.
    TooLarge
        The voxels take more than ``max_bytes``.
    """
    held = path.stat().st_size
    if declared > held * (_DEFLATE_LIMIT if compressed else 1):
        raise InvalidInput(
            f"{path.name}: the header promises {declared:,} bytes of voxels, but a file of {held:,} bytes cannot hold them"
        )
    if declared > max_bytes:
        raise TooLarge(f"{path.name} has {declared:,} bytes of voxels; at most {max_bytes:,} are allowed")


def read_exactly(stream: IO[bytes], count: int, path: Path, skip: int = 0) -> NDArray[np.uint8]:
    """Read ``count`` bytes after the first ``skip``, and check that the stream ends there with a correct checksum.

    The operating system provides memory only as bytes arrive.

    Raises
    ------
    InvalidInput
        The stream is shorter, longer or damaged.
    """
    buffer = np.empty(count, dtype=np.uint8)
    view = buffer.data
    filled = 0
    try:
        stream.read(skip)
        while filled < count:
            got = stream.readinto(view[filled : filled + _CHUNK])  # type: ignore[attr-defined]
            if not got:
                raise InvalidInput(
                    f"{path.name}: the voxels end after {filled:,} of {count:,} bytes; the file is truncated"
                )
            filled += got
        # The checksum of a gzip stream is checked only when its end is read.
        if stream.read(1):
            raise InvalidInput(f"{path.name} holds more voxels than the {count:,} bytes that its header promises")
    except (EOFError, gzip.BadGzipFile, zlib.error, OSError) as error:
        raise InvalidInput(
            f"{path.name}: the compressed voxels are damaged or truncated after {filled:,} bytes: {error}"
        ) from error
    return buffer


def read_zlib(packed: bytes, count: int, path: Path) -> NDArray[np.uint8]:
    """Decompress a zlib stream (MetaImage) of exactly ``count`` bytes and check its Adler-32 checksum.

    Raises
    ------
    InvalidInput
        The stream is shorter, longer or damaged.
    """
    inflater = zlib.decompressobj()
    try:
        # One byte more than expected reveals a stream that is too long, without decompressing all of it.
        data = inflater.decompress(packed, count + 1)
    except zlib.error as error:
        raise InvalidInput(f"{path.name}: the compressed voxels are damaged: {error}") from error
    if len(data) != count or not inflater.eof:
        problem = "more than" if len(data) > count else f"only {len(data):,} of"
        raise InvalidInput(
            f"{path.name}: the compressed voxels hold {problem} the {count:,} bytes that the header promises"
        )
    return np.frombuffer(bytearray(data), dtype=np.uint8)


def open_gzip(file: IO[bytes]) -> IO[bytes]:
    """Open the gzip stream that begins at the current position of a file."""
    return io.BufferedReader(gzip.GzipFile(fileobj=file, mode="rb"), buffer_size=1024**2)
