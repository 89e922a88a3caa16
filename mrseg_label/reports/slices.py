"""The plain slice view: one slice of an examination with a mask or a difference, as a picture made on the server."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.reader import Reader
from mrseg_label.colors import Color
from mrseg_label.errors import GeometryError
from mrseg_label.reports.documents.viewing import DifferencePlaceOut
from mrseg_label.reports.downloads import Download
from mrseg_label.reports.viewing import (
    DIFFERENCE_COLORS,
    find_viewed_image,
    find_viewed_mask,
    read_viewed_neighbours,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mrseg_label.imaging.geometry import Geometry
    from mrseg_label.reports.figures.planes import Plane

_KEPT_BYTES = 400 * 1024**2  # of volumes that stay in memory between two slices


class PlaneName(StrEnum):
    """The planes, by name."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"


class Shown(StrEnum):
    """What is drawn over the image."""

    NOTHING = "nothing"
    FIRST = "first"
    SECOND = "second"
    DIFFERENCES = "differences"
    NEIGHBOURS = "neighbours"  # what neighbouring stations have there


@dataclass(frozen=True)
class SliceRequest:
    """Which slice is wanted, and what over it.

    Attributes
    ----------
    image : id of the examination.
    first, second : ids of masks of its acquisition, or None.
    at : number of the slice from 0, from right to left, back to front or foot to head; None: where the mask shows most.
    structure : only this label id; 0 for all.
    low, high : the grey values that are shown as black and as white; None: by the image.
    """

    image: str
    first: str | None = None
    second: str | None = None
    shown: Shown = Shown.FIRST
    plane: PlaneName = PlaneName.AXIAL
    at: int | None = None
    structure: int = 0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Slice:
    """A slice of the volumes that are shown, in RAS order.

    Attributes
    ----------
    at, count : its number from 0, and the number of slices of its plane.
    position_mm : where it lies, in RAS.
    low, high : the grey values that are shown as black and as white.
    """

    image: NDArray[Any]
    labels: NDArray[np.integer[Any]] | None
    geometry: Geometry
    plane: Plane
    at: int
    count: int
    position_mm: float
    low: float
    high: float

    @property
    def labels_shown(self) -> frozenset[int]:
        """The label ids in the slice."""
        import numpy as np

        cut = None if self.labels is None else np.take(self.labels, self.at, axis=self.plane.value)
        return frozenset() if cut is None else frozenset(np.unique(cut).tolist()) - {0}


class _Volumes:
    """The volumes that were read last, by digest. A reader who goes through slices reads each file once."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, tuple[NDArray[Any], Geometry]] = OrderedDict()
        self._lock = Lock()

    def read(self, stored: Download, reading: Callable[[Path], tuple[Any, ...]]) -> tuple[NDArray[Any], Geometry]:
        """Read a volume as it is stored, or return it from memory."""
        with self._lock:
            found = self._kept.get(stored.digest)
            if found is not None:
                self._kept.move_to_end(stored.digest)
                return found
        array, geometry = reading(stored.path)[:2]
        with self._lock:
            self._kept[stored.digest] = array, geometry
            while len(self._kept) > 1 and sum(one.nbytes for one, _ in self._kept.values()) > self._most_bytes:
                self._kept.popitem(last=False)
        return array, geometry


_volumes = _Volumes(_KEPT_BYTES)


def read_slice(workspace: OpenedWorkspace, wanted: SliceRequest, reader: Reader) -> Slice:
    """Read one slice; a number beyond the last slice means the last one.

    Raises
    ------
    NotFound, Forbidden
        There is no such image or mask that this reader may see.
    GeometryError
        A mask does not lie on the grid of the image.
    """
    # Imported here: SciPy is behind some of them.
    from mrseg_label.imaging.volume import load_image
    from mrseg_label.reports.figures.planes import Plane, richest_index, to_ras, window

    stored, grid = _volumes.read(find_viewed_image(workspace, wanted.image, reader), load_image)
    image, geometry = to_ras(stored, grid)
    labels = _labels(workspace, wanted, reader, grid)
    if labels is not None:
        labels, _ = to_ras(labels, grid)
    plane = Plane[wanted.plane.name]
    count = image.shape[plane.value]
    at = wanted.at
    if at is None:
        structures = len(workspace.scheme)
        shows = labels is not None and bool(labels.any())
        at = richest_index(labels, plane, structures) if shows and labels is not None else count // 2
    at = min(max(at, 0), count - 1)
    low, high = window(image)
    low, high = wanted.low if wanted.low is not None else low, wanted.high if wanted.high is not None else high
    centre = [(size - 1) / 2 for size in image.shape]
    centre[plane.value] = at
    position = float((geometry.affine @ (*centre, 1))[plane.value])
    return Slice(image, labels, geometry, plane, at, count, position, low, max(high, low + 1e-6))


def draw_slice(workspace: OpenedWorkspace, wanted: SliceRequest, reader: Reader, side: int | None = None) -> bytes:
    """Draw one slice as a PNG. Parameters and exceptions as :func:`read_slice`.

    Parameters
    ----------
    side : length of its longer side in pixels.
    """
    from mrseg_label.reports.figures.planes import section
    from mrseg_label.reports.figures.slice_picture import SIDE, slice_picture

    found = read_slice(workspace, wanted, reader)
    grey = section(found.image, found.geometry, found.plane, found.at)
    labels = None if found.labels is None else section(found.labels, found.geometry, found.plane, found.at)
    return slice_picture(grey, (found.low, found.high), labels, _colors(workspace, wanted), side=side or SIDE)


def places_by_slice(found: Slice, places: Sequence[DifferencePlaceOut]) -> list[tuple[DifferencePlaceOut, int]]:
    """Return places with the number of the slice, in the plane of ``found``, in which each lies."""
    import numpy as np

    to_voxels = np.linalg.inv(found.geometry.affine)
    return [(place, round(float((to_voxels @ (*place.mm, 1.0))[found.plane.value]))) for place in places]


def _colors(workspace: OpenedWorkspace, wanted: SliceRequest) -> Mapping[int, Color]:
    if wanted.shown is Shown.DIFFERENCES:
        return DIFFERENCE_COLORS
    return {structure.id: structure.color for structure in workspace.scheme}


def _labels(
    workspace: OpenedWorkspace, wanted: SliceRequest, reader: Reader, grid: Geometry
) -> NDArray[np.integer[Any]] | None:
    """Read the masks that are shown, on the grid of the image; of differences their kinds."""
    import numpy as np

    from mrseg_label.segments.files import read_label_map

    def mask(mask_id: str) -> NDArray[np.integer[Any]]:
        labels, own = _volumes.read(find_viewed_mask(workspace, wanted.image, mask_id, reader), read_label_map)
        if not own.matches(grid):
            raise GeometryError(f"{mask_id} does not lie on the grid of {wanted.image}: {own.difference(grid)}")
        return labels

    if wanted.shown is Shown.DIFFERENCES and wanted.first and wanted.second:
        from mrseg_label.imaging.differences import kinds_of_difference

        return kinds_of_difference(mask(wanted.first), mask(wanted.second), wanted.structure or None)
    if wanted.shown is Shown.NEIGHBOURS:
        beside, _ = read_viewed_neighbours(workspace, wanted.image, reader)
        return np.where(beside == wanted.structure, beside, 0) if wanted.structure else beside
    chosen = {Shown.FIRST: wanted.first, Shown.SECOND: wanted.second}.get(wanted.shown)
    if not chosen:
        return None
    labels = mask(chosen)
    return np.where(labels == wanted.structure, labels, 0) if wanted.structure else labels
