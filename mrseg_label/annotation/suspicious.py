"""Find annotations that somebody should look at, by comparing each with the others. Nothing is left out because of it.

The reasons, each with what it was compared with (:class:`mrseg_label.catalog.queries.suspicions.SuspicionKind`):

- ``doubt``: the audit of sides and directions doubts it.
- ``volume``: the logarithm of a structure's volume has a modified z-score above MAX_Z among the masks of its station.
- ``empty``: a structure is marked absent that at least USUALLY of the others of its station have.
- ``edits``: the number of changed voxels is such an outlier among drafts of the same model, of the same station where enough
  of them are.
- ``unchanged``: no voxel of the draft was changed, and that took less than TOO_FAST_SECONDS.
- ``model``: the newest model that was tested on it scores FAR_BELOW less DSC on a structure than its median over others.

With FEWEST_OTHERS others or fewer nothing is an outlier: nobody can say what is usual.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from mrseg_label.catalog.queries.held_out import CaseScores
from mrseg_label.catalog.queries.suspicions import Mask, SuspicionKind
from mrseg_label.metrics.outliers import FEWEST_OTHERS, MAX_Z, Outlier, find_outliers

USUALLY = 0.95
TOO_FAST_SECONDS = 60.0
FAR_BELOW = 0.3
_VOLUME_FLOOR, _EDITS_FLOOR = 0.1, 0.25  # of the logarithms: about 10 % and 25 %

Reasons = dict[str, list[dict[str, Any]]]

RULES = {
    SuspicionKind.DOUBT: "the audit doubts its left and right, head and foot, or front and back",
    SuspicionKind.VOLUME: f"a structure is far larger or smaller than in other masks of its station (modified z-score of the "
    f"logarithm of the volume above {MAX_Z})",
    SuspicionKind.EMPTY: f"a structure is marked absent that at least {USUALLY:.0%} of the other masks of its station have",
    SuspicionKind.EDITS: f"far fewer or far more voxels were changed than of other drafts of the same model (modified z-score of "
    f"the logarithm above {MAX_Z})",
    SuspicionKind.UNCHANGED: f"the draft was accepted unchanged in less than {TOO_FAST_SECONDS:.0f} s",
    SuspicionKind.MODEL: f"the newest model that was tested on it scores at least {FAR_BELOW} DSC less on a structure than its "
    "median over other cases",
}
RULES_NEED = f"Only masks with at least {FEWEST_OTHERS} others to compare with can be outliers."


def find_suspicious(masks: Sequence[Mask], version: str | None, scores: Mapping[str, CaseScores]) -> Reasons:
    """Find the masks to look at, each with ``kind``, ``structure`` and ``text`` of its reasons.

    Parameters
    ----------
    version : the model version that the scores are of.
    scores : what that version scored on the masks of held-out cases, by annotation.
    """
    found: Reasons = {}
    for mask in masks:
        for text in mask.doubts:
            _add(found, mask.id, SuspicionKind.DOUBT, "", text)
        if mask.unchanged and mask.seconds is not None and mask.seconds < TOO_FAST_SECONDS and not mask.imported:
            text = f"the draft of {mask.model_version} was accepted unchanged after {mask.seconds:.0f} s"
            _add(found, mask.id, SuspicionKind.UNCHANGED, "", text)
    for station in sorted({mask.station for mask in masks}):
        _compare_structures(found, station, [mask for mask in masks if mask.station == station])
    for of_model in _by_model(masks):
        _compare_edits(found, of_model)
    if version is not None:
        present = {mask.id for mask in masks}
        _compare_scores(found, version, {key: case for key, case in scores.items() if key in present})
    return found


def _compare_structures(found: Reasons, station: str, masks: Sequence[Mask]) -> None:
    where = station or "the same station"
    for name in sorted({name for mask in masks for name in mask.voxels}):
        volumes = {mask.id: mask.voxels[name] * mask.voxel_ml for mask in masks if mask.voxels.get(name)}
        for identifier, one in find_outliers(volumes, _VOLUME_FLOOR).items():
            text = f"{_ml(one.value)}, {_factor(one)} the median of {one.others} other masks of {where} ({_ml(one.median)})"
            _add(found, identifier, SuspicionKind.VOLUME, name, text)
        absent = [mask.id for mask in masks if mask.voxels.get(name) == 0]
        others = len(volumes) + len(absent) - 1
        if absent and others >= FEWEST_OTHERS and len(volumes) / others >= USUALLY:
            for identifier in absent:
                text = f"marked absent; {len(volumes)} of {others} other masks of {where} have it"
                _add(found, identifier, SuspicionKind.EMPTY, name, text)


def _by_model(masks: Sequence[Mask]) -> Iterable[Sequence[Mask]]:
    """Group the masks whose effort was measured, by model and, where that leaves enough, by station."""
    groups: dict[tuple[str, str], list[Mask]] = {}
    for mask in masks:
        if mask.model_version is not None and mask.edited_voxels is not None and not mask.imported:
            groups.setdefault((mask.model_version, mask.station), []).append(mask)
    rest: dict[str, list[Mask]] = {}
    for (version, _), group in sorted(groups.items()):
        if len(group) > FEWEST_OTHERS:
            yield group
        else:
            rest.setdefault(version, []).extend(group)
    yield from rest.values()


def _compare_edits(found: Reasons, masks: Sequence[Mask]) -> None:
    edits = {mask.id: float(mask.edited_voxels or 0) for mask in masks}
    for identifier, one in find_outliers(edits, _EDITS_FLOOR).items():
        text = (
            f"{one.value:,.0f} voxels were changed, far {'fewer' if one.z < 0 else 'more'} than the median of {one.others} other "
            f"drafts of {masks[0].model_version} ({one.median:,.0f})"
        )
        _add(found, identifier, SuspicionKind.EDITS, "", text)


def _compare_scores(found: Reasons, version: str, scores: Mapping[str, CaseScores]) -> None:
    for name in sorted({name for case in scores.values() for name in case.dsc}):
        values = {identifier: case.dsc[name] for identifier, case in scores.items() if name in case.dsc}
        if len(values) <= FEWEST_OTHERS:
            continue
        usual = median(values.values())
        for identifier, value in values.items():
            if value <= usual - FAR_BELOW:
                text = f"DSC {value:.2f} with {version}, whose median over {len(values) - 1} other cases is {usual:.2f}"
                _add(found, identifier, SuspicionKind.MODEL, name, text)


def _add(found: Reasons, identifier: str, kind: SuspicionKind, structure: str, text: str) -> None:
    found.setdefault(identifier, []).append({"kind": kind.value, "structure": structure, "text": text})


def _ml(value: float) -> str:
    return f"{value:,.0f} ml" if value >= 10 else f"{value:.1f} ml"


def _factor(one: Outlier) -> str:
    factor = one.value / one.median if one.median > 0 else float("inf")
    return f"{factor:.1f} times" if factor >= 1 else f"{factor:.0%} of"
