"""Read DICOM segmentations and structure sets onto the grid of their image, exactly or not at all.

References
----------
DICOM PS3.3, C.8.20.2 (Segmentation Image), C.8.20.4 (Label Map Segmentation).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from mrseg_label.errors import GeometryError, InvalidInput, TooLarge
from mrseg_label.imaging.dicom.files import BROKEN, parse
from mrseg_label.imaging.dicom.frames import MASK_CLASSES
from mrseg_label.imaging.dicom.functional_groups import PER_FRAME, SHARED, FunctionalGroups
from mrseg_label.imaging.dicom.grid import LPS_TO_RAS, directions_of
from mrseg_label.imaging.dicom.values import numbers, text, whole
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.lattice import Placement, find_placement
from mrseg_label.imaging.streams import MAX_VOXEL_BYTES
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.dicom.layers import Layers
from mrseg_label.segments.dicom.naming import SegmentNames, first_item
from mrseg_label.segments.dicom.structure_sets import add_structures
from mrseg_label.segments.dicom.writing import PRIVATE_CREATOR, PRIVATE_GROUP, STATEMENT
from mrseg_label.segments.files import MAX_SEGMENTS, Segmentation

_, LABEL_MAP, STRUCTURE_SET = MASK_CLASSES
# A fractional segmentation gives probabilities or shares of a voxel: inside is what has at least this share of the maximum.
FRACTIONAL_THRESHOLD = 0.5
_MAX_FRAMES = 200_000
_MAX_RATIO, _SMALL_BYTES = 1000, 64 * 1024**2


def read_dicom_mask(
    data: bytes, image: Geometry, scheme: LabelScheme, max_bytes: int = MAX_VOXEL_BYTES
) -> Segmentation:
    """Read a DICOM segmentation (BINARY, FRACTIONAL, LABELMAP) or a structure set (RTSTRUCT) onto the grid of its image.

    Slices without a frame are empty. What our own segmentations state to be absent becomes a segment without voxels.

    Parameters
    ----------
    data : the whole file.
    image : grid of the image that was segmented.
    scheme : by which segments are named: by code and side, else by name.

    Raises
    ------
    GeometryError
        The object is not on the lattice of the image, or parts of it lie outside.
    LabelError
        Name and code of a segment contradict each other.
    InvalidInput, TooLarge
        The object is damaged, is of another kind, or promises more voxels than it has.
    """
    ds = parse(data)
    kind = text(ds, "SOPClassUID")
    if kind not in MASK_CLASSES:
        raise InvalidInput("the DICOM file is neither a segmentation (SEG) nor a structure set (RTSTRUCT)")
    layers, names = Layers(image), SegmentNames(scheme)
    try:
        if kind == STRUCTURE_SET:
            add_structures(ds, image, names, layers)
        else:
            _add_segments(ds, image, names, layers, max_bytes)
            _add_absent(ds, scheme, layers)
    except AttributeError as error:
        raise InvalidInput(f"the DICOM file lacks the attribute {error.name}") from error
    except BROKEN as error:  # its text is left out, since it may quote a patient's name
        raise InvalidInput(f"the attributes of the DICOM file are invalid ({type(error).__name__})") from error
    return layers.finish()


@dataclass(frozen=True)
class _Frame:
    """A frame, the segment that it is of (0 in a label map), and where it lies."""

    index: int
    segment: int
    where: Placement


def _add_segments(ds: Dataset, image: Geometry, names: SegmentNames, layers: Layers, max_bytes: int) -> None:
    listed = _segments(ds, names)
    frames = _place_frames(ds, image)
    planes, threshold = _planes(ds, len(frames), max_bytes), _threshold(ds)
    by_segment: dict[int, list[_Frame]] = defaultdict(list)
    for frame in frames:
        by_segment[frame.segment].append(frame)
    is_map = text(ds, "SOPClassUID") == LABEL_MAP or text(ds, "SegmentationType") == "LABELMAP"
    unknown = sorted(by_segment.keys() - listed.keys() - ({0} if is_map else set()))
    if unknown:
        raise InvalidInput(f"frames refer to the segment {unknown[0]}, which the segmentation does not describe")
    if threshold != 1:
        layers.notes.append(
            f"fractional: voxels of at least {FRACTIONAL_THRESHOLD:.0%} of the maximum were taken as inside"
        )
    present = _values_in(planes, len(frames)) if is_map else set()
    if is_map and (nameless := sorted(present - listed.keys() - {0})):
        raise InvalidInput(f"voxels have the value {nameless[0]}, which the segmentation does not describe")
    for number, name in listed.items():
        inside = np.zeros(image.shape, dtype=np.bool_)
        lost = 0
        if not is_map or number in present:
            for frame in by_segment[0 if is_map else number]:
                plane = planes.frame(frame.index)
                chosen = plane == number if is_map else plane >= threshold
                lost += frame.where.insert(np.ascontiguousarray(chosen.T)[:, :, np.newaxis], inside)
        if lost:
            raise GeometryError(f"{lost:,} voxels of the segment {name!r} lie outside the image: {image}")
        layers.add(name, inside)


def _segments(ds: Dataset, names: SegmentNames) -> dict[int, str]:
    """Read the segments: their names in the scheme by their numbers, in the order of the numbers."""
    items = ds.get("SegmentSequence") or []
    if not items:
        raise InvalidInput("the segmentation has no segments")
    if len(items) > MAX_SEGMENTS:
        raise InvalidInput(f"the segmentation has {len(items)} segments; at most {MAX_SEGMENTS} are allowed")
    found: dict[int, str] = {}
    for item in sorted(items, key=lambda one: whole(one, "SegmentNumber")):
        number = whole(item, "SegmentNumber")
        label = text(item, "SegmentLabel") or text(item, "SegmentDescription")
        if number in found:
            raise InvalidInput(f"two segments have the number {number}")
        if number == 0 and ds.get("SegmentationType") == "LABELMAP":
            continue  # of the background
        found[number] = names.name_of(label, first_item(item, "SegmentedPropertyTypeCodeSequence"))
    return found


def _place_frames(ds: Dataset, image: Geometry) -> list[_Frame]:
    """Find where each frame lies on the grid of the image."""
    rows, columns, count = int(ds.Rows), int(ds.Columns), int(ds.get("NumberOfFrames", 1) or 1)
    if min(rows, columns, count) < 1 or count > _MAX_FRAMES:
        raise InvalidInput(f"the header declares {count} frames of {rows} x {columns} voxels")
    groups = ds.get(PER_FRAME)
    if groups is None or len(groups) != count:
        raise InvalidInput(f"the positions of {count} frames are missing, or there are not as many")
    shared = first_item(ds, SHARED)
    placed: dict[tuple[float, ...], Placement] = {}
    frames = []
    for index in range(count):
        view = FunctionalGroups(ds, index)
        identified = first_item(groups[index], "SegmentIdentificationSequence")
        if identified is None and shared is not None:
            identified = first_item(shared, "SegmentIdentificationSequence")
        key = (
            *numbers(view, "ImagePositionPatient", 3),
            *numbers(view, "ImageOrientationPatient", 6),
            *numbers(view, "PixelSpacing", 2),
        )
        if key not in placed:
            placed[key] = _place(key, rows, columns, image)
        frames.append(_Frame(index, whole(identified or Dataset(), "ReferencedSegmentNumber"), placed[key]))
    return frames


def _place(key: tuple[float, ...], rows: int, columns: int, image: Geometry) -> Placement:
    """Place a single slice, given by position, orientation and spacing, on the lattice of the image."""
    position, orientation, spacing = key[:3], key[3:9], key[9:]
    row, column, normal = directions_of(orientation)
    lps = np.stack([row * spacing[1], column * spacing[0], normal, np.array(position)], axis=1)
    affine = np.eye(4)
    affine[:3] = LPS_TO_RAS @ lps
    # A slice has no thickness of its own here: it takes that of the image along its normal.
    axes = image.affine[:3, :3] / np.array(image.spacing_mm)
    affine[:3, 2] *= image.spacing_mm[int(np.abs(affine[:3, 2] @ axes).argmax())]
    geometry = Geometry((columns, rows, 1), affine)
    where = find_placement(geometry, image)
    if where is None:
        raise GeometryError(
            f"the segmentation does not lie on the lattice of its image: a slice is {geometry}, against {image}; "
            "resample it in 3D Slicer with the image as the segmentation's source geometry"
        )
    return where


class _Planes:
    """The stored numbers of frames, decoded one at a time where they are not compressed."""

    def __init__(self, ds: Dataset, count: int, max_bytes: int) -> None:
        self._rows, self._columns = int(ds.Rows), int(ds.Columns)
        self._size = self._rows * self._columns
        self._bits = int(ds.BitsAllocated)
        self._data: bytes = ds.PixelData
        self._planes: NDArray[Any] | None = None
        if self._bits not in (1, 8, 16):
            raise InvalidInput(f"the segmentation has {self._bits} bits a voxel; only 1, 8 and 16 are supported")
        syntax = getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", None)
        if syntax is not None and syntax.is_compressed and not syntax.is_deflated:
            promised = self._size * count * max(self._bits // 8, 1)
            if promised > max(_SMALL_BYTES, len(self._data) * _MAX_RATIO):
                raise InvalidInput(
                    f"the header promises {promised:,} bytes of voxels, compressed to only {len(self._data):,}"
                )
            if promised > max_bytes:
                raise TooLarge(f"the segmentation has {promised:,} bytes of voxels; at most {max_bytes:,} are allowed")
            self._planes = _decompress(ds).reshape(count, self._rows, self._columns)
            return
        needed = (self._size * count * self._bits + 7) // 8
        if not needed <= len(self._data) <= needed + 1:
            raise InvalidInput(
                f"the header promises {needed:,} bytes of voxels, but the file holds {len(self._data):,}"
            )

    def frame(self, index: int) -> NDArray[Any]:
        """Return the numbers of a frame, (rows, columns)."""
        if self._planes is not None:
            plane: NDArray[Any] = self._planes[index]
            return plane
        first = index * self._size
        if self._bits == 1:  # frames follow each other without padding, the lowest bit first
            part = np.frombuffer(self._data, np.uint8)[first // 8 : (first + self._size + 7) // 8]
            bits = np.unpackbits(part, bitorder="little")[first % 8 : first % 8 + self._size]
            return bits.reshape(self._rows, self._columns)
        kind = np.dtype("<u2") if self._bits == 16 else np.dtype(np.uint8)
        found = np.frombuffer(self._data, kind, count=self._size, offset=first * kind.itemsize)
        return found.reshape(self._rows, self._columns)


def _planes(ds: Dataset, count: int, max_bytes: int) -> _Planes:
    if "PixelData" not in ds:
        raise InvalidInput("the segmentation has no voxels")
    return _Planes(ds, count, max_bytes)


def _decompress(ds: Dataset) -> NDArray[Any]:
    try:
        planes: NDArray[Any] = ds.pixel_array
    except (*BROKEN, RuntimeError, MemoryError) as error:
        raise InvalidInput(f"the voxels of the segmentation cannot be decompressed: {error}"[:300]) from error
    return planes


def _values_in(planes: _Planes, count: int) -> set[int]:
    return {int(value) for index in range(count) for value in np.unique(planes.frame(index))}


def _threshold(ds: Dataset) -> float:
    """The smallest stored number of a voxel that is inside."""
    if text(ds, "SegmentationType") != "FRACTIONAL":
        return 1
    return FRACTIONAL_THRESHOLD * (whole(ds, "MaximumFractionalValue") or 255)


def _add_absent(ds: Dataset, scheme: LabelScheme, layers: Layers) -> None:
    """Add the structures that a segmentation of ours states to be absent, as empty segments."""
    present = {segment.name for segment in layers.finish().segments or ()}
    for name in _stated_absent(ds):
        if name in scheme and name not in present:
            layers.add(name)


def _stated_absent(ds: Dataset) -> Iterator[str]:
    try:
        block = ds.private_block(PRIVATE_GROUP, PRIVATE_CREATOR)
        stated = json.loads(str(block[STATEMENT].value))["absent"]
        yield from (name for name in stated if isinstance(name, str))
    except (KeyError, ValueError, TypeError):  # it is of another program
        return
