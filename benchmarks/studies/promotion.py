"""How often does a rule of promotion promote a better model, and a worse one?

    uv run python -m benchmarks.studies.promotion --folder DIR

Every ordered pair of trained models that are not of one training is a current model and a new one; "better" is a higher
mean DSC against the phantom's truth over all cases and channels. The rule sees only the labels of some participants, drawn
at random. Three sources of the labels are compared: corrected from drafts of the current model (as before), of the version
before it (what remains when labels drafted by one of the two are left out), and of the bootstrap.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.studies.promotion_data import Scores, load_scores
from benchmarks.studies.study import Study
from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.config import Settings
from mrseg_label.labels import LabelScheme
from mrseg_label.registry.draft_advantage import SHARE_PER_ROUND, DraftAdvantage
from mrseg_label.rounds.gate import FALSE_POSITIVE_MARGIN_ML

_DRAWS = 60
_MARGIN = 0.05
MEAN_ALONE, WITHOUT_CORRECTION, GATE = "mean alone, one channel", "gate, drafts not corrected for", "gate"
RULES = (MEAN_ALONE, WITHOUT_CORRECTION, GATE)
Pair = tuple[int, int]


@dataclass(frozen=True)
class Draw:
    """What a rule sees of a pair of models on the labels of some participants.

    Attributes
    ----------
    one_channel, mean : difference of the mean DSC on the channel that readers open, and on all.
    worst_group : that of the group of structures where it is lowest.
    false_positive_ml : difference of the volume of false positives in a case.
    """

    one_channel: float
    mean: float
    worst_group: float
    false_positive_ml: float

    def promoted(self, advantage: float) -> bool:
        """Whether the gate promotes the second model (:mod:`mrseg_label.rounds.gate`)."""
        return (
            self.mean + advantage > 0
            and self.worst_group + advantage >= -_MARGIN
            and self.false_positive_ml <= FALSE_POSITIVE_MARGIN_ML
        )


def draws(found: Scores, pair: Pair, reference: int, participants: int) -> list[Draw]:
    """Draw participants at random, and compare a pair of models on their labels."""
    rng = np.random.default_rng([*pair, reference, participants])
    names = sorted(set(found.participants))
    regions = np.array([structure.region for structure in LabelScheme.default()])
    seen = []
    for _ in range(_DRAWS):
        chosen = np.isin(found.participants, rng.choice(names, participants, replace=False))
        dsc, stray = found.dsc[reference][:, chosen], found.false_positive_ml[reference][:, chosen]
        difference = dsc[pair[1]] - dsc[pair[0]]
        groups = [np.nanmean(difference[..., regions == region]) for region in sorted(set(regions))]
        seen.append(
            Draw(
                float(np.nanmean(np.nanmean(difference[:, 0], axis=-1))),
                float(np.nanmean(np.nanmean(difference, axis=-1))),
                float(np.nanmin(groups)),
                float((stray[pair[1]] - stray[pair[0]]).sum(axis=-1).mean()),
            )
        )
    return seen


def promoted_shares(found: Scores, pair: Pair, drafter: int, participants: int) -> dict[str, float]:
    """In which share of the draws each rule promotes the second of a pair over the first.

    Parameters
    ----------
    drafter : the model whose drafts the labels were corrected from.
    """
    seen = draws(found, pair, drafter + 1, participants)
    first, second = (draft_advantage(found).of(found.models[k], found.models[drafter]) for k in pair)
    return {
        MEAN_ALONE: float(np.mean([one.one_channel > 0 for one in seen])),
        WITHOUT_CORRECTION: float(np.mean([one.promoted(0.0) for one in seen])),
        GATE: float(np.mean([one.promoted(first - second) for one in seen])),
    }


def draft_advantage(found: Scores) -> DraftAdvantage:
    """The product's correction, with the lineages of the study's models."""
    before = dict(zip(found.models, found.before, strict=True))
    lineages: dict[str, tuple[str, ...]] = {}
    for model in found.models:
        line = [model]
        while before[line[-1]] != BOOTSTRAP:
            line.append(before[line[-1]])
        lineages[model] = tuple(line)
    return DraftAdvantage(Settings().promotion_draft_advantage, lineages)


def measured_advantages(found: Scores) -> dict[str, list[float]]:
    """By how much labels favour a model over those that are not of its lineage, by rounds since it made the drafts."""
    truth = np.nanmean(found.dsc[0], axis=-1).mean(axis=(1, 2))
    unit = DraftAdvantage(1.0, draft_advantage(found).lineages)
    rounds = {SHARE_PER_ROUND**number: str(number) for number in range(9)}
    measured: dict[str, list[float]] = {}
    for position, drafter in enumerate(found.models):
        bias = np.nanmean(found.dsc[position + 1], axis=-1).mean(axis=(1, 2)) - truth
        chain = drafter.partition("_")[0]
        others = [k for k, name in enumerate(found.models) if name != BOOTSTRAP and not name.startswith(f"{chain}_")]
        for k, name in enumerate(found.models):
            share = unit.of(name, drafter)
            if BOOTSTRAP not in (name, drafter) and share:
                measured.setdefault(rounds[share], []).append(float(bias[k] - bias[others].mean()))
    return measured


def report(found: Scores) -> None:
    """Print the tables."""
    truth = np.nanmean(found.dsc[0], axis=-1).mean(axis=(1, 2))
    trained = [k for k, name in enumerate(found.models) if name != BOOTSTRAP]
    place = {name: k for k, name in enumerate(found.models)}
    print("mean DSC against the truth:", {found.models[k]: round(float(truth[k]), 3) for k in trained})
    print("| rounds since the draft | labels | advantage, mean | lowest | highest |")
    print("| --- | --- | --- | --- | --- |")
    for number, values in sorted(measured_advantages(found).items()):
        print(f"| {number} | {len(values)} | {np.mean(values):.3f} | {min(values):.3f} | {max(values):.3f} |")
    sources: dict[str, Callable[[int], int]] = {
        "current model": lambda current: current,
        "version before": lambda current: place[found.before[current]],
        "bootstrap": lambda _: place[BOOTSTRAP],
    }
    print("| labels from drafts of | rule | participants | difference | pairs | better promoted | worse promoted |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for source, drafter in sources.items():
        for participants in (2, 4, 6, 10):
            shares = {
                (i, j): promoted_shares(found, (i, j), drafter(i), participants)
                for i in trained
                for j in trained
                if _training(found.models[i]) != _training(found.models[j])
                and (source == "current model" or drafter(i) != j)
            }
            for rule in RULES:
                for least in (0.0, 0.01, 0.02):
                    better = [share[rule] for (i, j), share in shares.items() if truth[j] - truth[i] > least]
                    worse = [share[rule] for (i, j), share in shares.items() if truth[i] - truth[j] > least]
                    print(
                        f"| {source} | {rule} | {participants} | > {least:.2f} | {len(better)} + {len(worse)} | "
                        f"{np.mean(better):.3f} | {np.mean(worse):.3f} |"
                    )


def _training(name: str) -> str:
    return name.removesuffix("_early")


def main() -> None:
    """Train, score and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="cohort, models and scores; what is there is reused")
    parser.add_argument("--cohort-seed", type=int, default=7)
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of structures that are in no case
        report(load_scores(Study(arguments.folder, arguments.cohort_seed)))


if __name__ == "__main__":
    main()
