"""Errors that are planted in annotations: of the five kinds of :mod:`benchmarks.studies.planted_errors`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrseg_label.imaging.geometry import Geometry
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.anatomy import anatomy_of

PER_KIND = 4
SCHEME = LabelScheme.default()
ANATOMY = anatomy_of(SCHEME)
PAIRS = {one.name: one.paired_with for one in SCHEME if one.paired_with is not None}
_LEAST_ML = 3.0  # of a structure in which an error is planted; an error in less would be an error of a few voxels
_NEAR_MM = 30.0  # of the centres of neighbours
LabelMap = NDArray[np.uint8]


@dataclass(frozen=True)
class Planted:
    """An error: its kind, and the structures that are wrong."""

    kind: str
    structures: tuple[str, ...]


@dataclass
class Case:
    """An annotation before it is measured."""

    participant: str
    station: str
    labels: LabelMap
    geometry: Geometry
    planted: Planted | None = None

    @property
    def id(self) -> str:
        """For example ``P001/abdomen``."""
        return f"{self.participant}/{self.station}"


def plant(cases: Sequence[Case], seed: int) -> None:
    """Plant the errors in as many cases as there are errors, in place."""
    rng = np.random.default_rng([seed, 99])
    free = rng.permutation(len(cases)).tolist()
    for kind, error in ERRORS.items():
        done = 0
        while done < PER_KIND:
            case = cases[free.pop(0)]
            structures = error(case, rng)
            if structures:
                case.planted = Planted(kind, structures)
                done += 1
            else:
                free.append(cases.index(case))


def _exchange_sides(case: Case, rng: np.random.Generator) -> tuple[str, ...]:
    both = [
        (pair.left, pair.right)
        for pair in ANATOMY.pairs
        if min(_ml(case, pair.left), _ml(case, pair.right)) >= _LEAST_ML
    ]
    return _exchange(case, both[rng.integers(len(both))]) if both else ()


def _exchange_neighbours(case: Case, rng: np.random.Generator) -> tuple[str, ...]:
    large = _large(case)
    centers = {label: _center(case, label) for label in large}
    near = [
        (one, other) for one, other in itertools.combinations(large, 2)
        if np.linalg.norm(centers[one] - centers[other]) <= _NEAR_MM and PAIRS.get(SCHEME.names[one - 1]) != SCHEME.names[other - 1]
    ]  # fmt: skip
    return _exchange(case, near[rng.integers(len(near))]) if near else ()


def _exchange(case: Case, labels: tuple[int, int]) -> tuple[str, ...]:
    first, second = (case.labels == label for label in labels)
    case.labels[first], case.labels[second] = labels[1], labels[0]
    return tuple(SCHEME.names[label - 1] for label in labels)


def _delete(case: Case, rng: np.random.Generator) -> tuple[str, ...]:
    label = int(rng.choice(_large(case)))
    case.labels[case.labels == label] = 0
    return (SCHEME.names[label - 1],)


def _shift(case: Case, rng: np.random.Generator) -> tuple[str, ...]:
    """Draw a structure 25 to 50 mm beside its place; what it covers there is lost, as where somebody paints over it."""
    label = int(rng.choice(_large(case)))
    direction = rng.normal(size=3)
    offset = direction / np.linalg.norm(direction) * rng.uniform(25, 50)
    steps = np.rint(np.linalg.inv(case.geometry.affine[:3, :3]) @ offset).astype(int)
    mask = case.labels == label
    moved = ndimage.shift(mask, steps, order=0, prefilter=False)
    if np.count_nonzero(moved) < np.count_nonzero(mask) / 2:
        return ()
    case.labels[mask] = 0
    case.labels[moved] = label
    return (SCHEME.names[label - 1],)


def _enlarge(case: Case, rng: np.random.Generator) -> tuple[str, ...]:
    """Add a blob of 10 to 40 ml apart from a structure, or let it grow by 8 to 12 mm into the background, in turn by chance."""
    label = int(rng.choice(_large(case)))
    mask = case.labels == label
    outside = ndimage.distance_transform_edt(~mask, sampling=case.geometry.spacing_mm)
    if rng.random() < 0.5:
        case.labels[(outside <= rng.uniform(8, 12)) & (case.labels == 0)] = label
        return (SCHEME.names[label - 1],)
    radius = (rng.uniform(10, 40) * 3000 / (4 * np.pi)) ** (1 / 3)
    places = np.argwhere((outside > 40 + radius) & (outside < 100) & (case.labels > 0))
    if not len(places):
        return ()
    place = places[rng.integers(len(places))]
    index = np.indices(case.labels.shape).reshape(3, -1).T
    apart = np.linalg.norm((index - place) * case.geometry.spacing_mm, axis=1).reshape(case.labels.shape)
    case.labels[apart <= radius] = label
    return (SCHEME.names[label - 1],)


def _large(case: Case) -> list[int]:
    counts = np.bincount(case.labels.ravel(), minlength=len(SCHEME) + 1) * case.geometry.voxel_ml
    return [label for label in range(1, len(SCHEME) + 1) if counts[label] >= _LEAST_ML]


def _ml(case: Case, label: int) -> float:
    return float(np.count_nonzero(case.labels == label) * case.geometry.voxel_ml)


def _center(case: Case, label: int) -> NDArray[np.float64]:
    affine = case.geometry.affine
    center: NDArray[np.float64] = np.argwhere(case.labels == label).mean(axis=0) @ affine[:3, :3].T + affine[:3, 3]
    return center


ERRORS: Mapping[str, Callable[[Case, np.random.Generator], tuple[str, ...]]] = {
    "sides exchanged": _exchange_sides,
    "structure deleted": _delete,
    "wrong place": _shift,
    "neighbours exchanged": _exchange_neighbours,
    "too large or a stray blob": _enlarge,
}
