"""Compare where the structures of a mask lie, how large they are and which are there with other masks of the same station.

Annotations say what is usual; where there are not enough of them, drafts do too. What the edge of the field of view cuts is compared
only with what it cuts as well, and its place only along the axes on which it is whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.queries.compared_masks import Mask
from mrseg_label.catalog.queries.doubts import MaskKind
from mrseg_label.catalog.queries.suspicions import Reason, SuspicionKind
from mrseg_label.metrics.outliers import FEWEST_OTHERS, MAX_Z, Outlier, find_outliers
from mrseg_label.metrics.places import find_places

USUALLY = 0.95
MAX_PLACE_Z, FEWEST_MM = 4.5, 15.0
STRAY_ML = 2.0
_SMALL_ML = 0.5  # of a structure, for its centre to mean anything
_SHOWN_MM = 15.0  # that an expected place must lie within the field of view, for the structure to be missed there
_VOLUME_FLOOR, _STRAY_FLOOR = 0.1, 0.25  # of the logarithms: about 10 % and 25 %
_CUT_FLOOR = 0.3  # where the field of view cuts a structure, its volume differs more by chance than the others show
_HARDLY_SHOWN = (
    0.25  # share of the median volume; where some others have less, the field of view may just miss a structure
)
# Two structures are exchanged if each lies this many times nearer (squared) to the other's place than to its own.
_EXCHANGED, _EXCHANGED_MM, _EXCHANGED_Z = 4.0, 10.0, 3.5
Key = tuple[MaskKind, str]
Found = Iterator[tuple[Mask, Reason]]


@dataclass(frozen=True)
class _Station:
    """The masks of a station, with the place of each structure in each mask.

    Attributes
    ----------
    reference : keys of the masks that say what is usual.
    centers, expected, apart_mm, z : as :mod:`mrseg_label.metrics.places` has them, (masks, structures[, 3]).
    """

    masks: Sequence[Mask]
    names: tuple[str, ...]
    reference: frozenset[Key]
    centers: NDArray[np.float64]
    expected: NDArray[np.float64]
    apart_mm: NDArray[np.float64]
    z: NDArray[np.float64]
    where: str

    @classmethod
    def of(cls, station: str, masks: Sequence[Mask]) -> _Station:
        drawn = frozenset(mask.key for mask in masks if mask.kind is MaskKind.ANNOTATION)
        reference = drawn if len(drawn) > FEWEST_OTHERS else frozenset(mask.key for mask in masks)
        names = tuple(sorted({name for mask in masks for name in (*mask.voxels, *(mask.shapes or ()))}))
        centers = np.full((len(masks), len(names), 3), np.nan)
        place = {name: column for column, name in enumerate(names)}
        for row, mask in enumerate(masks):
            for name, shape in (mask.shapes or {}).items():
                if shape["ml"] >= _SMALL_ML:
                    centers[row, place[name]] = shape["center_mm"]
                    centers[row, place[name], list(shape["cut"])] = np.nan
        usual = np.array([mask.key in reference for mask in masks], dtype=np.bool_)
        places = find_places(centers, usual)
        apart, z = places.deviations(centers, FEWEST_OTHERS)
        expected = np.where(places.known > FEWEST_OTHERS, places.expected, np.nan)
        return cls(masks, names, reference, centers, expected, apart, z, station or "the same station")

    def shown(self, row: int, column: int) -> bool | None:
        """Whether a mask's field of view shows the place where a structure is expected; None if nobody can say."""
        place, geometry = self.expected[row, column], self.masks[row].geometry
        if not geometry or not np.isfinite(place).all():
            return None
        affine = np.array(geometry["affine"], dtype=np.float64)
        index = np.linalg.solve(affine[:3, :3], place - affine[:3, 3])
        margin = _SHOWN_MM / np.linalg.norm(affine[:3, :3], axis=0)
        return bool(((index >= margin) & (index <= np.array(geometry["shape"]) - 1 - margin)).all())


def compare_stations(masks: Sequence[Mask], pairs: Mapping[str, str]) -> Found:
    """Find what is unusual about each mask among those of its station.

    Parameters
    ----------
    pairs : the structure on the other side of the body, by structure.
    """
    for station in sorted({mask.station for mask in masks}):
        here = _Station.of(station, [mask for mask in masks if mask.station == station])
        yield from _volumes(here)
        yield from _missing(here, pairs)
        yield from _stray(here)
        yield from _places(here)


def _volumes(here: _Station) -> Found:
    by_key = {mask.key: mask for mask in here.masks}
    for name in here.names:
        for is_cut in (False, True):
            alike = [mask for mask in here.masks if _volume(mask, name) and bool(_cut(mask, name)) is is_cut]
            volumes = {mask.key: _volume(mask, name) for mask in alike}
            floor = _CUT_FLOOR if is_cut else _VOLUME_FLOOR
            for key, one in find_outliers(volumes, floor, here.reference).items():
                text = f"{_ml(one.value)}, {_factor(one)} the median of {one.others} other masks of {here.where} ({_ml(one.median)})"
                yield by_key[key], Reason(SuspicionKind.VOLUME, name, text, 0.8 * _beyond(abs(one.z), MAX_Z))


def _missing(here: _Station, pairs: Mapping[str, str]) -> Found:
    """Structures that a mask lacks and that nearly all others have whose field of view shows the place."""
    for column, name in enumerate(here.names):
        has = [_has(mask, name) for mask in here.masks]
        shown = [here.shown(row, column) for row in range(len(here.masks))]
        compared = [
            row for row, mask in enumerate(here.masks)
            if has[row] is not None and mask.key in here.reference and (has[row] or shown[row] is not False)
        ]  # fmt: skip
        for row, mask in enumerate(here.masks):
            if has[row] is not False or shown[row] is False or not _knows(here, mask, name):
                continue
            for other, also in ((None, ""), (pairs.get(name), " and also show {}")):
                if also and (other is None or not _has(mask, other)):
                    continue
                others = [one for one in compared if one != row and (other is None or _has(here.masks[one], other))]
                having = sum(bool(has[one]) for one in others)
                if shown[row] is None and _may_vanish([_volume(here.masks[one], name) for one in others if has[one]]):
                    break
                if len(others) >= FEWEST_OTHERS and having / len(others) >= USUALLY:
                    absent = "marked absent" if mask.kind is MaskKind.ANNOTATION else "not in the draft"
                    text = (
                        f"{absent}; {having} of {len(others)} other masks of {here.where}{also.format(other)} have it"
                    )
                    yield mask, Reason(SuspicionKind.EMPTY, name, text, 0.8 if having == len(others) else 0.7)
                    break


def _may_vanish(volumes: Sequence[float]) -> bool:
    """Whether a structure that is cut in others has so little in some of them that a mask may rightly show nothing of it."""
    return bool(volumes) and min(volumes) < _HARDLY_SHOWN * float(np.median(volumes))


def _knows(here: _Station, mask: Mask, name: str) -> bool:
    """Whether a mask that lacks a structure says something by it: every annotation does, a draft if its model draws it elsewhere."""
    if mask.kind is MaskKind.ANNOTATION:
        return True
    alike = [
        one for one in here.masks if one.kind is MaskKind.DRAFT and one.model_version == mask.model_version and one.shapes is not None
    ]  # fmt: skip
    return sum(name in (one.shapes or ()) for one in alike) > len(alike) / 2


def _stray(here: _Station) -> Found:
    by_key = {mask.key: mask for mask in here.masks}
    for name in here.names:
        values = {
            mask.key: float(mask.shapes[name]["stray_ml"]) for mask in here.masks if mask.shapes and name in mask.shapes
        }
        for key, one in find_outliers(values, _STRAY_FLOOR, here.reference).items():
            if one.z > 0 and one.value >= STRAY_ML:
                text = f"{_ml(one.value)} of it lie apart from the rest; the median of {one.others} other masks of {here.where} is {_ml(one.median)}"
                yield by_key[key], Reason(SuspicionKind.STRAY, name, text, 0.8 * _beyond(one.z, MAX_Z))


def _places(here: _Station) -> Found:
    for row, mask in enumerate(here.masks):
        exchanged = dict(_exchanged(here, row))
        odd = np.flatnonzero((here.z[row] > MAX_PLACE_Z) & (here.apart_mm[row] >= FEWEST_MM))
        for column in sorted({*odd.tolist(), *exchanged}):
            name = here.names[column]
            if column in exchanged:
                other = here.names[exchanged[column]]
                text = f"it lies where {other} is expected, and that where this is: are the two exchanged?"
                yield mask, Reason(SuspicionKind.POSITION, name, text, 0.9)
            else:
                apart, away = (
                    here.apart_mm[row, column],
                    _direction(here.centers[row, column] - here.expected[row, column]),
                )
                text = f"its centre lies {apart:.0f} mm from where other masks of {here.where} show it{away}"
                yield (
                    mask,
                    Reason(SuspicionKind.POSITION, name, text, 0.9 * _beyond(float(here.z[row, column]), MAX_PLACE_Z)),
                )


def _exchanged(here: _Station, row: int) -> Iterator[tuple[int, int]]:
    """Pairs of structures of which each lies where the other is expected, both ways round."""
    centers, expected = here.centers[row], here.expected[row]
    away = np.nansum((centers - expected) ** 2, axis=1)
    for first, second in itertools.combinations(np.flatnonzero(away >= _EXCHANGED_MM**2 / 2).tolist(), 2):
        axes = np.isfinite(centers[first] + centers[second] + expected[first] + expected[second])
        if axes.sum() < 2:
            continue
        own = sum(float(((centers[one] - expected[one])[axes] ** 2).sum()) for one in (first, second))
        crossed = sum(
            float(((centers[one] - expected[other])[axes] ** 2).sum())
            for one, other in ((first, second), (second, first))
        )
        unusual = max(here.z[row, first], here.z[row, second]) >= _EXCHANGED_Z
        if own >= 2 * _EXCHANGED_MM**2 and crossed * _EXCHANGED <= own and unusual:
            yield first, second
            yield second, first


def _direction(difference: NDArray[np.float64]) -> str:
    """In words, towards which side the larger part of a difference in RAS mm goes."""
    axis = int(np.nanargmax(np.abs(difference)))
    words = (("to the left", "to the right"), ("to the back", "to the front"), ("towards the feet", "towards the head"))
    return f", {words[axis][int(difference[axis] > 0)]}"


def _has(mask: Mask, name: str) -> bool | None:
    """Whether a mask has a structure; None where it was not annotated."""
    if mask.kind is MaskKind.DRAFT:
        return None if mask.shapes is None else name in mask.shapes
    return mask.voxels[name] > 0 if name in mask.voxels else None


def _volume(mask: Mask, name: str) -> float:
    if mask.kind is MaskKind.DRAFT:
        return float((mask.shapes or {}).get(name, {}).get("ml", 0.0))
    return mask.voxels.get(name, 0) * mask.voxel_ml


def _cut(mask: Mask, name: str) -> Sequence[int]:
    cut: Sequence[int] = (mask.shapes or {}).get(name, {}).get("cut", ())
    return cut


def _beyond(z: float, limit: float) -> float:
    """From 0.5 for what is just an outlier towards 1."""
    return 1 - 0.5 * limit / z


def _ml(value: float) -> str:
    return f"{value:,.0f} ml" if value >= 10 else f"{value:.1f} ml"


def _factor(one: Outlier) -> str:
    factor = one.value / one.median if one.median > 0 else float("inf")
    return f"{factor:.1f} times" if factor >= 1 else f"{factor:.0%} of"
