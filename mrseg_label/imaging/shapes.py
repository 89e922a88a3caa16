"""Size, place and pieces of each structure of a label map, to compare them with those of other participants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrseg_label.imaging.anatomy import Anatomy
from mrseg_label.imaging.components import Components, whole_frame
from mrseg_label.imaging.geometry import Affine, Geometry
from mrseg_label.imaging.stray import stray_components
from mrseg_label.imaging.voxels import Foreground


@dataclass(frozen=True)
class Shape:
    """What is compared of a structure.

    Attributes
    ----------
    ml : volume.
    center_mm : its centre in RAS mm.
    cut : world axes (0 from left to right, 1 from back to front, 2 from feet to head) along which the edge of the field of view
        cuts it, so that neither its volume nor its centre along that axis is that of the whole structure.
    stray_ml : volume of the parts that lie apart from the rest (:mod:`mrseg_label.imaging.stray`).
    """

    ml: float
    center_mm: tuple[float, float, float]
    cut: tuple[int, ...] = ()
    stray_ml: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return asdict(self) | {"center_mm": [round(value, 2) for value in self.center_mm], "cut": list(self.cut)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Shape:
        """Convert from what :meth:`to_json` gave."""
        x, y, z = stored["center_mm"]
        return cls(stored["ml"], (x, y, z), tuple(stored["cut"]), stored["stray_ml"])


def measure_shapes(label_map: NDArray[np.integer[Any]], geometry: Geometry, anatomy: Anatomy) -> dict[str, Shape]:
    """Measure every structure of a label map that is there, by name; ids that the scheme does not have are passed over.

    Parameters
    ----------
    label_map : (X, Y, Z) label ids, in any axis order.
    geometry : its grid.
    """
    boxes = ndimage.find_objects(label_map, max_label=len(anatomy.names))
    if not any(boxes):
        return {}
    foreground = Foreground.of(label_map, geometry)
    count = int(foreground.labels.max())
    ml, centers = foreground.sizes(count) * foreground.voxel_ml, foreground.centers_mm(count)
    stray = _stray_voxels(label_map, geometry, anatomy)
    world = world_axes(geometry.affine)
    found = {}
    for label, box in enumerate(boxes, start=1):
        if box is None:
            continue
        faces = {
            world[axis]
            for axis, part in enumerate(box)
            if geometry.shape[axis] > 1 and (part.start == 0 or part.stop == geometry.shape[axis])
        }
        x, y, z = centers[label].tolist()
        found[anatomy.name(label)] = Shape(
            float(ml[label]), (x, y, z), tuple(sorted(faces)), float(stray.get(label, 0) * foreground.voxel_ml)
        )
    return found


def world_axes(affine: Affine) -> tuple[int, int, int]:
    """The world axis that each array axis is nearest to."""
    cosines = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    first, second, third = (int(axis) for axis in cosines.argmax(axis=0))
    return first, second, third


def _stray_voxels(label_map: NDArray[np.integer[Any]], geometry: Geometry, anatomy: Anatomy) -> dict[int, int]:
    components = Components.of(label_map)
    stray = stray_components(components, anatomy, whole_frame(label_map.shape), geometry.spacing_mm)
    counts = np.bincount(components.labels[stray], weights=components.sizes[stray])
    return {int(label): int(counts[label]) for label in np.flatnonzero(counts)}
