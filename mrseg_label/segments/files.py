"""Read label maps, and submitted segmentations onto the grid of their image, exactly or not at all. Does not import SciPy.

References
----------
Slicer's ``.seg.nrrd``: https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html
"""

from __future__ import annotations

import contextlib
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
from mrseg_label.imaging.lattice import Placement, find_placement
from mrseg_label.imaging.nrrd_file import SEGMENT_FIELD, SEGMENTATION_SUFFIX
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES
from mrseg_label.imaging.volume import grid_of

# A scaled int16 header gives 2.9999998 for 3; half a label is an interpolated mask.
WHOLE_TOLERANCE = 1e-3
MAX_LABEL = 65535
MAX_SEGMENTS = 1024
# Bytes of voxels that a segmentation in layers may unpack to, for each voxel of its image.
LAYERED_BYTES_PER_VOXEL = 32
_PLAIN_BYTES_PER_VOXEL = 8
_SMALL = 1024**2

Layer = NDArray[np.uint16]  # (X, Y, Z) label ids


@dataclass(frozen=True)
class Segment:
    """A segment: its name, and the layer and the value of its voxels."""

    name: str
    layer: int
    value: int


@dataclass(frozen=True)
class Segmentation:
    """The content of a file on the grid of its image.

    Attributes
    ----------
    layers : label maps (X, Y, Z) uint16; several only for a ``.seg.nrrd`` with overlapping segments.
    segments : the file's own list of segments in Slicer's order, or None where it has none.
    notes : what was reoriented, padded, cropped or rounded, in words.
    """

    layers: tuple[Layer, ...]
    segments: tuple[Segment, ...] | None
    notes: tuple[str, ...]


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
        raise InvalidInput(
            f"{header.path.name}: contains the label id {largest}, but those of the label scheme are 1 to {highest}"
        )
    return labels.astype(np.uint8 if largest <= 255 else np.uint16), geometry


def read_segmentation(path: Path, image: Geometry, max_bytes: int = MAX_VOXEL_BYTES) -> Segmentation:
    """Read a label map (``.nii.gz``, ``.nii``, ``.nrrd``, ``.mha``) or a segmentation (``.seg.nrrd``).

    The grid is compared by the header alone, before voxels take memory. A label map must have the image's grid,
    but its axes may have another order and direction, which is undone exactly. A segmentation must have the
    image's lattice, but may have another extent (Slicer saves segmentations cropped): it is padded and cropped.

    Parameters
    ----------
    image : grid of the image that was segmented.
    max_bytes : largest size of the unpacked voxels; the image's own size sets a lower limit.

    Raises
    ------
    GeometryError
        The grid is another, or voxels of segments lie outside the image; the message has both geometries.
    InvalidInput
        The file is damaged or truncated, is not what its suffix says, is 4D, or holds negative, fractional or NaN
        values.
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
                "save a label map without segments as .nrrd or .nii.gz"
            )
        limit = min(max_bytes, LAYERED_BYTES_PER_VOXEL * voxels + _SMALL)
        return _read_layers(header, segments, image, limit)
    geometry, warnings = grid_of(header)
    where = find_placement(geometry, image)
    if where is None or not where.covers_exactly(image):
        difference = geometry.difference(image) or f"the axes differ: {geometry}, against {image}"
        raise GeometryError(f"{path.name} does not lie on the grid of its image: {difference}")
    stored = header.read_voxels(min(max_bytes, _PLAIN_BYTES_PER_VOXEL * voxels + _SMALL))
    layer = whole_labels(stored.reshape(geometry.shape, order="F"), header)
    return Segmentation((where.reorder(layer),), segments, (*warnings, *_moved(where, geometry, image)))


def _read_layers(header: Header, segments: tuple[Segment, ...], image: Geometry, max_bytes: int) -> Segmentation:
    name, shape = header.path.name, list(header.shape)
    layers = shape.pop(header.component_axis) if header.component_axis is not None else 1
    if len(shape) != 3:
        raise InvalidInput(f"{name}: has the size {header.shape}, which is neither three axes nor layers of three axes")
    if max((segment.layer for segment in segments), default=0) >= layers:
        raise InvalidInput(f"{name}: has {layers} layers, and names a segment in a layer beyond them")
    if header.affine is None:
        raise GeometryError(f"{name}: has no orientation; save it from Slicer again")
    affine, warnings = resolve_affine(header.affine)
    geometry = Geometry((shape[0], shape[1], shape[2]), affine)
    where = find_placement(geometry, image)
    if where is None and geometry.shape == (1, 1, 1) and not header.read_voxels(max_bytes).any():
        # What Slicer writes when every segment is empty; its position has no meaning.
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
        notes.append(f"axes were reordered from {geometry.axcodes} to the image's {image.axcodes}")
    if not where.covers_exactly(image):
        notes.append(f"an extent of {where.shape} voxels at {where.offset} was fitted to the image's {image.shape}")
    return notes


def has_segments(path: Path) -> bool:
    """Whether an NRRD file, under any name, lists segments. Raises :class:`InvalidInput` if it is not NRRD."""
    return _segments(path) is not None


def _segments(path: Path) -> tuple[Segment, ...] | None:
    fields, _ = nrrd_file.read_fields(path)
    listed: dict[int, dict[str, str]] = {}
    for key, value in fields.items():
        match = SEGMENT_FIELD.fullmatch(str(key))
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
    # A file with one segment may leave out the fields that distinguish several.
    defaults = {"Layer": "0", "LabelValue": "1"} if count == 1 else {}
    try:
        layer, value = (int(fields.get(key, defaults.get(key, ""))) for key in ("Layer", "LabelValue"))
        name = fields["Name"]
    except (KeyError, ValueError):
        raise InvalidInput(
            f"{path.name}: Segment{number} needs a Name, a LabelValue and a Layer; it has {dict(fields)}"
        ) from None
    if layer < 0 or not 1 <= value <= MAX_LABEL:
        raise InvalidInput(
            f"{path.name}: Segment{number} has layer {layer} and value {value}; layers begin at 0, values at 1"
        )
    with contextlib.suppress(UnicodeError):  # then the name is not UTF-8 but Latin-1
        name = name.encode("latin-1").decode("utf-8")
    return Segment(name=name, layer=layer, value=value)


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
