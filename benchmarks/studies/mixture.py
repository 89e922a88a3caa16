"""How much better is a draft that is mixed from several sources than the best single source?

    uv run python -m benchmarks.studies.mixture --folder DIR [--seeds 3]

For each seed a cohort of the phantom, two rounds of training and TotalSegmentator
(:mod:`benchmarks.studies.mixture_data`). The demo's simulated reader corrects a draft of each case of some held-out participants:
of the first half of them TotalSegmentator's, as in the first batch, of the others that of the first round. From these annotations the
sources are chosen by the rule of the product, and the drafts of six other participants are mixed and corrected. DSC is against the truth,
and "edited" what the reader changes.

A version that was taught every second structure is that of the first round without the others, as a group's own model of 20 of 40
structures. ``chosen afterwards`` takes for every structure the source that is best on the tested cases themselves: no rule can do better with these
sources. ``advantage ignored`` chooses as the product does, as if no label favoured the source whose draft it began as.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.studies.cohort import Case
from benchmarks.studies.mixture_data import ROUND_1, ROUND_2, SOURCES, segment_all
from benchmarks.studies.study import Study
from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.config import Settings
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.metrics.scoring import score_case
from mrseg_label.presegmentation.evidence import Chosen, MeasuredCase, choose, estimate_advantage
from mrseg_label.presegmentation.measuring import work_of
from mrseg_label.presegmentation.mixture import Segmented, mix
from mrseg_label.segments.files import read_label_map
from mrseg_label.simulation.editing import correct

TESTED = 6  # participants; the annotations are of the others
ANNOTATED = 6  # participants whose annotations the choice rests on
HALF = "r1, taught every second structure"
OWN = {ROUND_1: (ROUND_1, BOOTSTRAP), ROUND_2: (ROUND_2, BOOTSTRAP, ROUND_1), HALF: (HALF, BOOTSTRAP)}
"""By the version that makes the drafts, the sources that they are mixed from; TotalSegmentator and the version before."""
Masks = Mapping[str, Sequence[NDArray[np.uint8]]]
Choose = Callable[[str], Mapping[str, Chosen]]


@dataclass(frozen=True)
class Tested:
    """One draft: its mean DSC, the voxels that the reader changed, and those that differ from the truth."""

    dsc: float
    edited: int
    wrong: int


class Cohort:
    """The cases of one seed with all masks of them, and their correction from any draft."""

    def __init__(self, study: Study) -> None:
        self.scheme = study.scheme
        self.cases, masks = segment_all(study)
        taught = np.array([number * (number % 2) for number in range(len(self.scheme) + 1)], dtype=np.uint8)
        self.taught = frozenset(one.name for one in self.scheme if one.id % 2)
        self.masks = masks | {HALF: [taught[mask] for mask in masks[ROUND_1]]}
        self.people = sorted({case.participant for case in self.cases})
        found = [read_label_map(case.truth) for case in self.cases]
        self.truths, self.geometries = [one for one, _ in found], [geometry for _, geometry in found]

    def indices(self, people: Sequence[str]) -> list[int]:
        """Positions of the cases of some participants."""
        return [position for position, case in enumerate(self.cases) if case.participant in people]

    def corrected(self, index: int, draft: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the reader makes of a draft of a case."""
        return _correct(draft, self.truths[index], self.geometries[index], self.cases[index], len(self.scheme))

    def evidence(self, people: Sequence[str]) -> list[MeasuredCase]:
        """The annotations of some participants, with what every source would have needed."""
        found = []
        for position, person in enumerate(people):
            drafter = BOOTSTRAP if position < len(people) / 2 else ROUND_1
            for index in self.indices([person]):
                case = self.cases[index]
                label = self.corrected(index, self.masks[drafter][index])
                ml = self.geometries[index].voxel_ml
                found.append(
                    MeasuredCase(
                        participant=person,
                        sequence=case.sequence,
                        station=case.station,
                        drafted_by=dict.fromkeys(self.scheme.names, drafter),
                        work={
                            name: work_of(self.masks[name][index], label, self.scheme, ml) for name in (*SOURCES, HALF)
                        },
                    )
                )
        return found

    def truly_best(self, people: Sequence[str], sources: Sequence[str]) -> Choose:
        """By station, the source of each structure that needs least work on these participants' truth."""

        def of(station: str) -> Mapping[str, Chosen]:
            edited = {source: dict.fromkeys(self.scheme.names, 0.0) for source in sources}
            for index in self.indices(people):
                if self.cases[index].station == station:
                    for source in sources:
                        for name, work in work_of(
                            self.masks[source][index], self.truths[index].astype(np.uint8), self.scheme, 1.0
                        ).items():
                            edited[source][name] += work.edited
            return {name: Chosen(min(sources, key=lambda source: edited[source][name])) for name in self.scheme.names}

        return of

    def test(self, people: Sequence[str], sources: Sequence[str], chosen: Choose) -> list[Tested]:
        """Mix a draft of every case of some participants, and let the reader correct it."""
        results = []
        for index in self.indices(people):
            segmented = [Segmented(self.masks[name][index], "", name, name) for name in sources]
            draft = mix(segmented, chosen(self.cases[index].station), self.scheme).label_map
            truth = self.truths[index]
            dsc = score_case(truth, draft, len(self.scheme)).mean
            edited = int(np.count_nonzero(self.corrected(index, draft) != draft))
            results.append(Tested(float(dsc or 0.0), edited, int(np.count_nonzero(truth != draft))))
        return results


def variants(cohort: Cohort, own: str, people: Sequence[str]) -> dict[str, list[Tested]]:
    """Test each single source and each mixture on the same participants."""
    sources = OWN[own]
    knows = dict.fromkeys(sources, frozenset(cohort.scheme.names)) | ({HALF: cohort.taught} if own == HALF else {})
    results = {f"{name} alone": cohort.test(people, [name], lambda _: {}) for name in sources}
    cases = cohort.evidence([one for one in cohort.people if one not in people][:ANNOTATED])
    estimated = estimate_advantage(cases, Settings().promotion_draft_advantage)
    print(f"  advantage of a draft, estimated: {estimated:.3f}", flush=True)
    for name, advantage in (("mixture", estimated), ("mixture, advantage ignored", 0.0)):

        def chosen(station: str, advantage: float = advantage) -> Mapping[str, Chosen]:
            return choose(cases, sources, knows, cohort.scheme.names, cohort.cases[0].sequence, station, advantage)

        results[name] = cohort.test(people, sources, chosen)
        others = {one: chosen("abdomen")[one].source for one in cohort.scheme.names}
        print(f"  {name}: {sum(source != own for source in others.values())} structures of others", flush=True)
    results["chosen afterwards"] = cohort.test(people, sources, cohort.truly_best(people, sources))
    return results


def main() -> None:
    """Run the study and print one table for each version and number of annotated participants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="cohort, models and masks; what is there is reused")
    parser.add_argument("--seeds", type=int, default=3, help="number of cohorts, each with its own trainings")
    options = parser.parse_args()
    found: dict[str, list[dict[str, list[Tested]]]] = {}
    for seed in range(1, options.seeds + 1):
        cohort = Cohort(Study(options.folder, seed))
        tested = cohort.people[-TESTED:]
        for own in OWN:
            print(f"seed {seed}, drafts by {own}", flush=True)
            found.setdefault(own, []).append(variants(cohort, own, tested))
    for own, seeds in found.items():
        print(f"\ndrafts by {own}; the choice rests on {ANNOTATED} participants of each of {len(seeds)} cohorts\n")
        print(
            "| draft | mean DSC | edited voxels per case | difference to the own version alone (95 % interval over cases) |"
        )
        print("| --- | --- | --- | --- |")
        control = _of_all(seeds, f"{own} alone")
        for name in seeds[0]:
            cases = _of_all(seeds, name)
            edited = np.array([one.edited for one in cases], dtype=float)
            dsc = float(np.mean([one.dsc for one in cases]))
            change = _interval(edited - np.array([one.edited for one in control], dtype=float))
            print(f"| {name} | {dsc:.3f} | {edited.mean():,.0f} | {'' if cases is control else change} |")
    print(f"\nwithout an estimate the advantage is {Settings().promotion_draft_advantage}")


def _of_all(seeds: Sequence[Mapping[str, list[Tested]]], name: str) -> list[Tested]:
    return [one for results in seeds for one in results[name]]


def _interval(differences: NDArray[np.float64]) -> str:
    half = float(stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences))
    mean = float(differences.mean())
    return f"{mean:+,.0f} ({mean - half:+,.0f} to {mean + half:+,.0f})"


def _correct(
    draft: NDArray[np.uint8], truth: NDArray[np.integer[Any]], geometry: Geometry, case: Case, structures: int
) -> NDArray[np.uint8]:
    rng = np.random.default_rng(zlib.crc32(f"{case.participant}/{case.station}".encode()))
    spacing = tuple(reversed(geometry.spacing_mm))
    turned = np.ascontiguousarray(draft.T), np.ascontiguousarray(truth.T.astype(np.uint8))
    return np.ascontiguousarray(correct(*turned, spacing, structures, rng).labels.T)


if __name__ == "__main__":
    main()
