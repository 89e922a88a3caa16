"""Audit the sides and directions of a mask, with its image where the mask does not show where the midline is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import MrsegError
from mrseg_label.imaging.anatomy import Anatomy
from mrseg_label.imaging.audit import audit_foreground, structures_midline
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.midline import Midline, midline_of_outline
from mrseg_label.imaging.voxels import Foreground

# The outline of the body is found in images of up to so many voxels, as a reader waits: reading it takes well under a second.
_MOST_VOXELS = 20_000_000


def find_doubts(
    mask: NDArray[np.integer[Any]], geometry: Geometry, anatomy: Anatomy, image: Path | None
) -> list[dict[str, Any]]:
    """Find what is doubtful about a mask, as JSON values. A doubt refuses nothing.

    Parameters
    ----------
    mask : (X, Y, Z) in the label ids of the scheme.
    image : its image, which is read if the mask has a structure of a pair, and none that shows where the midline is.
    """
    foreground = Foreground.of(mask, geometry)
    midline = structures_midline(foreground, anatomy)
    if midline is None and image is not None and mask.size <= _MOST_VOXELS:
        paired = [label for pair in anatomy.pairs for label in (pair.left, pair.right)]
        if paired and np.isin(foreground.labels, paired).any():
            midline = _midline_of_image(image)
    return [doubt.to_json() for doubt in audit_foreground(foreground, anatomy, midline)]


def _midline_of_image(path: Path) -> Midline | None:
    from mrseg_label.imaging.outline import find_outline  # imported here: SciPy is behind it
    from mrseg_label.imaging.volume import load_image

    try:
        image, geometry, _ = load_image(path)
    except MrsegError:
        return None  # no reason to refuse the reader's work
    return midline_of_outline(find_outline(image, geometry))
