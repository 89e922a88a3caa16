"""Read headers of MetaImage files with attached voxels (``.mha``), as ITK and SimpleITK write them.

References
----------
ITK MetaIO documentation, https://itk.org/Wiki/ITK/MetaIO/Documentation
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.imaging.geometry import Affine
from mrseg_label.imaging.header import Encoding, Header, plain_dtype, positive_shape

_MAX_HEADER = 1024**2
_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_UNITS_MM = {"mm": 1.0, "cm": 10.0, "um": 0.001, "?": 1.0}


def read_header(path: Path) -> Header:
    """Read the header of a ``.mha`` file.

    Raises
    ------
    InvalidInput
        The file is not MetaImage, or uses an unsupported feature (voxels as text or in another file).
    GeometryError
        The spacing, direction or origin is malformed.
    """
    fields, offset = _fields(path)
    if fields.get("ElementDataFile", "").upper() != "LOCAL":
        raise InvalidInput(
            f"{path.name}: the voxels are in another file ({fields.get('ElementDataFile')!r}); save the image as one .mha file"
        )
    if fields.get("BinaryData", "True").lower() != "true" or fields.get("HeaderSize", "0") not in ("0", "-1"):
        raise InvalidInput(
            f"{path.name}: voxels as text or with a separate header are not supported; save them as binary data"
        )
    for field, neutral in (("ElementToIntensityFunctionSlope", 1.0), ("ElementToIntensityFunctionOffset", 0.0)):
        if _numbers(fields, field, path, [neutral]) != [neutral]:
            raise InvalidInput(f"{path.name}: {field} is not supported; save the image with its real values")
    kind = fields.get("ElementType", "").removesuffix("_ARRAY")
    if kind not in _TYPES:
        raise InvalidInput(f"{path.name}: the voxel type {kind!r} is unknown")
    big = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False")).lower() == "true"
    shape = positive_shape(_whole_numbers(fields, "DimSize", path, []), path)
    if [float(len(shape))] != _numbers(fields, "NDims", path, []):
        raise InvalidInput(f"{path.name}: the header declares {fields.get('NDims')} axes but {len(shape)} sizes")
    (components,) = positive_shape(_whole_numbers(fields, "ElementNumberOfChannels", path, [1.0])[:1], path)
    warnings: list[str] = []
    spacing, affine = _geometry(fields, len(shape), path, warnings)
    return Header(
        path=path,
        shape=(components, *shape) if components != 1 else shape,
        dtype=plain_dtype(np.dtype((">" if big else "<") + _TYPES[kind]), path),
        spacing_mm=spacing,
        affine=affine,
        offset=offset,
        encoding=Encoding.ZLIB_DATA if fields.get("CompressedData", "False").lower() == "true" else Encoding.RAW,
        component_axis=0 if components != 1 else None,
        warnings=tuple(warnings),
    )


def _fields(path: Path) -> tuple[dict[str, str], int]:
    with path.open("rb") as file:
        block = file.read(_MAX_HEADER)
    fields: dict[str, str] = {}
    position = 0
    while b"\n" in block[position : position + 4096]:
        end = block.index(b"\n", position)
        line = block[position:end].decode("latin-1")
        position = end + 1
        name, equals, value = line.partition("=")
        if not equals:
            break
        fields[name.strip()] = value.strip()
        if name.strip() == "ElementDataFile":
            return fields, position
    raise InvalidInput(f"{path.name}: the content is not MetaImage; check the name")


def _numbers(fields: dict[str, str], name: str, path: Path, default: list[float]) -> list[float]:
    if name not in fields:
        return default
    try:
        return [float(part) for part in fields[name].split()]
    except ValueError:
        raise InvalidInput(f"{path.name}: {name} must be numbers, not {fields[name]!r}") from None


def _whole_numbers(fields: dict[str, str], name: str, path: Path, default: list[float]) -> list[int]:
    numbers = _numbers(fields, name, path, default)
    if not all(number.is_integer() for number in numbers):  # False for infinity and NaN
        raise InvalidInput(f"{path.name}: {name} must be whole numbers, not {fields[name]!r}")
    return [int(number) for number in numbers]


def _geometry(
    fields: dict[str, str], axes: int, path: Path, warnings: list[str]
) -> tuple[tuple[float, ...], Affine | None]:
    unit = fields.get("DistanceUnits", "mm").lower()
    if unit not in _UNITS_MM:
        raise GeometryError(f"{path.name}: the unit of length {unit!r} is unknown")
    to_mm = _UNITS_MM[unit]
    if to_mm != 1:
        warnings.append(f"lengths were in {unit} and were converted to mm")
    numbers = _numbers(fields, "ElementSpacing", path, _numbers(fields, "ElementSize", path, [1.0] * axes))
    spacing = np.array(numbers) * to_mm
    if len(spacing) != axes or not np.isfinite(spacing).all() or spacing.min() <= 0:
        raise GeometryError(
            f"{path.name}: the header declares a spacing of {spacing.tolist()} mm; each must be greater than zero"
        )
    used = min(axes, 3)
    matrix = next(
        (_numbers(fields, name, path, []) for name in ("TransformMatrix", "Orientation", "Rotation") if name in fields),
        None,
    )
    if matrix is None:
        return tuple(spacing[:used].tolist()), None
    origin = next(
        (_numbers(fields, name, path, []) for name in ("Offset", "Position", "Origin") if name in fields), [0.0] * axes
    )
    if len(matrix) != axes * axes or len(origin) != axes:
        raise GeometryError(f"{path.name}: the direction or the origin has the wrong number of values for {axes} axes")
    # Each row of the matrix is the direction of one axis, in LPS.
    affine = np.eye(4)
    affine[:used, :used] = np.array(matrix).reshape(axes, axes)[:used, :used].T * spacing[:used]
    affine[:used, 3] = np.array(origin)[:used] * to_mm
    affine[:2] *= -1
    return tuple(spacing[:used].tolist()), affine
