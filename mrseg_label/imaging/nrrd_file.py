"""Read headers of NRRD files with attached voxels, as Slicer and SimpleITK write them.

References
----------
Definition of NRRD File Format, https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nrrd
import numpy as np

from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.imaging.geometry import Affine
from mrseg_label.imaging.header import Encoding, Header, plain_dtype, positive_shape

SEGMENTATION_SUFFIX = ".seg.nrrd"
SEGMENT_FIELD = re.compile(r"Segment(\d+)_(\w+)")
"""Field of the header that describes a segment, as Slicer writes it."""
_MAX_HEADER = 4 * 1024**2
_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
# Signs that convert a space to RAS. Scanner and 3D spaces are unrelated to the body, so they give no orientation.
_SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
_UNITS_MM = {
    "": 1.0,
    "mm": 1.0,
    "millimeter": 1.0,
    "millimeters": 1.0,
    "m": 1000.0,
    "cm": 10.0,
    "um": 0.001,
    "micron": 0.001,
    "microns": 0.001,
    "nm": 1e-6,
}
_ENCODINGS = {"raw": Encoding.RAW, "gzip": Encoding.GZIP_DATA, "gz": Encoding.GZIP_DATA}


def read_header(path: Path) -> Header:
    """Read the header of a ``.nrrd`` file.

    Raises
    ------
    InvalidInput
        The file is not NRRD, or uses an unsupported feature (detached voxels, text or bzip2 encoding).
    GeometryError
        The units, directions or origin are invalid.
    """
    fields, offset = read_fields(path)
    encoding = str(fields.get("encoding", "")).lower()
    if encoding not in _ENCODINGS:
        raise InvalidInput(f"{path.name}: the encoding {encoding!r} is not supported; save the voxels as raw or gzip")
    for field in ("data file", "datafile", "line skip", "lineskip", "byte skip", "byteskip"):
        if fields.get(field) not in (None, 0):
            raise InvalidInput(
                f"{path.name}: the field {field!r} is not supported; save header and voxels in one .nrrd file"
            )
    kind = str(fields.get("type", "")).lower()
    if kind not in _TYPES:
        raise InvalidInput(f"{path.name}: the voxel type {kind!r} is unknown")
    order = {"little": "<", "big": ">"}.get(str(fields.get("endian", "little")).lower(), "<")
    dtype = plain_dtype(np.dtype(order + _TYPES[kind]), path)
    shape = positive_shape([int(n) for n in fields.get("sizes", ())], path)
    if int(fields.get("dimension", 0)) != len(shape):
        raise InvalidInput(f"{path.name}: the header declares {fields.get('dimension')} axes but {len(shape)} sizes")
    warnings: list[str] = []
    affine, spacing, spatial = _geometry(fields, len(shape), path, warnings)
    others = [axis for axis in range(len(shape)) if axis not in spatial]
    return Header(
        path=path,
        shape=shape,
        dtype=dtype,
        spacing_mm=tuple(spacing),
        affine=affine,
        offset=offset,
        encoding=_ENCODINGS[encoding],
        component_axis=others[0] if others and others[0] < spatial[0] else None,
        warnings=tuple(warnings),
    )


def read_fields(path: Path) -> tuple[Mapping[str, Any], int]:
    """Read all fields and keys of an NRRD header, and the byte at which its voxels begin. Text is Latin-1.

    Raises
    ------
    InvalidInput
        The file is not NRRD, or its header is malformed.
    """
    with path.open("rb") as file:
        block = file.read(_MAX_HEADER)
    if not block.startswith(b"NRRD"):
        raise InvalidInput(f"{path.name}: the content is not NRRD; check the name")
    end = re.search(rb"\r?\n\r?\n", block)
    if end is None:
        raise InvalidInput(f"{path.name}: the NRRD header has no end")
    try:
        fields = nrrd.read_header(block[: end.start()].decode("latin-1").splitlines(keepends=True))
    except (nrrd.NRRDError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InvalidInput(f"{path.name}: the NRRD header cannot be read: {error}") from error
    return fields, end.end()


def _geometry(
    fields: Mapping[str, Any], axes: int, path: Path, warnings: list[str]
) -> tuple[Affine | None, list[float], list[int]]:
    """Return the affine to RAS mm (None without orientation), the spacing in mm, and the spatial axes."""
    directions = fields.get("space directions")
    if directions is None:
        spacings = np.asarray(fields.get("spacings", [1.0] * axes), dtype=np.float64)
        spatial = [axis for axis in range(axes) if np.isfinite(spacings[axis])]
        return None, [float(spacings[axis]) for axis in spatial], spatial
    vectors = [np.full(3, np.nan) if vector is None else np.asarray(vector, dtype=np.float64) for vector in directions]
    if len(vectors) != axes or any(vector.shape != (3,) for vector in vectors):
        raise GeometryError(
            f"{path.name}: each of the {axes} axes needs a direction of three numbers, or none, not {directions}"
        )
    to_mm = _unit(fields, path, warnings)
    spatial = [axis for axis, vector in enumerate(vectors) if np.isfinite(vector).all()]
    matrix = np.zeros((3, 3))
    for column, axis in enumerate(spatial[:3]):
        matrix[:, column] = vectors[axis] * to_mm
    spacing = np.linalg.norm(matrix, axis=0)[: len(spatial)].tolist()
    if not spatial or min(spacing) <= 0:
        raise GeometryError(
            f"{path.name}: the header declares a spacing of {spacing} mm; each must be greater than zero"
        )
    signs = _SPACES.get(str(fields.get("space", "")).lower())
    if signs is None:
        return None, spacing, spatial
    affine = np.eye(4)
    affine[:3, :3] = np.diag(signs) @ matrix
    origin = fields.get("space origin")
    if origin is None:
        warnings.append("the header has no origin; zero was used")
        origin = np.zeros(3)
    origin = np.asarray(origin, dtype=np.float64)
    if origin.shape != (3,):
        raise GeometryError(f"{path.name}: the origin must have three numbers, not {origin.tolist()}")
    affine[:3, 3] = np.asarray(signs) * origin * to_mm
    return affine, spacing, spatial


def _unit(fields: Mapping[str, Any], path: Path, warnings: list[str]) -> float:
    units = {str(unit).strip('" ').lower() for unit in fields.get("space units", ())}
    if not units:
        return 1.0
    if len(units) > 1 or not units <= set(_UNITS_MM):
        raise GeometryError(
            f"{path.name}: the units of length {sorted(units)} are not supported; "
            f"give all axes in one of {sorted(_UNITS_MM)[1:]}"
        )
    unit = units.pop()
    if _UNITS_MM[unit] != 1:
        warnings.append(f"lengths were in {unit} and were converted to mm")
    return _UNITS_MM[unit]


def has_segments(path: Path) -> bool:
    """Whether a file is a segmentation: by its suffix, or an NRRD file whose header lists segments."""
    name = path.name.lower()
    if name.endswith(SEGMENTATION_SUFFIX):
        return True
    return name.endswith(".nrrd") and any(SEGMENT_FIELD.fullmatch(str(key)) for key in read_fields(path)[0])
