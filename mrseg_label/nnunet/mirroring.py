"""What a label map says about the mirror image: left and right structures change places.

A mirrored left kidney is a right kidney. With the pairs of the label scheme that is a table from label to label. It
gets difficult where the training cases contain only one structure of a pair: a case in which nobody drew a right kidney
may show one in its background, and in the mirror that background shows a left kidney, which would be taught as
background. So the mirrored background, and the structure without its partner, become nnU-Net's label ``ignore``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import nibabel.orientations as nibo
import numpy as np

from mrseg_label.nnunet.conventions import CANONICAL
from mrseg_label.nnunet.environment import BACKGROUND, IGNORE, plain_labels
from mrseg_label.nnunet.network_axes import network_axes

PAIRS_KEY = "paired_structures"  # of ours, in dataset.json
_SIDED = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)


def left_right_axis(transpose_forward: Sequence[int] | None) -> int:
    """Find the spatial axis of a preprocessed image that runs from left to right, 0 to 2.

    Parameters
    ----------
    transpose_forward : permutation of the axes (z, y, x) in the plans.
    """
    axes = network_axes(CANONICAL, list(transpose_forward or (0, 1, 2)))
    x_axis = nibo.axcodes2ornt(CANONICAL)[0, 0]
    return int(np.flatnonzero(axes[:, 0] == x_axis)[0])


def mirrored_labels(
    labels: Mapping[str, int], pairs: Sequence[Sequence[str]], present: Collection[int]
) -> tuple[tuple[int, ...] | None, str]:
    """Make the table from a label to the label in the mirror image.

    Parameters
    ----------
    labels : of ``dataset.json``, by name, with background and perhaps ``ignore``.
    pairs : names of structures that are each other's mirror image.
    present : labels that occur in the training cases.

    Returns
    -------
    The table, indexed by label, or None if the data set cannot be mirrored truly; and a sentence for the log that says
    why not, or which structures are ignored in the mirror.
    """
    partner = {name: other for pair in pairs for name, other in (tuple(pair), tuple(pair)[::-1])}
    if not partner:
        return None, "left-right mirroring is off: the label scheme pairs no structures (column paired_with)"
    table = list(range(max(labels.values()) + 1))
    alone = []
    for name, label in plain_labels(labels).items():
        other = partner.get(name)
        if other is not None and other in labels:
            table[label] = labels[other]
            lonely = (label in present) != (labels[other] in present)
        else:
            # Nobody said which structure is its mirror image, though its name has a side.
            lonely = label in present and (other is not None or bool(_SIDED.search(name.replace("_", " "))))
        if lonely and label in present:
            alone.append(name)
    if not alone:
        return tuple(table), ""
    names = ", ".join(alone[:12])
    if IGNORE not in labels:
        return None, f"left-right mirroring is off: the other side of {names} occurs in no training case"
    for label in (labels[BACKGROUND], *(labels[name] for name in alone)):
        table[label] = labels[IGNORE]
    return tuple(table), (
        f"mirrored patches do not teach background: the other side of {names} occurs in no training case, so it may lie there"
    )
