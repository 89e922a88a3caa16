"""Put one draft together from what several sources segmented: of each structure, the voxels of the source chosen for it.

**Where two claim a voxel**, the structure whose source is expected to be better there gets it (by DSC on annotated cases,
:mod:`mrseg_label.presegmentation.evidence`); where nothing is known of either, the source that comes first: that of the draft's
own model version, then the others in their order. A voxel that no structure's own source claims is background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.draft_details import DraftDetails
from mrseg_label.labels import LabelScheme
from mrseg_label.presegmentation.evidence import Chosen


@dataclass(frozen=True)
class Segmented:
    """What one source made of an image.

    Attributes
    ----------
    label_map : (X, Y, Z) uint8 in the label ids of the scheme, on exactly the image's grid.
    source : the way in which it was made.
    model_version : the version of the catalogue that it belongs to; ``bootstrap`` for every preparation of TotalSegmentator.
    name : how a mixture names it, such as ``r2`` or ``TotalSegmentator inverted``.
    softmax : mean uncertainty of the network over the voxels of each label id, from 0 to 1; None where it is not known.
    """

    label_map: NDArray[np.uint8]
    source: str
    model_version: str
    name: str
    softmax: Mapping[int, float] | None = None


@dataclass(frozen=True)
class DraftMask:
    """A draft's mask between two steps of its making.

    Attributes
    ----------
    label_map : (X, Y, Z) uint8 in the label ids of the scheme, on exactly the image's grid.
    source : the way in which it was made, as the catalogue keeps it.
    details : what is stored with the mask; each step adds its own part.
    """

    label_map: NDArray[np.uint8]
    source: str
    details: DraftDetails = field(default_factory=DraftDetails)


def mix(
    segmented: Sequence[Segmented],
    chosen: Mapping[str, Chosen],
    scheme: LabelScheme,
    measures: Mapping[str, Any] | None = None,
) -> DraftMask:
    """Mix what the sources made of one image.

    Parameters
    ----------
    segmented : the first is that of the draft's own model version.
    chosen : the source of each structure, by the names of both; the first source where there is none.
    measures : what is stored of the sources' agreement, by structure; may be empty.
    """
    first = segmented[0]
    names = [one.name for one in segmented]
    source_of = {name: chosen[name].source if name in chosen else first.name for name in scheme.names}
    if set(source_of.values()) == {first.name}:
        label_map = first.label_map
    else:
        label_map = _merged(segmented, names, source_of, chosen, scheme)
    if len(segmented) == 1:
        return DraftMask(label_map, first.source)
    counts = np.bincount(label_map.ravel(order="K"), minlength=len(scheme) + 1)
    mixture: dict[str, Any] = {
        "structures": source_of,
        "present": [name for name in scheme.names if counts[scheme[name].id]],
        "sources": {one.name: one.model_version for one in segmented},
        "reasons": {name: _reason(chosen[name]) for name in scheme.names if name in chosen and chosen[name].reason},
    }
    if measures:
        mixture["measures"] = dict(measures)
    return DraftMask(label_map, first.source, DraftDetails(mixture=mixture))


def _merged(
    segmented: Sequence[Segmented],
    names: Sequence[str],
    source_of: Mapping[str, str],
    chosen: Mapping[str, Chosen],
    scheme: LabelScheme,
) -> NDArray[np.uint8]:
    """Paint the structures one over the other, those that get contested voxels last."""

    def rank(name: str) -> tuple[float, int, int]:
        dsc = chosen[name].dsc if name in chosen else None
        return (-1.0 if dsc is None else dsc, -names.index(source_of[name]), -scheme[name].id)

    masks = {one.name: one.label_map for one in segmented}
    merged = np.zeros_like(segmented[0].label_map)
    for name in sorted(scheme.names, key=rank):
        number = scheme[name].id
        merged[masks[source_of[name]] == number] = number
    return merged


def _reason(chosen: Chosen) -> dict[str, Any]:
    assert chosen.reason is not None
    found = chosen.reason
    return {"saved": round(found.saved, 4), "participants": found.participants, "cases": found.cases}
