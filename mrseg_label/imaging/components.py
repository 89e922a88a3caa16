"""Connected components of all structures of a label map in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Components:
    """The connected components of each structure; voxels that share a corner are connected, so that thin vessels hold together.

    Attributes
    ----------
    ids : (X, Y, Z) number of the component of each voxel, 0 in the background.
    labels : (n + 1,) label id of each component; that of the background is 0.
    sizes : (n + 1,) number of voxels; 0 for the background.
    boxes : the bounding boxes of the components 1 to n.
    """

    ids: NDArray[np.integer[Any]]
    labels: NDArray[np.integer[Any]]
    sizes: NDArray[np.int64]
    boxes: Sequence[Box]

    @classmethod
    def of(cls, label_map: NDArray[np.integer[Any]]) -> Components:
        """Find the components of a label map (X, Y, Z)."""
        ids, count = measure.label(label_map, background=0, connectivity=3, return_num=True)
        labels = np.zeros(count + 1, dtype=label_map.dtype)
        labels[ids.ravel()] = label_map.ravel()
        sizes = np.bincount(ids.ravel(), minlength=count + 1)
        sizes[0] = 0
        return cls(ids, labels, sizes, ndimage.find_objects(ids))

    def of_label(self, label: int) -> NDArray[np.intp]:
        """The components of a structure, largest first."""
        found = np.flatnonzero(self.labels == label)
        largest_first: NDArray[np.intp] = found[np.argsort(-self.sizes[found], kind="stable")]
        return largest_first

    def structures(self) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Yield each label id with its components, largest first."""
        for label in np.unique(self.labels[self.labels > 0]):
            yield int(label), self.of_label(int(label))

    def at_border(self, component: int, frame: Box) -> bool:
        """Whether a component has a voxel in the outermost layer of ``frame``."""
        return any(
            box.start <= outer.start or box.stop >= outer.stop
            for box, outer in zip(self.boxes[component - 1], frame, strict=True)
        )

    def where(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark the voxels of the components that are chosen, (n + 1,)."""
        marked: NDArray[np.bool_] = chosen[self.ids]
        return marked


def whole_frame(shape: Sequence[int]) -> Box:
    """The box of a whole array (X, Y, Z)."""
    x, y, z = shape
    return slice(0, x), slice(0, y), slice(0, z)
