"""Audit the sides and directions of a mask that a reader submits. A doubt is reported and stored; it refuses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.tables import Examination
from mrseg_label.errors import MrsegError
from mrseg_label.imaging import Geometry
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.anatomy import anatomy_of
from mrseg_label.workspace import Workspace

if TYPE_CHECKING:
    from mrseg_label.imaging.midline import Midline

# The outline of the body is found in images of up to so many voxels, as a reader waits: reading it takes well under a second.
_MOST_VOXELS = 20_000_000


def find_doubts(
    mask: NDArray[np.integer[Any]],
    geometry: Geometry,
    scheme: LabelScheme,
    workspace: Workspace,
    examination: Examination | None,
) -> list[dict[str, Any]]:
    """Find what is doubtful about a mask, as JSON values.

    Parameters
    ----------
    mask : (X, Y, Z) in the label ids of the scheme.
    examination : the image, which is read if the mask has a structure of a pair, and none that shows where the midline is.
    """
    from mrseg_label.imaging.audit import audit, find_structures_midline

    anatomy = anatomy_of(scheme)
    midline = find_structures_midline(mask, geometry, anatomy)
    if midline is None and examination is not None and mask.size <= _MOST_VOXELS:
        paired = [label for pair in anatomy.pairs for label in (pair.left, pair.right)]
        if paired and np.isin(mask, paired).any():
            midline = _midline_of_image(workspace, examination)
    return [doubt.to_json() for doubt in audit(mask, geometry, anatomy, midline)]


def _midline_of_image(workspace: Workspace, examination: Examination) -> Midline | None:
    from mrseg_label.imaging import load_image
    from mrseg_label.imaging.midline import midline_of_outline
    from mrseg_label.imaging.outline import find_outline  # imported here: SciPy is behind it

    try:
        image, geometry, _ = load_image(workspace.path(examination.path))
    except MrsegError:
        return None  # no reason to refuse the reader's work
    return midline_of_outline(find_outline(image, geometry))
