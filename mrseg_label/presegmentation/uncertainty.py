"""How sure the sources are of a draft, structure by structure: what the strategy ``uncertainty`` ranks cases by.

Two kinds of evidence, each between 0 (sure) and 1:

- ``disagreement``: one minus the mean DSC between the masks of two sources, over all pairs of the sources that segmented
  the image now and the newest draft by another model version. Disagreement within a committee of models: Seung HS, et al.
  Query by committee. COLT 1992. https://doi.org/10.1145/130385.130417
- ``softmax``: the mean uncertainty of the network over the voxels that it gave to the structure.

Every structure has a value of its own, so that a large organ counts no more than a small one. Where a source's left
structure lies in another source's right one, the sides are disputed; that is kept too, since it is the first thing that a
reader wants to know.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.draft_details import DraftUncertainty
from mrseg_label.catalog.tables import Presegmentation
from mrseg_label.errors import MrsegError
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics.overlap import LabelMap, joint_histogram
from mrseg_label.metrics.scoring import agreement_of_histogram
from mrseg_label.presegmentation.mixture import DraftMask, Segmented
from mrseg_label.scoring import MIN_REFERENCE_VOXELS
from mrseg_label.segments.files import read_label_map
from mrseg_label.workspace import Workspace

_DISPUTED_SHARE = 0.5  # of the smaller of the two structures lies on the other side in the other mask
_DIGITS = 4


def assess_draft(
    draft: DraftMask, segmented: Sequence[Segmented], workspace: Workspace, earlier: Presegmentation | None
) -> None:
    """Add to the details of a draft how sure its sources are.

    Parameters
    ----------
    earlier : the newest draft of the acquisition by another model version; it is left out if its file cannot be read.
    """
    masks: list[LabelMap] = [one.label_map for one in segmented]
    if earlier is not None:
        with suppress(MrsegError, OSError):
            masks.append(read_label_map(workspace.path(earlier.path))[0])
    # The grid of an acquisition may have changed since the earlier draft, and a foreign file may hold anything.
    masks = [mask for mask in masks if mask.shape == draft.label_map.shape and mask.max() <= len(workspace.scheme)]
    found = assess(masks, [one.softmax for one in segmented], workspace.scheme)
    if found is not None:
        draft.details["uncertainty"] = found


def assess(
    masks: Sequence[LabelMap], softmax: Sequence[Mapping[int, float] | None], scheme: LabelScheme
) -> DraftUncertainty | None:
    """Assess how sure the sources of one draft are.

    Parameters
    ----------
    masks : (X, Y, Z) label maps of one grid in the label ids of the scheme, one from each source.
    softmax : of each source that tells it, the mean uncertainty of its network by label id.

    Returns
    -------
    By the names of structures that any of the masks has; None if there is no evidence of either kind.
    """
    disagreement: dict[str, list[float]] = {}
    disputed: set[str] = set()
    for first, second in itertools.combinations(masks, 2):
        histogram = joint_histogram(first, second, len(scheme))
        for structure, dsc in zip(scheme, agreement_of_histogram(histogram), strict=True):
            if np.isfinite(dsc):
                disagreement.setdefault(structure.name, []).append(1 - float(dsc))
        disputed |= _disputed(histogram, scheme)
    unsure: dict[str, list[float]] = {}
    for values in filter(None, softmax):
        for structure in scheme:
            if structure.id in values:
                unsure.setdefault(structure.name, []).append(values[structure.id])
    if not disagreement and not unsure:
        return None
    found = DraftUncertainty(disagreement=_means(disagreement), softmax=_means(unsure))
    if disputed:
        found["sides"] = [name for name in scheme.names if name in disputed]
    return found


def _means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: round(float(np.mean(several)), _DIGITS) for name, several in values.items()}


def _disputed(histogram: NDArray[np.int64], scheme: LabelScheme) -> set[str]:
    """Names of both structures of each pair whose sides are exchanged, wholly or in part, between two masks."""
    sizes = histogram.sum(axis=1), histogram.sum(axis=0)
    found = set()
    for structure in scheme:
        if structure.paired_with is None:
            continue
        other = scheme[structure.paired_with]
        smaller = min(int(sizes[0][structure.id]), int(sizes[1][other.id]))
        crossing = int(histogram[structure.id, other.id])
        if smaller >= MIN_REFERENCE_VOXELS and crossing > _DISPUTED_SHARE * smaller:
            found |= {structure.name, other.name}
    return found
