"""What does the clean-up of drafts gain, each step on or off?

    uv run python -m benchmarks.studies.clean_up --folder DIR [--seeds 3] [--participants 6] [--network] [--padded]

Drafts of unseen phantoms, by TotalSegmentator's API with the weights that are installed (the bootstrap) and with ``--network`` also
by a short training on four other participants, are cleaned up with every step, with one step alone and without one step. Edited voxels are those that
differ from the truth, as a perfect reader would edit them. A seed is a cohort of its own. The truth of other participants stands for
the annotations that tell which structures a station has. With ``--padded`` every image gets layers without signal at its faces, as
resampled images have them. The truth of the phantoms goes through the clean-up and the audit too, and comes out as it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.cohort import STATIONS, Case
from benchmarks.studies.comparison import Summary, as_table, summarise
from benchmarks.studies.study import Study
from mrseg_label.files import write_atomically
from mrseg_label.imaging import Geometry, load_image, write_nifti
from mrseg_label.imaging.audit import audit
from mrseg_label.imaging.changes import Step
from mrseg_label.imaging.clean_up import ALL_STEPS, clean_up
from mrseg_label.metrics.scoring import score_case
from mrseg_label.segments.anatomy import anatomy_of
from mrseg_label.segments.files import read_label_map

VARIANTS: dict[str, tuple[Step, ...]] = {
    "as drafted": (),
    "all steps": ALL_STEPS,
    **{f"only {step}": (step,) for step in Step},
    **{f"without {step}": tuple(other for other in Step if other is not step) for step in Step},
}
_PADDING_MM = 30.0
_ANNOTATED = 5  # participants whose truth tells which structures a station has
Draft = Callable[[Case], NDArray[np.uint8]]


def impossible_places(study: Study, cases: Iterable[Case]) -> dict[str, set[int]]:
    """Label ids of the structures that none of the cases of a station has."""
    found = {station: set(range(1, len(study.scheme) + 1)) for station in STATIONS}
    for case in cases:
        found[case.station] -= set(np.unique(read_label_map(case.truth)[0]).tolist())
    return found


def with_padding(study: Study, case: Case) -> Case:
    """The case in a larger field of view: its image is 0 there, and its truth too."""
    folder = study.folder / f"padded_{study.cohort_seed}"
    padded = replace(case, image=folder / f"{case.name}.nii.gz", truth=folder / f"{case.name}_truth.nii.gz")
    image, geometry, _ = load_image(case.image)
    widths = [round(_PADDING_MM / spacing) for spacing in geometry.spacing_mm]
    affine = geometry.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ widths
    for array, path in ((image, padded.image), (read_label_map(case.truth)[0], padded.truth)):
        larger = np.pad(array, [(width, width) for width in widths])
        x, y, z = larger.shape
        folder.mkdir(parents=True, exist_ok=True)
        write_nifti(path, larger, Geometry((x, y, z), affine))
    return padded


def bootstrap(study: Study) -> Draft:
    """TotalSegmentator through its own API, on the image that the sequence's source makes."""
    from mrseg_label.presegmentation.sources import preparation_for
    from mrseg_label.presegmentation.totalseg import TotalSegmentatorRuntime
    from mrseg_label.presegmentation.weights import find_weights

    runtime = TotalSegmentatorRuntime(find_weights().path, study.folder / "home", "cpu")
    return lambda case: runtime.segment(case.image, preparation_for(case.sequence), study.scheme)


def network(study: Study) -> Draft:
    """A network of the profile ``tiny``, trained shortly on the truth of four participants."""
    from mrseg_label.nnunet.predict import Predictor

    cohort = study.cohort(training=4, held_out=0, sequences=("in", "opp"))
    data = study.dataset("truth", cohort.training)
    predictor = Predictor(study.train(data, "control"), "cpu", threads=1)
    return lambda case: predictor.segment(case.image)


def measure(
    study: Study, cases: Sequence[Case], draft: Draft, name: str, impossible: dict[str, set[int]]
) -> dict[str, tuple[float, float]]:
    """Mean DSC and edited voxels a case of each variant."""
    anatomy = anatomy_of(study.scheme)
    values: dict[str, list[tuple[float, float]]] = {variant: [] for variant in VARIANTS}
    for case in cases:
        path = study.folder / f"drafts_{study.cohort_seed}" / name / f"{case.name}.nii.gz"
        image, geometry, _ = load_image(case.image)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_nifti(path, draft(case), geometry)
        drafted, _ = read_label_map(path)
        truth, _ = read_label_map(case.truth)
        for variant, steps in VARIANTS.items():
            cleaned = clean_up(drafted, geometry, anatomy, image, steps, impossible[case.station]).label_map
            score = score_case(truth, cleaned, len(study.scheme)).mean
            assert score is not None
            values[variant].append((score, float(np.count_nonzero(cleaned != truth))))
    return {
        variant: (float(np.mean(one, axis=0)[0]), float(np.mean(one, axis=0)[1])) for variant, one in values.items()
    }


def check_truth(study: Study, cases: Sequence[Case], impossible: dict[str, set[int]]) -> tuple[int, int]:
    """Count the voxels that the clean-up changes in the truth, and the doubts about it."""
    anatomy = anatomy_of(study.scheme)
    changed = doubts = 0
    for case in cases:
        image, geometry, _ = load_image(case.image)
        truth = read_label_map(case.truth)[0].astype(np.uint8)
        possible = impossible[case.station] - set(np.unique(truth).tolist())
        cleaned = clean_up(truth, geometry, anatomy, image, impossible=possible)
        changed += int(np.count_nonzero(cleaned.label_map != truth))
        doubts += len(audit(truth, geometry, anatomy, cleaned.midline))
    return changed, doubts


def main() -> None:
    """Print a table for each source, and write ``DIR/clean_up.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, required=True, help="cohorts, drafts and results; what is there is reused"
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of cohorts")
    parser.add_argument("--participants", type=int, default=6, help="of each cohort, at two stations each")
    parser.add_argument("--network", action="store_true", help="also drafts of a network, which is trained first")
    parser.add_argument("--padded", action="store_true", help="images with layers of padding at their faces")
    arguments = parser.parse_args()
    drafters = {"bootstrap": bootstrap} | ({"network": network} if arguments.network else {})
    results: dict[str, dict[str, list[tuple[float, float]]]] = {
        name: {one: [] for one in VARIANTS} for name in drafters
    }
    for seed in range(1, arguments.seeds + 1):
        study = Study(arguments.folder, seed)
        cases = study.cohort(training=0, held_out=arguments.participants, sequences=("in",)).held_out
        if arguments.padded:
            cases = tuple(with_padding(study, case) for case in cases)
        impossible = impossible_places(study, study.cohort(training=_ANNOTATED, held_out=0, sequences=("in",)).training)
        changed, doubts = check_truth(study, cases, impossible)
        print(
            f"seed {seed}: {changed} voxels of the truth changed, {doubts} doubts about it", file=sys.stderr, flush=True
        )
        for name, make in drafters.items():
            kept = f"{name}_padded" if arguments.padded else name
            for variant, value in measure(study, cases, make(study), kept, impossible).items():
                results[name][variant].append(value)
    for name, by_variant in results.items():
        summaries: list[Summary] = []
        for number, label in enumerate(("mean DSC", "edited voxels")):
            control = [one[number] for one in by_variant["as drafted"]]
            summaries += [
                summarise(variant, label, [one[number] for one in values], None if variant == "as drafted" else control)
                for variant, values in by_variant.items()
            ]
        print(f"\n{name}\n{as_table(summaries)}")
    result = "clean_up_padded.json" if arguments.padded else "clean_up.json"
    write_atomically(arguments.folder / result, json.dumps(results, indent=1).encode())


if __name__ == "__main__":
    main()
