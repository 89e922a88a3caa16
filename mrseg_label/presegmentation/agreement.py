"""Choose among sources before there are annotations: by their agreement, and by what is plausible at the station.

For every structure that a source segments its **agreement** is the mean DSC with the other sources. It is multiplied by its
**plausibility**, which is 1 where volume, position in the image and number of pieces are usual at the station, and falls to
0 the further they are from what all sources segmented there in earlier cases (median and median absolute deviation, from
:data:`FEWEST_EARLIER` cases on). The mean of the product over this case and earlier ones of the same sequence is compared: the
draft's own source is left for another only if that is better by :data:`MARGIN`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.orientation import reorient
from mrseg_label.labels import LabelScheme
from mrseg_label.metrics import agreement
from mrseg_label.presegmentation.evidence import Chosen

FEWEST_EARLIER = 5
MARGIN = 0.1
_SCORE = "score"
_PIECE_SHARE = 0.05  # of the largest piece; smaller ones are stray voxels
_LEAST_SPREAD = {"volume": 0.15, "x": 0.03, "y": 0.03, "z": 0.05, "pieces": 0.5}
_USUAL = 2.0  # spreads from the median within which everything is plausible
Measures = dict[str, dict[str, dict[str, float]]]
"""By structure and source: its ``score``, the logarithm of its ``volume``, ``x``, ``y``, ``z`` and ``pieces``."""


def measure(
    label_maps: Mapping[str, NDArray[np.uint8]],
    knows: Mapping[str, frozenset[str]],
    geometry: Geometry,
    scheme: LabelScheme,
    earlier: Iterable[Mapping[str, Any]] = (),
) -> Measures:
    """Measure agreement and plausibility of every structure that a source segments.

    Parameters
    ----------
    label_maps : (X, Y, Z) by source, on the grid of ``geometry``.
    knows : by source, the structures that it can segment.
    earlier : measures of earlier cases at the station.
    """
    described = {source: _describe(labels, geometry, scheme) for source, labels in label_maps.items()}
    usual = _usual(earlier)
    sources = list(label_maps)
    pairs = {
        (first, second): agreement(label_maps[first], label_maps[second], len(scheme))
        for position, first in enumerate(sources)
        for second in sources[position + 1 :]
    }
    found: Measures = {}
    for structure in scheme:
        name = structure.name
        able = [source for source in sources if name in knows[source]]
        for source in able:
            values = described[source].get(name)
            dsc = [
                float(pairs[min(pair, key=sources.index), max(pair, key=sources.index)][structure.id - 1])
                for pair in ((source, other) for other in able if other != source)
            ]
            agreed = [value for value in dsc if np.isfinite(value)]
            if not agreed:
                continue  # no source found enough of it, or only one knows it
            plausible = 0.0 if values is None else _plausibility(values, usual.get(name, {}))
            score = float(np.mean(agreed)) * plausible
            found.setdefault(name, {})[source] = {_SCORE: round(score, 4), **(values or {})}
    return found


def choose_by_agreement(
    sources: Sequence[str], knows: Mapping[str, frozenset[str]], present: Measures, earlier: Iterable[Mapping[str, Any]]
) -> dict[str, Chosen]:
    """Choose the source of each structure that was measured.

    Parameters
    ----------
    sources : the first is the draft's own.
    present : measures of this case.
    earlier : measures of earlier cases of the same sequence at the station.
    """
    history = [present, *earlier]
    chosen = {}
    for structure in present:
        able = [one for one in sources if structure in knows[one]]
        scores = {one: _mean_score(history, structure, one) for one in able}
        best = max(able, key=lambda one: scores[one])
        chosen[structure] = Chosen(best if scores[best] > scores[able[0]] + MARGIN else able[0])
    return chosen


def _mean_score(history: Sequence[Mapping[str, Any]], structure: str, source: str) -> float:
    values = [float(case[structure][source][_SCORE]) for case in history if source in case.get(structure, {})]
    return float(np.mean(values)) if values else 0.0


def _describe(labels: NDArray[np.uint8], geometry: Geometry, scheme: LabelScheme) -> dict[str, dict[str, float]]:
    from scipy import ndimage

    ras, grid = reorient(labels, geometry)
    described = {}
    for number, box in enumerate(ndimage.find_objects(ras, len(scheme)), start=1):
        if box is None:
            continue
        part = ras[box] == number
        voxels = int(np.count_nonzero(part))
        centre = [
            (float(np.mean(where)) + side.start) / size
            for where, side, size in zip(np.nonzero(part), box, ras.shape, strict=True)
        ]
        pieces, count = ndimage.label(part)
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        values = (
            float(np.log(voxels * grid.voxel_ml)),
            *centre,
            float(np.count_nonzero(sizes >= _PIECE_SHARE * sizes.max())),
        )
        described[scheme.names[number - 1]] = {
            key: round(value, 4) for key, value in zip(_LEAST_SPREAD, values, strict=True)
        }
    return described


def _usual(earlier: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, tuple[float, float]]]:
    """Median and spread of each value of each structure, over what all sources segmented in earlier cases."""
    values: dict[str, dict[str, list[float]]] = {}
    cases: dict[str, int] = {}
    for case in earlier:
        for structure, by_source in case.items():
            cases[structure] = cases.get(structure, 0) + 1
            for found in by_source.values():
                for key in _LEAST_SPREAD:
                    if key in found:
                        values.setdefault(structure, {}).setdefault(key, []).append(float(found[key]))
    usual: dict[str, dict[str, tuple[float, float]]] = {}
    for structure, by_key in values.items():
        if cases[structure] >= FEWEST_EARLIER:
            for key, found in by_key.items():
                middle = float(np.median(found))
                spread = 1.4826 * float(np.median(np.abs(np.subtract(found, middle))))
                usual.setdefault(structure, {})[key] = middle, max(spread, _LEAST_SPREAD[key])
    return usual


def _plausibility(values: Mapping[str, float], usual: Mapping[str, tuple[float, float]]) -> float:
    far = [abs(values[key] - middle) / spread for key, (middle, spread) in usual.items() if key in values]
    excess = max(0.0, max(far, default=0.0) - _USUAL)
    return float(np.exp(-0.5 * excess**2))
