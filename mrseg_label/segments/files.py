"""Reading a label map or a Slicer segmentation onto the grid of its image, exactly or not at all.

References
----------
Slicer's ``.seg.nrrd``: https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.imaging import nrrd_file
from mrseg_label.imaging.formats import read_header
from mrseg_label.imaging.geometry import Geometry, resolve_affine
from mrseg_label.imaging.header import Header
from mrseg_label.imaging.lattice import Placement, placement
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES
from mrseg_label.imaging.volume import grid_of

SEGMENTATION_SUFFIX = ".seg.nrrd"
# A scaled int16 header gives 2.9999998 for 3; half a label is an interpolated mask.
ROUNDING = 1e-3
MAX_LABEL = 65535
MAX_SEGMENTS = 1024
# Bytes of voxels that a segmentation in layers may unpack to, for each voxel of its image.
LAYERED_BYTES_PER_VOXEL = 32
_PLAIN_BYTES_PER_VOXEL = 8
_SMALL = 1024**2
_FIELD = re.compile(r"Segment(\d+)_(\w+)")

Layer = NDArray[np.uint16]


@dataclass(frozen=True)
class Segment:
    """One segment of a ``.seg.nrrd``, in the order of Slicer's list."""

    name: str
    layer: int
    value: int


@dataclass(frozen=True)
class Segmentation:
    """What a file holds, on the grid of the image.

    Attributes
    ----------
    layers : label maps (X, Y, Z) uint16; one, but for a ``.seg.nrrd`` with overlapping segments.
    segments : the file's own list of segments, or None where it has none.
    notes : what was reoriented, padded, cropped or rounded, in words.
    """

    layers: tuple[Layer, ...]
    segments: tuple[Segment, ...] | None
    notes: tuple[str, ...]


def read_segmentation(path: Path, image: Geometry, max_bytes: int = MAX_VOXEL_BYTES) -> Segmentation:
    """Read a label map (``.nii.gz``, ``.nii``, ``.nrrd``, ``.mha``) or a segmentation (``.seg.nrrd``).

    The grid is compared from the header alone, before voxels cost memory. A label map has the image's grid,
    if need be with its axes in another order or direction, which is undone exactly. A segmentation has the
    image's lattice and any extent (Slicer saves segmentations cropped); it is padded and cropped exactly.

    Parameters
    ----------
    image : grid of the image that was segmented.
    max_bytes : largest size of the unpacked voxels; the image's own size sets a lower limit.

    Raises
    ------
    GeometryError
        Another grid; non-zero voxels outside the image. The message has both geometries.
    InvalidInput
        Damaged, truncated, not whole numbers, negative, NaN, 4D, or not of the kind that its name says.
    TooLarge
        More voxels than an image of this size can have.
    """
    header = read_header(path)
    segments = _segments(path) if path.name.lower().endswith(".nrrd") else None
    voxels = int(np.prod(image.shape, dtype=object))
    if path.name.lower().endswith(SEGMENTATION_SUFFIX):
        if segments is None:
            raise InvalidInput(
                f"{path.name}: has no segments (fields Segment0_ID, Segment0_Name ...); "
                "a label map without them is saved as .nrrd or .nii.gz"
            )
        limit = min(max_bytes, LAYERED_BYTES_PER_VOXEL * voxels + _SMALL)
        return _read_layers(header, segments, image, limit)
    geometry, warnings = grid_of(header)
    where = placement(geometry, image)
    if where is None or not where.covers_exactly(image):
        difference = geometry.difference(image) or f"the axes differ: {geometry}, against {image}"
        raise GeometryError(f"{path.name} does not lie on the grid of its image: {difference}")
    stored = header.read_voxels(min(max_bytes, _PLAIN_BYTES_PER_VOXEL * voxels + _SMALL))
    layer = whole_labels(stored.reshape(geometry.shape, order="F"), header)
    return Segmentation((where.reorder(layer),), segments, (*warnings, *_moved(where, geometry, image)))


def whole_labels(stored: NDArray[Any], header: Header) -> Layer:
    """Stored numbers (X, Y, Z) to labels, scaling applied, uint16.

    Raises
    ------
    InvalidInput
        NaN or infinite, negative, farther than 0.001 from a whole number, or above 65,535.
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
            raise InvalidInput(
                f"{name}: {int((~np.isfinite(plane)).sum()):,} voxels of slice {k} are NaN or infinite; a mask holds labels"
            )
        rounded = np.rint(plane)
        off = np.abs(plane - rounded)
        if off.max() > ROUNDING:
            raise InvalidInput(
                f"{name}: holds {plane.flat[int(off.argmax())]:g}, which is no whole number; "
                "a mask holds labels (was it resampled with interpolation?)"
            )
        _check_range(int(rounded.min()), int(rounded.max()), name)
        labels[:, :, k] = rounded
    return labels


def _check_range(low: int, high: int, name: str) -> None:
    if low < 0 or high > MAX_LABEL:
        raise InvalidInput(f"{name}: labels from {low} to {high}; they must lie between 0 and {MAX_LABEL}")


def _read_layers(header: Header, segments: tuple[Segment, ...], image: Geometry, max_bytes: int) -> Segmentation:
    name, shape = header.path.name, list(header.shape)
    layers = shape.pop(header.component_axis) if header.component_axis is not None else 1
    if len(shape) != 3:
        raise InvalidInput(f"{name}: {header.shape} is neither three axes nor layers of three axes")
    if max((segment.layer for segment in segments), default=0) >= layers:
        raise InvalidInput(f"{name}: a segment is said to be in a layer beyond the {layers} that there are")
    if header.affine is None:
        raise GeometryError(f"{name}: the file gives no orientation; save it from Slicer again")
    affine, warnings = resolve_affine(header.affine)
    geometry = Geometry((shape[0], shape[1], shape[2]), affine)
    where = placement(geometry, image)
    if where is None and geometry.shape == (1, 1, 1) and not header.read_voxels(max_bytes).any():
        # What Slicer writes when every segment is empty; its place means nothing.
        return Segmentation((np.zeros(image.shape, dtype=np.uint16),), segments, header.warnings)
    if where is None:
        raise GeometryError(
            f"{name} does not lie on the lattice of its image: {geometry}, against {image}; "
            "in Slicer, set the image as the segmentation's source geometry"
        )
    stored = header.read_voxels(max_bytes).reshape(layers, *shape, order="F")
    placed = []
    for index in range(layers):
        layer, outside = where.place(whole_labels(stored[index], header), image)
        if outside:
            raise GeometryError(
                f"{name}: {outside:,} voxels of segments lie outside the image: {geometry}, against {image}"
            )
        placed.append(layer)
    return Segmentation(tuple(placed), segments, (*header.warnings, *warnings, *_moved(where, geometry, image)))


def _moved(where: Placement, geometry: Geometry, image: Geometry) -> list[str]:
    notes = []
    if where.axes != (0, 1, 2) or any(where.flipped):
        notes.append(f"axes were brought from {geometry.axcodes} to the image's {image.axcodes}")
    if not where.covers_exactly(image):
        notes.append(f"an extent of {where.shape} voxels at {where.offset} was brought to the image's {image.shape}")
    return notes


def _segments(path: Path) -> tuple[Segment, ...] | None:
    fields, _ = nrrd_file.read_fields(path)
    listed: dict[int, dict[str, str]] = {}
    for key, value in fields.items():
        match = _FIELD.fullmatch(str(key))
        if match and len(match[1]) < 6:
            listed.setdefault(int(match[1]), {})[match[2]] = str(value)
    if not listed:
        return None
    if len(listed) > MAX_SEGMENTS or sorted(listed) != list(range(len(listed))):
        raise InvalidInput(
            f"{path.name}: segments must be numbered from 0 without gaps, at most {MAX_SEGMENTS}; found {sorted(listed)[:10]}"
        )
    segments = tuple(_segment(listed[number], number, len(listed), path) for number in range(len(listed)))
    places: dict[tuple[int, int], str] = {}
    for segment in segments:
        place = (segment.layer, segment.value)
        if place in places:
            raise InvalidInput(
                f"{path.name}: {places[place]!r} and {segment.name!r} both have value {segment.value} in layer {segment.layer}"
            )
        places[place] = segment.name
    return segments


def _segment(fields: Mapping[str, str], number: int, count: int, path: Path) -> Segment:
    # A file with one segment may leave out what tells several apart.
    defaults = {"Layer": "0", "LabelValue": "1"} if count == 1 else {}
    try:
        layer, value = (int(fields.get(key, defaults.get(key, ""))) for key in ("Layer", "LabelValue"))
        name = fields["Name"]
    except (KeyError, ValueError):
        raise InvalidInput(
            f"{path.name}: Segment{number} needs a Name, a LabelValue and a Layer; it has {dict(fields)}"
        ) from None
    if layer < 0 or not 1 <= value <= MAX_LABEL:
        raise InvalidInput(f"{path.name}: Segment{number} has layer {layer} and value {value}, which cannot be")
    with contextlib.suppress(UnicodeError):  # it was Latin-1 indeed
        name = name.encode("latin-1").decode("utf-8")
    return Segment(name=name, layer=layer, value=value)
