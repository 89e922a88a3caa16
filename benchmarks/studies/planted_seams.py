"""Let structures end at the seam between two stations: how many of them are found, and how much else is doubted?

    uv run python -m benchmarks.studies.planted_seams --folder DIR [--seeds 3] [--participants 30]

The annotations are those of :mod:`benchmarks.studies.planted_errors`: abdomen and pelvis of phantoms, drawn by an unsteady hand. The upper
end of the pelvis is cut off, so that both stations overlap by 40, 10 or 0 mm. Then in one of the two a structure that goes
through the seam is deleted, or drawn short: nothing of it within 40 mm of the seam. An error is found if the seam of that structure is
doubted (:func:`mrseg_label.imaging.seams.find_seams`); whatever is doubted in the cohort without errors is a false alarm. The same with the
pelvis moved by 8 mm towards head or feet, as by another breath.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.planted_errors import annotate
from benchmarks.studies.planting import SCHEME, Case
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.seams import LEAST_MM2, find_seams
from mrseg_label.imaging.shapes import world_axes

OVERLAPS_MM = (40.0, 10.0, 0.0)
ERRORS = ("deleted", "drawn short")
_LEAST_ML = 3.0  # of a structure in each station, within 40 mm of the seam, for an error to be planted in it
_NEAR_MM = 40.0
_PER_PAIR = 2  # errors of each kind, one at a time


def pairs_of(cases: Sequence[Case], overlap_mm: float, breath_mm: float, seed: int) -> Iterator[tuple[Case, Case]]:
    """Yield abdomen and pelvis of each participant, cut so that they overlap by so much, the pelvis moved by a breath."""
    rng = np.random.default_rng([seed, 7])
    for abdomen, pelvis in zip(cases[::2], cases[1::2], strict=True):
        bottom = abdomen.geometry.corners_mm()[:, 2].min()
        axis = world_axes(pelvis.geometry.affine).index(2)
        step = pelvis.geometry.affine[2, axis]
        heights = pelvis.geometry.affine[2, 3] + step * np.arange(pelvis.geometry.shape[axis])
        middle = sum(
            pelvis.geometry.affine[2, n] * (pelvis.geometry.shape[n] - 1) / 2 for n in range(3) if n != axis
        )  # of an oblique layer
        kept = np.flatnonzero(heights + middle <= bottom + overlap_mm)
        part = tuple(slice(kept[0], kept[-1] + 1) if n == axis else slice(None) for n in range(3))
        labels = pelvis.labels[part].copy()
        affine = pelvis.geometry.affine.copy()
        affine[:3, 3] += affine[:3, axis] * kept[0]
        affine[2, 3] += breath_mm * rng.choice([-1, 1])
        x, y, z = labels.shape
        yield abdomen, Case(pelvis.participant, pelvis.station, labels, Geometry((x, y, z), affine))


def doubted(first: Case, second: Case, least_mm2: float) -> set[int]:
    """Label ids whose seam is doubted, in either direction."""
    return {
        seam.label
        for one, other in ((first, second), (second, first))
        for seam in find_seams(one.labels, one.geometry, other.labels, other.geometry, least_mm2)
    }


def through_the_seam(first: Case, second: Case) -> list[int]:
    """Label ids of structures that both stations have, near the seam."""
    bottom, top = first.geometry.corners_mm()[:, 2].min(), second.geometry.corners_mm()[:, 2].max()
    sizes = []
    for case in (first, second):
        near = (np.abs(_heights(case) - (bottom + top) / 2) <= _NEAR_MM) & (case.labels > 0)
        sizes.append(np.bincount(case.labels[near], minlength=len(SCHEME) + 1) * case.geometry.voxel_ml)
    return [label for label in range(1, len(SCHEME) + 1) if min(one[label] for one in sizes) >= _LEAST_ML]


def _heights(case: Case) -> NDArray[np.float64]:
    index = np.ogrid[tuple(slice(n) for n in case.labels.shape)]
    row = case.geometry.affine[2]
    heights: NDArray[np.float64] = row[0] * index[0] + row[1] * index[1] + row[2] * index[2] + row[3]
    return heights


def spoil(case: Case, other: Case, label: int, error: str) -> Case:
    """Return an annotation with the error planted."""
    labels = case.labels.copy()
    wrong = labels == label
    if error == "drawn short":
        ends = other.geometry.corners_mm()[:, 2]
        seam = ends.min() if case.station == "pelvis" else ends.max()
        beyond = seam - _heights(case) if case.station == "pelvis" else _heights(case) - seam
        wrong &= beyond < _NEAR_MM
    labels[wrong] = 0
    return Case(case.participant, case.station, labels, case.geometry)


def run(
    cases: Sequence[Case], seed: int, overlap_mm: float, breath_mm: float, least_mm2: float
) -> dict[str, list[int]]:
    """Count: of each error how many were planted and found, and of ``false`` the pairs of stations and the structures doubted."""
    counts = {error: [0, 0] for error in ERRORS} | {"false": [0, 0]}
    rng = np.random.default_rng([seed, 8])
    for first, second in pairs_of(cases, overlap_mm, breath_mm, seed):
        counts["false"][0] += 1
        before = doubted(first, second, least_mm2)
        counts["false"][1] += len(before)
        whole = through_the_seam(first, second)
        for error in ERRORS:
            for label in rng.permutation(whole)[:_PER_PAIR].tolist():
                side = rng.integers(2)
                spoiled = (
                    (spoil(first, second, label, error), second)
                    if side
                    else (first, spoil(second, first, label, error))
                )
                counts[error][0] += 1
                counts[error][1] += label in doubted(*spoiled, least_mm2)
    return counts


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--first-seed", type=int, default=1, help="the threshold was chosen on seeds 101 to 103 and 10 participants"
    )
    parser.add_argument("--participants", type=int, default=30)
    parser.add_argument("--least-mm2", type=float, nargs="+", default=[LEAST_MM2])
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    cohorts = {seed: annotate(arguments.folder, seed, arguments.participants) for seed in seeds}
    print("| mm² | overlap, mm | breath, mm | deleted: found | drawn short: found | doubted without an error |")
    print("| --- | --- | --- | --- | --- | --- |")
    for least, overlap, breath in itertools.product(arguments.least_mm2, OVERLAPS_MM, (0.0, 8.0)):
        results = [run(cohort, seed, overlap, breath, least) for seed, cohort in cohorts.items()]
        sums = {key: np.sum([one[key] for one in results], axis=0).tolist() for key in results[0]}
        found = " | ".join(f"{sums[error][1]} of {sums[error][0]}" for error in ERRORS)
        print(
            f"| {least:g} | {overlap:g} | {breath:g} | {found} | {sums['false'][1]} in {sums['false'][0]} pairs |",
            flush=True,
        )


if __name__ == "__main__":
    main()
