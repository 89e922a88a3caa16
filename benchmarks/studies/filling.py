"""Train where half of the readers did not annotate the muscles: what becomes of the muscles, and of the rest?

    uv run python -m benchmarks.studies.filling --folder DIR [--seeds 3]

The readers of half of the training participants removed the muscles from the list. Their voxels are then background
(``as background``, what a plain nnU-Net data set says), from a bad draft with muscles in the wrong place (``bad draft``), not
in the loss with the whole background of these cases (``background ignored``) or with the place where muscles may be
(``place ignored``, what a round does as long as no model knows the muscles well), or from the draft of the model that learned
from the other half (``filled anew``, what the next round does).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.studies.cohort import Case
from benchmarks.studies.comparison import run_study
from benchmarks.studies.study import Study, Variant
from mrseg_label.imaging import reorient
from mrseg_label.labels import LabelScheme
from mrseg_label.rounds.possible_places import Box, body_box, possible_place, relative_boxes
from mrseg_label.segments.files import read_label_map

SCHEME = LabelScheme.default()
MUSCLES = [one for one in SCHEME if any(word in one.name for word in ("muscle", "gluteus"))]
IDS = [structure.id for structure in MUSCLES]
IGNORE = len(SCHEME) + 1
SHIFT_MM = (14.0, 10.0, 0.0)


def prepare(study: Study) -> Sequence[Variant]:
    """Write a data set for each way to treat muscles that were not annotated."""
    cohort = study.cohort()
    people = sorted({case.participant for case in cohort.training})
    without = set(people[1::2])
    incomplete = [case.name for case in cohort.training if case.participant in without]
    boxes = _boxes([case for case in cohort.training if case.participant not in without])

    def as_background(case: Case, truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.where(np.isin(truth, IDS), 0, truth) if case.participant in without else truth

    def place_ignored(case: Case, truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
        labels = as_background(case, truth)
        if case.participant in without:
            _, geometry = read_label_map(case.truth)
            body = body_box(case.image)
            for label in IDS:
                if found := boxes.get((case.station, label)):
                    place = possible_place(found, geometry, body)
                    labels = np.where(place & (labels == 0), np.uint8(IGNORE), labels)
        return labels

    def bad_draft(case: Case, truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
        labels = as_background(case, truth)
        if case.participant in without:
            _, geometry = read_label_map(case.truth)
            view, grid = reorient(np.where(np.isin(truth, IDS), truth, 0), geometry)
            steps = [round(mm / spacing) for mm, spacing in zip(SHIFT_MM, grid.spacing_mm, strict=True)]
            moved = np.zeros_like(labels)
            reorient(moved, geometry)[0][...] = ndimage.shift(view, steps, order=0, prefilter=False)
            labels = np.where((labels == 0) & (moved > 0), moved, labels)
        return labels

    placed = study.dataset("place_ignored", cohort.training, place_ignored, partly_ignored=incomplete)
    first = study.train(placed, "filling_place ignored", 0)
    drafts = _drafts(first, [case for case in cohort.training if case.participant in without])

    def filled_anew(case: Case, truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
        labels = as_background(case, truth)
        if case.participant in without:
            draft = drafts[case.participant, case.station]
            labels = np.where((labels == 0) & np.isin(draft, IDS), draft, labels)
        return labels

    for name, edit in (("bad draft", bad_draft), ("filled anew", filled_anew)):
        print(f"DSC of the muscles of {name} against the truth: {_dsc(cohort.training, without, edit):.2f}", flush=True)
    return [
        Variant("as background", study.dataset("as_background", cohort.training, as_background), cohort.held_out),
        Variant("bad draft", study.dataset("bad_draft", cohort.training, bad_draft), cohort.held_out),
        Variant("place ignored", placed, cohort.held_out),
        Variant("filled anew", study.dataset("filled_anew", cohort.training, filled_anew), cohort.held_out),
        Variant(
            "background ignored",
            study.dataset("background_ignored", cohort.training, as_background, background_unknown=incomplete),
            cohort.held_out,
        ),
    ]


def _boxes(cases: Sequence[Case]) -> dict[tuple[str, int], list[Box]]:
    found: dict[tuple[str, int], list[Box]] = {}
    for case in {(case.participant, case.station): case for case in cases}.values():
        truth, geometry = read_label_map(case.truth)
        for label, box in relative_boxes(truth, geometry, body_box(case.image), IDS).items():
            found.setdefault((case.station, label), []).append(box)
    return found


def _drafts(model: Path, cases: Sequence[Case]) -> dict[tuple[str, str], NDArray[np.uint8]]:
    """Drafts of the first channel of each acquisition."""
    from mrseg_label.nnunet.predict import Predictor

    predictor = Predictor(model, "cpu", threads=1)
    primary: dict[tuple[str, str], Case] = {}
    for case in cases:
        primary.setdefault((case.participant, case.station), case)
    return {key: predictor.segment(case.image) for key, case in primary.items()}


def _dsc(cases: Sequence[Case], without: set[str], edit: object) -> float:
    values = []
    for case in cases:
        if case.participant not in without or not callable(edit):
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
