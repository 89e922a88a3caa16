"""Which strategy chooses the next case best? Edited voxels until the same held-out DSC, by strategy.

    uv run python -m benchmarks.studies.next_case --folder DIR [--seeds 3]

A reader corrects two batches of 8 cases that the worklist itself assigns (:mod:`benchmarks.studies.next_case_queue`), the
demo's reader from the draft of the model at that time: TotalSegmentator's stand-in, then the model of round 1. After each
batch a model is trained on all annotated cases of participants who are not held out. The cohort is unequal, as real ones
are: 24 participants have an abdomen, 8 of them a pelvis too, and a quarter of the participants is water where the others
are in-phase. The models are scored on other participants with equally many cases of each station and sequence.

A seed draws the order of import, that of ``random``, and the first weights; all strategies have the same ones.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.cohort import Case
from benchmarks.studies.comparison import as_table, summarise
from benchmarks.studies.next_case_queue import Queue
from benchmarks.studies.study import Study
from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.presegmentation.sources import preparation_for
from mrseg_label.presegmentation.uncertainty import assess
from mrseg_label.segments.files import read_label_map
from mrseg_label.simulation.editing import correct

STRATEGIES = ("balanced", "uncertainty", "sequential", "random")  # the first is the control
ROUNDS, BATCH = 2, 8
PARTICIPANTS, WITH_PELVIS, HELD_OUT = 24, 8, 3
SEQUENCES = ("in", "water")
# Coarser than in other studies, with a patch of the same extent: a training takes about 20 s of one core.
CHANGES = {
    "epochs": 12,
    "target_spacing_mm": 10.0,
    "network": {"features_per_stage": [16, 32, 64, 128], "patch_size": [24, 24, 40]},
}
LabelMap = NDArray[np.uint8]


@dataclass(frozen=True)
class Course:
    """One strategy with one seed.

    Attributes
    ----------
    effort : edited voxels in all batches so far, at the start and after each round.
    held_out_dsc : of the model at that time: TotalSegmentator's stand-in, then that of each round.
    """

    effort: tuple[float, ...]
    held_out_dsc: tuple[float, ...]

    def effort_until(self, dsc: float) -> float:
        """Edited voxels until a held-out DSC was reached, by linear interpolation; NaN if it never was."""
        if max(self.held_out_dsc) < dsc:
            return float("nan")
        return float(np.interp(dsc, np.maximum.accumulate(self.held_out_dsc), self.effort))


def pool(study: Study) -> tuple[list[Case], Sequence[Case]]:
    """The cases that wait for the reader, and those that models are scored on."""
    both = study.cohort(WITH_PELVIS, HELD_OUT, SEQUENCES, SEQUENCES)
    abdomens = study.cohort(PARTICIPANTS, 0, SEQUENCES, SEQUENCES, ("abdomen",))
    codes = sorted({case.participant for case in abdomens.training})
    cases = dict.fromkeys([*both.training, *abdomens.training])
    return [case for case in cases if case.sequence == SEQUENCES[codes.index(case.participant) % 4 == 3]], both.held_out


class Segmenter:
    """Label maps by models, each computed once and kept in files."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._folder = study.folder / "next_case_masks"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._loaded: tuple[str, Callable[[Case], LabelMap]] | None = None

    def segment(self, model: Path | None, case: Case) -> LabelMap:
        """Segment a case by a model folder, or by TotalSegmentator."""
        name = BOOTSTRAP if model is None else model.name
        file = self._folder / f"{name}_{case.name}.npz"
        if not file.exists():
            if self._loaded is None or self._loaded[0] != name:
                self._loaded = name, self._load(model)
            np.savez_compressed(file, labels=self._loaded[1](case))
        labels: LabelMap = np.load(file)["labels"]
        return labels

    def _load(self, model: Path | None) -> Callable[[Case], LabelMap]:
        if model is not None:
            from mrseg_label.nnunet.predict import Predictor

            predictor = Predictor(model, "cpu", threads=1)
            return lambda case: predictor.segment(case.image)
        from mrseg_label.presegmentation.totalseg import TotalSegmentatorRuntime
        from mrseg_label.presegmentation.weights import find_weights

        runtime = TotalSegmentatorRuntime(find_weights(None).path, self._study.folder / "totalseg", "cpu")
        return lambda case: runtime.segment(case.image, preparation_for(case.sequence), self._study.scheme)


def follow(
    study: Study, segmenter: Segmenter, cases: Sequence[Case], strategy: str, seed: int
) -> tuple[list[Path], list[float]]:
    """Annotate and train by one strategy; returns the models, and the edited voxels of each batch."""
    scheme = study.scheme
    corrected: dict[str, LabelMap] = {}
    history = ""
    models: list[Path] = []
    effort = []
    with tempfile.TemporaryDirectory() as folder:
        queue = Queue(Path(folder) / "workspace", cases, BATCH, seed)
        for number in range(1, ROUNDS + 1):
            current = models[-1] if models else None
            if strategy == "uncertainty" and current is not None:
                before = models[-2] if len(models) > 1 else None
                pairs = {case: [segmenter.segment(m, case) for m in (current, before)] for case in queue.waiting}
                found = {case: assess(pair, (), scheme) for case, pair in pairs.items()}
                queue.store_drafts(current.name, {case: value for case, value in found.items() if value})
            batch = [queue.annotate_next(strategy) for _ in range(BATCH)]
            # Strategies that choose the same cases share their models.
            history = hashlib.sha256("|".join([history, *(case.name for case in batch)]).encode()).hexdigest()[:8]
            edited = 0
            for case in batch:
                draft = segmenter.segment(current, case)
                corrected[case.name] = _correct(draft, case, len(scheme))
                edited += int(np.count_nonzero(corrected[case.name] != draft))
            effort.append(float(edited))
            annotated = [case for case in cases if case.name in corrected and not queue.is_held_out(case)]
            name = f"next_{history}"
            data = study.dataset(name, annotated, lambda case, _: corrected[case.name])
            start = {"warm_start": models[-1]} if models else {}
            models.append(study.train(data, name, seed, CHANGES, start))
            queue.finish_round(number, models[-1].name)
        queue.close()
    return models, effort


def _correct(draft: LabelMap, case: Case, structures: int) -> LabelMap:
    truth, geometry = read_label_map(case.truth)
    rng = np.random.default_rng(zlib.crc32(f"{case.participant}/{case.station}".encode()))
    spacing = tuple(reversed(geometry.spacing_mm))
    ours = np.ascontiguousarray(draft.T), np.ascontiguousarray(truth.T.astype(np.uint8))
    return np.ascontiguousarray(correct(*ours, spacing, structures, rng).labels.T)


def main(arguments: Sequence[str] | None = None) -> None:
    """Follow every strategy with every seed, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="cohort, models and scores; what is there is reused")
    parser.add_argument("--seeds", type=int, default=3)
    parsed = parser.parse_args(arguments)
    study = Study(parsed.folder, 5)
    cases, held_out = pool(study)
    segmenter = Segmenter(study)
    untrained = float(np.mean([_dsc(segmenter.segment(None, case), case, len(study.scheme)) for case in held_out]))
    courses: dict[str, list[Course]] = {strategy: [] for strategy in STRATEGIES}
    for seed in range(parsed.seeds):
        for strategy in STRATEGIES:
            models, effort = follow(study, segmenter, cases, strategy, seed)
            scores = [
                float(np.mean([np.mean(list(scored.dsc.values())) for scored in study.score(model, held_out)]))
                for model in models
            ]
            course = Course((0.0, *np.cumsum(effort).tolist()), (untrained, *scores))
            courses[strategy].append(course)
            print(f"seed {seed}, {strategy}: {course}", flush=True)
    print(_report(courses))


def _dsc(prediction: LabelMap, case: Case, structures: int) -> float:
    from mrseg_label.metrics.scoring import score_case

    mean = score_case(read_label_map(case.truth)[0], prediction, structures).mean
    assert mean is not None
    return mean


def _report(courses: dict[str, list[Course]]) -> str:
    """Every figure with its difference to the control; the DSC to reach is what all reached with that seed."""
    per_seed = list(zip(*courses.values(), strict=True))
    reached = [min(course.held_out_dsc[-1] for course in of_seed) for of_seed in per_seed]
    figures: dict[str, Callable[[int, Course], float]] = {
        "edited voxels to the same DSC": lambda seed, course: course.effort_until(reached[seed]),
        "edited voxels, batch 1": lambda _, course: course.effort[1],
        "edited voxels, batch 2": lambda _, course: course.effort[2] - course.effort[1],
        "held-out DSC, round 1": lambda _, course: course.held_out_dsc[1],
        "held-out DSC, round 2": lambda _, course: course.held_out_dsc[2],
    }
    summaries = []
    for label, figure in figures.items():
        values = {name: [figure(seed, course) for seed, course in enumerate(own)] for name, own in courses.items()}
        control = values[STRATEGIES[0]]
        summaries += [
            summarise(name, label, own, None if name == STRATEGIES[0] else control) for name, own in values.items()
        ]
    return f"DSC to reach, by seed: {', '.join(f'{value:.3f}' for value in reached)}\n\n{as_table(summaries)}"


if __name__ == "__main__":
    main()
