"""Find what a draft invents at the edge of the field of view.

- In padding: layers at a face of the image in which all voxels have one value, and in CT what lies below -1,100 HU, which no
  scanner measures inside of its field of view.
- Outside of the body: components that lie wholly outside of it and more than a centimetre away, in air. A component at the edge of
  the image is left alone: where the image cuts the chest wall, lung looks like the air outside.
- As a thin sheet: a component in the outermost layer alone, or the two outermost ones, that is flatter than a
  sphere of :data:`FLATTEST_MM` radius would be there. An organ that just reaches into the image shows a rounded cap.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrseg_label.imaging.components import Box, Components, whole_frame
from mrseg_label.imaging.outline import Outline

FLATTEST_MM = 200.0
_SHEET_LAYERS = 2
_SHEET_MM = 10.0
_AWAY_MM = 10.0
_NO_HU = -1100.0


def shown_frame(image: NDArray[Any]) -> Box:
    """The box of an image (X, Y, Z) without the layers of padding at its faces."""
    frame = []
    for axis in range(3):
        layers = np.moveaxis(image, axis, 0)
        first, last = 0, len(layers)
        while first < last and _is_padding(layers[first]):
            first += 1
        while last > first and _is_padding(layers[last - 1]):
            last -= 1
        frame.append(slice(first, last))
    if any(one.start == one.stop for one in frame):
        return whole_frame(image.shape)  # an image without anything
    x, y, z = frame
    return x, y, z


def _is_padding(layer: NDArray[Any]) -> bool:
    value = layer.flat[0]
    return bool(layer.flat[-1] == value and (layer == value).all())


def padded_voxels(image: NDArray[Any], frame: Box) -> NDArray[np.bool_]:
    """Mark the padding of an image (X, Y, Z)."""
    padded = np.ones(image.shape, dtype=np.bool_)
    padded[frame] = image[frame] < _NO_HU
    return padded


def outside_components(components: Components, outline: Outline, frame: Box) -> NDArray[np.bool_]:
    """Choose the components that lie outside of the body, (n + 1,); the array's axes are RAS, as the outline's."""
    chosen = np.zeros(len(components.sizes), dtype=np.bool_)
    if not outline.is_separated or not outline.inside.any():
        return chosen
    air = ndimage.distance_transform_edt(~outline.inside, sampling=outline.geometry.spacing_mm) > _AWAY_MM
    shape, thin = components.ids.shape, air.shape
    cells = [np.minimum(np.arange(shape[axis]) // outline.steps[axis], thin[axis] - 1) for axis in range(3)]
    inside = np.bincount(components.ids[~air[np.ix_(*cells)]], minlength=len(chosen))
    for component in np.flatnonzero((inside == 0) & (components.sizes > 0)):
        chosen[component] = not components.at_border(int(component), frame)
    return chosen


def sheets(components: Components, frame: Box, spacing_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Choose the components that are thin sheets at a face of the image, (n + 1,)."""
    chosen = np.zeros(len(components.sizes), dtype=np.bool_)
    for component, box in enumerate(components.boxes, start=1):
        for axis in range(3):
            layers = box[axis].stop - box[axis].start
            thickness = layers * spacing_mm[axis]
            at_face = box[axis].start <= frame[axis].start or box[axis].stop >= frame[axis].stop
            whole_image = frame[axis].stop - frame[axis].start <= _SHEET_LAYERS
            if not at_face or whole_image or layers > _SHEET_LAYERS or thickness > _SHEET_MM:
                continue
            volume = components.sizes[component] * float(np.prod(spacing_mm))
            # A cap of height h of a sphere of radius R has a base of pi (2 R h - h^2); the base is at least V / h.
            radius = (volume / thickness / np.pi + thickness**2) / (2 * thickness)
            chosen[component] = chosen[component] or radius > FLATTEST_MM
    return chosen
