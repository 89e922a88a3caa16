"""Reading a file's voxels: compressed streams to their end, checksums checked, sizes bounded beforehand.

SimpleITK returns what it got from a truncated file and nibabel ignores a wrong checksum, so voxels are
read here and nowhere else.
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
# Deflate cannot pack more than 1,032 bytes into one, so a header that promises more is lying.
_DEFLATE_LIMIT = 1032
MAX_VOXEL_BYTES = 4 * 1024**3
_CHUNK = 8 * 1024**2


def is_gzip(path: Path) -> bool:
    """Whether the file begins as a gzip stream, whatever its name."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def check_size(path: Path, declared: int, compressed: bool, max_bytes: int) -> None:
    """Refuse a header's promise before memory is spent on it.

    Parameters
    ----------
    declared : bytes of voxels that the header promises.
    compressed : whether they are packed by deflate.

    Raises
    ------
    InvalidInput
        The file is too small to hold that much.
    TooLarge
        More than ``max_bytes``.
    """
    held = path.stat().st_size
    if declared > held * (_DEFLATE_LIMIT if compressed else 1):
        raise InvalidInput(
            f"{path.name}: the header promises {declared:,} bytes of voxels; a file of {held:,} bytes cannot hold them"
        )
    if declared > max_bytes:
        raise TooLarge(f"{path.name}: {declared:,} bytes of voxels; at most {max_bytes:,} are read")


def read_exactly(stream: IO[bytes], count: int, path: Path, skip: int = 0) -> NDArray[np.uint8]:
    """Read ``count`` bytes after the first ``skip`` and make sure that the stream ends there, its checksum included.

    Memory is touched only as bytes arrive.

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
        # The checksum of a gzip stream is compared only when its end is read.
        if stream.read(1):
            raise InvalidInput(f"{path.name}: holds more voxels than the {count:,} bytes that its header promises")
    except (EOFError, gzip.BadGzipFile, zlib.error, OSError) as error:
        raise InvalidInput(
            f"{path.name}: the compressed voxels are damaged or truncated after {filled:,} bytes: {error}"
        ) from error
    return buffer


def read_zlib(packed: bytes, count: int, path: Path) -> NDArray[np.uint8]:
    """Unpack a zlib stream (MetaImage) of exactly ``count`` bytes, its Adler-32 checked.

    Raises
    ------
    InvalidInput
        The stream is shorter, longer or damaged.
    """
    inflater = zlib.decompressobj()
    try:
        # One byte more than expected shows a stream that is too long without unpacking it all.
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
    """A reader of the gzip stream that begins at the present position of an open file."""
    return io.BufferedReader(gzip.GzipFile(fileobj=file, mode="rb"), buffer_size=1024**2)
