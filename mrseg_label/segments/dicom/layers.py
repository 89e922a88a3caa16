"""Collect segments, each by itself, in as few label maps as their overlaps need."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.segments.files import LAYERED_BYTES_PER_VOXEL, MAX_SEGMENTS, Layer, Segment, Segmentation

_MOST_LAYERS = LAYERED_BYTES_PER_VOXEL // 2  # of 16 bits


class Layers:
    """Segments of one image, in the order in which they are added."""

    def __init__(self, image: Geometry) -> None:
        self._image = image
        self._layers: list[Layer] = [np.zeros(image.shape, dtype=np.uint16)]
        self._segments: list[Segment] = []
        self.notes: list[str] = []

    def add(self, name: str, inside: NDArray[np.bool_] | None = None) -> None:
        """Add a segment in the first layer where it covers no other; an empty one without voxels.

        Raises
        ------
        InvalidInput
            There are too many segments, or too many in one place.
        """
        value = len(self._segments) + 1
        if value > MAX_SEGMENTS:
            raise InvalidInput(f"the object has more than {MAX_SEGMENTS} segments")
        index = 0
        if inside is not None and inside.any():
            while index < len(self._layers) and (self._layers[index][inside] > 0).any():
                index += 1
            if index == _MOST_LAYERS:
                raise InvalidInput(f"more than {_MOST_LAYERS} segments overlap in one place")
            if index == len(self._layers):
                self._layers.append(np.zeros(self._image.shape, dtype=np.uint16))
            self._layers[index][inside] = value
        self._segments.append(Segment(name, index, value))

    def finish(self) -> Segmentation:
        """Return what was added."""
        return Segmentation(tuple(self._layers), tuple(self._segments), tuple(self.notes))
