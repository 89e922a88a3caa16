"""Compare the variants of a study: means, spread over seeds, and the paired difference to the control."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.studies.cohort import Case
from benchmarks.studies.study import Scored, Study, Variant
from mrseg_label.files import write_atomically
from mrseg_label.metrics.overlap import joint_histogram
from mrseg_label.segments.files import read_label_map

SMALL_SHARE = 1 / 3
_CONFIDENCE = 0.95
Measure = Callable[[Scored], float]


@dataclass(frozen=True)
class Summary:
    """One figure of one variant.

    Attributes
    ----------
    values : one for each seed.
    difference, low, high : mean difference to the control with the same seed, and its 95 % interval by Student's t over
        the seeds; None for the control, and the interval also with a single seed.
    """

    variant: str
    measure: str
    values: tuple[float, ...]
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.values))

    @property
    def sd(self) -> float:
        """Sample standard deviation over the seeds; NaN with a single one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else float("nan")


def summarise(variant: str, measure: str, values: Sequence[float], control: Sequence[float] | None) -> Summary:
    """Summarise the values of a variant, one for each seed, and pair them with those of the control."""
    if control is None:
        return Summary(variant, measure, tuple(values))
    differences = np.subtract(values, control)
    mean = float(differences.mean())
    if len(differences) < 2:
        return Summary(variant, measure, tuple(values), mean)
    half = float(stats.t.ppf((1 + _CONFIDENCE) / 2, len(differences) - 1) * stats.sem(differences))
    return Summary(variant, measure, tuple(values), mean, mean - half, mean + half)


def small_structures(cases: Sequence[Case], structures: Sequence[str]) -> frozenset[str]:
    """Name the third of the structures with the fewest voxels in the truth of the cases where they are present."""
    sizes = np.zeros((len(cases), len(structures)))
    for row, case in enumerate(cases):
        truth, _ = read_label_map(case.truth)
        sizes[row] = joint_histogram(truth, truth, len(structures)).diagonal()[1:]
    present = sizes > 0
    mean = sizes.sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    order = [int(k) for k in np.argsort(mean) if present[:, k].any()]
    return frozenset(structures[k] for k in order[: round(SMALL_SHARE * len(order))])


def measures(small: frozenset[str]) -> dict[str, Measure]:
    """The figures of a study; each is averaged over the cases."""
    return {
        "mean DSC": lambda one: float(np.mean(list(one.dsc.values()))),
        "DSC, small third": lambda one: float(
            np.mean([value for name, value in one.dsc.items() if name in small] or [np.nan])
        ),
        "wrong voxels": lambda one: float(one.wrong_voxels),
        "false positives, ml": lambda one: one.false_positive_ml,
    }


def group_measures(groups: Mapping[str, Collection[str]]) -> dict[str, Measure]:
    """The mean DSC of the structures of each group, and of those outside of it."""

    def mean_of(names: Collection[str], inside: bool) -> Measure:
        return lambda one: float(np.mean([v for name, v in one.dsc.items() if (name in names) == inside] or [np.nan]))

    figures: dict[str, Measure] = {}
    for label, names in groups.items():
        figures |= {f"DSC, {label}": mean_of(names, True), f"DSC, without {label}": mean_of(names, False)}
    return figures


def run_study(
    name: str,
    description: str | None,
    prepare: Callable[[Study], Sequence[Variant]],
    arguments: Sequence[str] | None = None,
    groups: Mapping[str, Collection[str]] | None = None,
) -> None:
    """Parse the command line, train and score every variant with every seed, print the table and write the JSON.

    Parameters
    ----------
    groups : structures by a name, whose mean DSC is a figure of its own, together with that of all others.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, required=True, help="cohort, models and results; what is there is reused"
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of trainings of each variant")
    parser.add_argument("--cohort-seed", type=int, default=1)
    parser.add_argument("--variants", help="only these, separated by commas; the control is always trained")
    parsed = parser.parse_args(arguments)
    study = Study(parsed.folder, parsed.cohort_seed)
    variants = list(prepare(study))
    if parsed.variants:
        wanted = {one.strip() for one in parsed.variants.split(",")}
        if unknown := wanted - {variant.name for variant in variants}:
            raise SystemExit(f"unknown variants {sorted(unknown)}; there are {[variant.name for variant in variants]}")
        variants = [variants[0]] + [variant for variant in variants[1:] if variant.name in wanted]
    results: dict[str, list[list[Scored]]] = {variant.name: [] for variant in variants}
    for seed in range(parsed.seeds):
        for variant in variants:
            model = study.train(variant.dataset, variant.name, seed, variant.changes, variant.run)
            results[variant.name].append(study.score(model, variant.cases))
            print(
                f"seed {seed}, {variant.name}: {_mean_dsc(results[variant.name][-1]):.3f}", file=sys.stderr, flush=True
            )
    small = small_structures(variants[0].cases, study.scheme.names)
    summaries = compare(results, measures(small) | group_measures(groups or {}))
    print(as_table(summaries))
    document = {
        "study": name,
        "cohort_seed": parsed.cohort_seed,
        "small_structures": sorted(small),
        "variants": [{**asdict(variant), "cases": [case.name for case in variant.cases]} for variant in variants],
        "summaries": [asdict(summary) for summary in summaries],
        "scores": {one: [[asdict(scored) for scored in run] for run in runs] for one, runs in results.items()},
    }
    write_atomically(parsed.folder / f"{name}.json", json.dumps(document, indent=1, default=str).encode())


def compare(results: Mapping[str, Sequence[Sequence[Scored]]], figures: Mapping[str, Measure]) -> list[Summary]:
    """Summarise every figure of every variant; the first variant is the control.

    Parameters
    ----------
    results : by variant, for each seed the scores of the cases.
    """
    summaries = []
    control_name = next(iter(results))
    for label, measure in figures.items():
        by_variant = {
            variant: [float(np.nanmean([measure(scored) for scored in run])) for run in runs]
            for variant, runs in results.items()
        }
        summaries += [
            summarise(variant, label, values, None if variant == control_name else by_variant[control_name])
            for variant, values in by_variant.items()
        ]
    return summaries


def as_table(summaries: Sequence[Summary]) -> str:
    """Write the summaries as a table in Markdown."""
    lines = [
        "| variant | figure | mean | SD over seeds | difference to control | 95 % interval |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in summaries:
        digits = 3 if abs(one.mean) < 10 else 0
        sign = f"+.{digits}f"
        difference = "" if one.difference is None else f"{one.difference:{sign}}"
        interval = "" if one.low is None else f"{one.low:{sign}} to {one.high:{sign}}"
        lines.append(
            f"| {one.variant} | {one.measure} | {one.mean:.{digits}f} | {one.sd:.{digits}f} | {difference} | {interval} |"
        )
    return "\n".join(lines)


def _mean_dsc(scores: Sequence[Scored]) -> float:
    return float(np.mean([np.mean(list(scored.dsc.values())) for scored in scores]))
