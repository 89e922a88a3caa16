"""Find masks that somebody should look at, by comparing each with the others, and rank them. Nothing is left out because of it.

The reasons, each with what it was compared with (:class:`mrseg_label.catalog.queries.suspicions.SuspicionKind`), have a score: how much
they say that something is wrong. A mask is ranked by all of its reasons together. Drafts are compared too, but for what a reader did.

With FEWEST_OTHERS others or fewer nothing is an outlier: nobody can say what is usual.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mrseg_label.annotation.compared_models import FAR_BELOW, FAR_MM, compare_audits, compare_scores
from mrseg_label.annotation.compared_shapes import FEWEST_MM, MAX_PLACE_Z, STRAY_ML, USUALLY, compare_stations
from mrseg_label.catalog.queries.compared_masks import Mask
from mrseg_label.catalog.queries.doubts import MaskKind
from mrseg_label.catalog.queries.held_out import CaseScores
from mrseg_label.catalog.queries.model_audits import Audited
from mrseg_label.catalog.queries.suspicions import Reason, SuspicionKind
from mrseg_label.imaging.seams import AHEAD_MM, LEAST_MM2
from mrseg_label.metrics.outliers import FEWEST_OTHERS, MAX_Z, find_outliers

TOO_FAST_SECONDS = 60.0
DISAGREE, DISAGREE_ML = 0.5, 2.0
_EDITS_FLOOR = 0.25  # of the logarithms: about 25 %

Key = tuple[MaskKind, str]
Reasons = dict[Key, list[Reason]]

RULES = {
    SuspicionKind.DOUBT: "the audit doubts its left and right, head and foot, or front and back",
    SuspicionKind.POSITION: f"a structure lies at least {FEWEST_MM:.0f} mm, and {MAX_PLACE_Z} standard deviations, from where other "
    "masks of its station show it among the other structures; or two structures lie in each other's place",
    SuspicionKind.VOLUME: f"a structure is far larger or smaller than in other masks of its station (modified z-score of the "
    f"logarithm of the volume above {MAX_Z})",
    SuspicionKind.EMPTY: f"a structure is absent that at least {USUALLY:.0%} of the other masks of its station have whose field of "
    "view shows the place",
    SuspicionKind.STRAY: f"at least {STRAY_ML:.0f} ml of a structure lie apart from the rest, far more than in other masks",
    SuspicionKind.NEIGHBOUR: f"where a neighbouring station shows the same part of the body, its mask has a structure of at least "
    f"{DISAGREE_ML:.0f} ml elsewhere (DSC below {DISAGREE})",
    SuspicionKind.SEAM: f"the mask of a neighbouring station has a structure up to its edge, where it should go on by {AHEAD_MM:.0f} mm with at "
    f"least {LEAST_MM2:.0f} mm², and this mask, whose station shows the place, has nothing of it there",
    SuspicionKind.MODEL: f"the present model, which looked at all annotations when it was promoted, scores at least {FAR_BELOW} DSC "
    f"less on a structure than its median over other cases, or its HD95 is an outlier of at least {FAR_MM:.0f} mm, or it finds a structure "
    "that is marked absent",
    SuspicionKind.EDITS: f"far fewer or far more voxels were changed than of other drafts of the same model (modified z-score of "
    f"the logarithm above {MAX_Z})",
    SuspicionKind.UNCHANGED: f"the draft was accepted unchanged in less than {TOO_FAST_SECONDS:.0f} s",
}
RULES_NEED = f"Only masks with at least {FEWEST_OTHERS} others to compare with can be outliers."


@dataclass(frozen=True)
class Overlap:
    """Two masks of neighbouring stations, and what each has of the structures where both show the body.

    Attributes
    ----------
    structures : by name, ``dsc`` and ``ml``, the volumes of the first and of the second mask.
    seams : what ends at their seam (:func:`mrseg_label.annotation.mask_facts.compare_seams`).
    """

    first: Key
    second: Key
    structures: Mapping[str, Mapping[str, object]]
    seams: Sequence[Mapping[str, Any]] = ()


def find_suspicious(
    masks: Sequence[Mask],
    version: str | None,
    scores: Mapping[str, CaseScores],
    overlaps: Sequence[Overlap] = (),
    pairs: Mapping[str, str] | None = None,
    audits: Mapping[str, Audited] | None = None,
) -> Reasons:
    """Find the masks to look at, each with its reasons.

    Parameters
    ----------
    version : the model version that the scores or audits are of.
    scores : what that version scored on the masks of held-out cases, by annotation.
    pairs : the structure on the other side of the body, by structure.
    audits : what that version makes of all annotations, which it is compared by instead where there are any.
    """
    found: Reasons = {}
    for mask in masks:
        for text in mask.doubts:
            _add(found, mask.key, Reason(SuspicionKind.DOUBT, "", text, 0.9))
        if mask.unchanged and mask.seconds is not None and mask.seconds < TOO_FAST_SECONDS and not mask.imported:
            text = f"the draft of {mask.model_version} was accepted unchanged after {mask.seconds:.0f} s"
            _add(found, mask.key, Reason(SuspicionKind.UNCHANGED, "", text, 0.3))
    for mask, reason in compare_stations(masks, pairs or {}):
        _add(found, mask.key, reason)
    _compare_neighbours(found, masks, overlaps)
    _compare_seams(found, masks, overlaps)
    for of_model in _by_model(masks):
        _compare_edits(found, of_model)
    if version is not None:
        present = {mask.id for mask in masks}
        compared = compare_scores(version, {key: case for key, case in scores.items() if key in present})
        if audits:
            stations = {mask.id: mask.station for mask in masks}
            compared = compare_audits(version, {key: one for key, one in audits.items() if key in present}, stations)
        for identifier, reason in compared:
            _add(found, (MaskKind.ANNOTATION, identifier), reason)
    return found


def _compare_neighbours(found: Reasons, masks: Sequence[Mask], overlaps: Iterable[Overlap]) -> None:
    by_key = {mask.key: mask for mask in masks}
    for one in overlaps:
        for name, values in one.structures.items():
            dsc, volumes = float(values["dsc"]), values["ml"]  # type: ignore[arg-type]
            first, second = (float(volume) for volume in volumes)  # type: ignore[attr-defined]
            sides = ((one.first, one.second, first, second), (one.second, one.first, second, first))
            judged = all(_judges(by_key[key], name) for key, *_ in sides)
            if not judged or dsc >= DISAGREE or max(first, second) < DISAGREE_ML:
                continue
            # If one of the two is unusual in itself, it is that one which is wrong.
            blamed = [key for key, *_ in sides if _blames(found, key, name)]
            for key, other, here, there in sides:
                if len(blamed) != 1 or key in blamed:
                    text = (
                        f"{here:.1f} ml of it lie where {by_key[other].station or 'another station'} shows the body too, whose mask has "
                        f"{there:.1f} ml there; the two agree with DSC {dsc:.2f}"
                    )
                    score = (0.8 if blamed else 0.5) * (1 - dsc)
                    _add(found, key, Reason(SuspicionKind.NEIGHBOUR, name, text, score))


def _compare_seams(found: Reasons, masks: Sequence[Mask], overlaps: Iterable[Overlap]) -> None:
    by_key = {mask.key: mask for mask in masks}
    for one in overlaps:
        for seam in one.seams:
            keys = (one.first, one.second)
            cut, other = keys[seam["of"]], keys[1 - seam["of"]]
            name, edge = seam["structure"], "upper" if seam["towards"] == "head" else "lower"
            if not all(_judges(by_key[key], name) for key in keys):
                continue
            if any(
                reason.kind is SuspicionKind.NEIGHBOUR and reason.structure == name for reason in found.get(other, ())
            ):
                continue  # they overlap by so much that it says the same
            area = f"{seam['mm2']:.0f} mm² of it"
            if _blames(found, cut, name) and not _blames(found, other, name):
                text = (
                    f"{area} lie at the {edge} edge of this station, but the mask of {by_key[other].station or 'the next station'}, which "
                    "goes on from there, has nothing of it"
                )
                _add(found, cut, Reason(SuspicionKind.SEAM, name, text, 0.8))
            else:
                text = (
                    f"the mask of {by_key[cut].station or 'the next station'} has {area} at its {edge} edge, where this station goes on, but "
                    "this mask has nothing of it there"
                )
                _add(found, other, Reason(SuspicionKind.SEAM, name, text, 0.8 if _blames(found, other, name) else 0.6))


def _blames(found: Reasons, key: Key, name: str) -> bool:
    """Whether a mask is unusual in itself about a structure."""
    return any(name in (reason.structure, "") or name in reason.text for reason in found.get(key, ()))


def _judges(mask: Mask, name: str) -> bool:
    return name in mask.voxels if mask.kind is MaskKind.ANNOTATION else name in (mask.shapes or ())


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
    edits = {mask.key: float(mask.edited_voxels or 0) for mask in masks}
    for key, one in find_outliers(edits, _EDITS_FLOOR).items():
        text = (
            f"{one.value:,.0f} voxels were changed, far {'fewer' if one.z < 0 else 'more'} than the median of {one.others} other "
            f"drafts of {masks[0].model_version} ({one.median:,.0f})"
        )
        _add(found, key, Reason(SuspicionKind.EDITS, "", text, 0.3))


def _add(found: Reasons, key: Key, reason: Reason) -> None:
    found.setdefault(key, []).append(reason)
