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
from pathlib import Path

import numpy as np

from benchmarks.studies.promotion_data import Scores, load_scores
from benchmarks.studies.study import Study
from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.labels import LabelScheme
from mrseg_label.rounds.gate import FALSE_POSITIVE_MARGIN_ML

_DRAWS = 60
_MARGIN = 0.05
Pair = tuple[int, int]


def promoted_share(found: Scores, pair: Pair, reference: int, participants: int, *, gate: bool) -> float:
    """In which share of the draws the second of a pair is promoted over the first.

    Parameters
    ----------
    gate : the present rule; otherwise the one before: mean DSC on the channel that readers open, and nothing else.
    """
    rng = np.random.default_rng([*pair, reference, participants])
    names = sorted(set(found.participants))
    regions = np.array([structure.region for structure in LabelScheme.default()])
    count = 0
    for _ in range(_DRAWS):
        chosen = np.isin(found.participants, rng.choice(names, participants, replace=False))
        dsc, stray = found.dsc[reference][:, chosen], found.false_positive_ml[reference][:, chosen]
        difference = dsc[pair[1]] - dsc[pair[0]]
        if not gate:
            count += bool(np.nanmean(np.nanmean(difference[:, 0], axis=-1)) > 0)
            continue
        groups = [np.nanmean(difference[..., regions == region]) for region in set(regions)]
        more = (stray[pair[1]] - stray[pair[0]]).sum(axis=-1).mean()
        better = np.nanmean(np.nanmean(difference, axis=-1)) > 0
        count += bool(better and np.nanmin(groups) >= -_MARGIN and more <= FALSE_POSITIVE_MARGIN_ML)
    return count / _DRAWS


def report(found: Scores) -> None:
    """Print the table."""
    truth = np.nanmean(found.dsc[0], axis=-1).mean(axis=(1, 2))
    trained = [k for k, name in enumerate(found.models) if name != BOOTSTRAP]
    place = {name: k for k, name in enumerate(found.models)}
    sources: dict[str, Callable[[int], int]] = {
        "current model": lambda current: current,
        "version before": lambda current: place[found.before[current]],
        "bootstrap": lambda _: place[BOOTSTRAP],
    }
    print("| labels from drafts of | rule | participants | difference | pairs | better promoted | worse promoted |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for source, drafter in sources.items():
        for gate in (False, True):
            for participants in (2, 4, 6, 10):
                shares = {
                    (i, j): promoted_share(found, (i, j), drafter(i) + 1, participants, gate=gate)
                    for i in trained
                    for j in trained
                    if _training(found.models[i]) != _training(found.models[j])
                    and (source == "current model" or drafter(i) != j)
                }
                for least in (0.0, 0.01, 0.02):
                    better = [share for (i, j), share in shares.items() if truth[j] - truth[i] > least]
                    worse = [share for (i, j), share in shares.items() if truth[i] - truth[j] > least]
                    rule = "gate" if gate else "mean alone"
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
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of structures that are in no case
        report(load_scores(Study(arguments.folder, 7)))


if __name__ == "__main__":
    main()
