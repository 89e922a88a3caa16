"""Train where half of the readers did not annotate the muscles: what becomes of the muscles, and of the rest?

    uv run python -m benchmarks.studies.filling --folder DIR [--seeds 3]

The readers of half of the training participants removed the muscles from the list. Their voxels are then background
(``as background``, what a plain nnU-Net data set says), from the draft that was corrected, with muscles in the wrong place
(``bad draft``), from that of a model that knows them well (``good draft``), not in the loss with the place where muscles may
be (``place ignored``), or with the whole background of these cases (``background ignored``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.studies.cohort import Case
from benchmarks.studies.comparison import run_study
from benchmarks.studies.study import LabelEdit, Study, Variant
from mrseg_label.imaging import reorient
from mrseg_label.labels import LabelScheme
from mrseg_label.rounds.possible_places import body_box, occupancies, possible_place
from mrseg_label.segments.files import read_label_map

SCHEME = LabelScheme.default()
MUSCLES = [one for one in SCHEME if any(word in one.name for word in ("muscle", "gluteus"))]
IDS = [structure.id for structure in MUSCLES]
IGNORE = len(SCHEME) + 1
Occupied = Mapping[tuple[str, int], Sequence[NDArray[np.bool_]]]
"""By station and label id, one grid for each case."""
SHIFT_MM = (14.0, 10.0, 0.0)
SHIFTS = {"bad draft": 1.0, "good draft": 0.3}


def prepare(study: Study) -> Sequence[Variant]:
    """Write a data set for each way to treat muscles that were not annotated."""
    cohort = study.cohort()
    people = sorted({case.participant for case in cohort.training})
    without = set(people[1::2])
    incomplete = [case.name for case in cohort.training if case.participant in without]
    occupied = occupied_by_muscles([case for case in cohort.training if case.participant not in without])

    def as_background(case: Case, truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.where(np.isin(truth, IDS), 0, truth) if case.participant in without else truth

    def place_ignored(case: Case, truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
        labels = as_background(case, truth)
        return ignore_places(case, labels, occupied) if case.participant in without else labels

    drafts = {name: _moved_muscles(without, as_background, share) for name, share in SHIFTS.items()}
    for name, edit in drafts.items():
        print(
            f"DSC of the muscles of the {name} against the truth: {_dsc(cohort.training, without, edit):.2f}",
            flush=True,
        )
    held_out = cohort.held_out
    placed = study.dataset("place_near", cohort.training, place_ignored, partly_ignored=incomplete)
    whole = study.dataset("background_ignored", cohort.training, as_background, background_unknown=incomplete)
    return [
        Variant("as background", study.dataset("as_background", cohort.training, as_background), held_out),
        *(
            Variant(name, study.dataset(name.replace(" ", "_"), cohort.training, drafts[name]), held_out)
            for name in drafts
        ),
        Variant("place ignored", placed, held_out),
        Variant("background ignored", whole, held_out),
    ]


def _moved_muscles(without: set[str], incomplete: LabelEdit, share: float) -> LabelEdit:
    """A draft whose muscles lie a share of ``SHIFT_MM`` beside the true ones, for those who did not annotate them."""

    def edit(case: Case, truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
        labels = incomplete(case, truth)
        if case.participant in without:
            _, geometry = read_label_map(case.truth)
            view, grid = reorient(np.where(np.isin(truth, IDS), truth, 0), geometry)
            steps = [round(share * mm / spacing) for mm, spacing in zip(SHIFT_MM, grid.spacing_mm, strict=True)]
            moved = np.zeros_like(labels)
            reorient(moved, geometry)[0][...] = ndimage.shift(view, steps, order=0, prefilter=False)
            labels = np.where((labels == 0) & (moved > 0), moved, labels)
        return labels

    return edit


def occupied_by_muscles(cases: Sequence[Case]) -> Occupied:
    """Where the muscles lie in these cases."""
    found: dict[tuple[str, int], list[NDArray[np.bool_]]] = {}
    for case in {(case.participant, case.station): case for case in cases}.values():
        truth, geometry = read_label_map(case.truth)
        for label, grid in occupancies(truth, geometry, body_box(case.image), IDS).items():
            found.setdefault((case.station, label), []).append(grid)
    return found


def ignore_places(case: Case, labels: NDArray[np.uint8], occupied: Occupied) -> NDArray[np.uint8]:
    """Take the background where muscles may lie out of the loss."""
    _, geometry = read_label_map(case.truth)
    body = body_box(case.image)
    for label in IDS:
        if found := occupied.get((case.station, label)):
            place = possible_place(found, geometry, body)
            labels = np.where(place & (labels == 0), np.uint8(IGNORE), labels)
    return labels


def _dsc(cases: Sequence[Case], without: set[str], edit: LabelEdit) -> float:
    values = []
    for case in cases:
        if case.participant not in without:
            continue
        truth, _ = read_label_map(case.truth)
        labels = edit(case, truth.copy())
        for label in IDS:
            inside = truth == label
            if inside.any():
                both = np.count_nonzero(inside & (labels == label))
                values.append(2 * both / (np.count_nonzero(inside) + np.count_nonzero(labels == label)))
    return float(np.mean(values))


if __name__ == "__main__":
    run_study("filling", __doc__, prepare, groups={"muscles": [one.name for one in MUSCLES]})
