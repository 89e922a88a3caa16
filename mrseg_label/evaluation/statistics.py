"""The tests of a study: correlation with age, difference between the sexes, model versions side by side.

The participant is the unit throughout: the values of one person's images are averaged first, since they are alike. SciPy and
statsmodels do the calculations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower

from mrseg_label.evaluation.measurements import counted

SIGNIFICANT = 0.05
CONFIDENCE = 0.95
MIN_FOR_CORRELATION = 4  # of fewer there is no interval
_ROUNDING = 1e-9  # values that differ by no more are the same, and leave nothing to test
_FEMALE = frozenset({"f", "female", "w", "woman", "weiblich"})
_MALE = frozenset({"m", "male", "man", "maennlich", "männlich"})


@dataclass(frozen=True)
class Correlation:
    """Pearson's and Spearman's correlation with age; NaN with fewer than four participants or without spread."""

    participants: int
    r: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    rho: float = math.nan
    rho_p: float = math.nan


@dataclass(frozen=True)
class TwoGroups:
    """Two groups of participants and Welch's t-test of their means; NaN where a group has fewer than two.

    Attributes
    ----------
    effect : Cohen's d, with the pooled standard deviation.
    """

    first: int
    second: int
    first_mean: float = math.nan
    second_mean: float = math.nan
    first_sd: float = math.nan
    second_sd: float = math.nan
    t: float = math.nan
    p: float = math.nan
    effect: float = math.nan


@dataclass(frozen=True)
class Paired:
    """The mean difference of the same participants, second minus first, with a paired t-test and its interval."""

    participants: int
    first_mean: float = math.nan
    second_mean: float = math.nan
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    t: float = math.nan
    p: float = math.nan


def sex_of(text: str) -> str | None:
    """Return ``female`` or ``male`` for the usual spellings, None for anything else."""
    name = text.strip().casefold()
    return "female" if name in _FEMALE else "male" if name in _MALE else None


def by_participant(frame: pd.DataFrame, metric: str, structure: str | None = None) -> pd.DataFrame:
    """Average a metric over the images of each participant.

    Parameters
    ----------
    structure : of this one alone; by default the mean over the structures of each image comes first.

    Returns
    -------
    One row for each participant of a data set, with ``data_set``, ``participant``, ``sex``, ``age`` and ``value``; without those of whom nothing was
    measured. Infinite distances are left out.
    """
    rows = counted(frame)
    if structure is not None:
        rows = rows[rows["structure"] == structure]
    rows = rows[np.isfinite(rows[metric])]
    keys = ["data_set", "participant"]
    cases = rows.groupby([*keys, "case"], sort=True).agg(
        value=(metric, "mean"), sex=("sex", "first"), age=("age", "mean")
    )
    people = cases.groupby(keys, sort=True).agg(value=("value", "mean"), sex=("sex", "first"), age=("age", "mean"))
    return people.reset_index()


def correlate(ages: Sequence[float], values: Sequence[float]) -> Correlation:
    """Correlate values with ages; pairs with an unknown age are left out."""
    x, y = np.asarray(ages, dtype=float), np.asarray(values, dtype=float)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < MIN_FOR_CORRELATION or np.ptp(x) <= _ROUNDING or np.ptp(y) <= _ROUNDING:
        return Correlation(len(x))
    pearson, spearman = stats.pearsonr(x, y), stats.spearmanr(x, y)
    interval = pearson.confidence_interval(CONFIDENCE)
    return Correlation(
        len(x),
        float(pearson.statistic),
        float(interval.low),
        float(interval.high),
        float(pearson.pvalue),
        float(spearman.statistic),
        float(spearman.pvalue),
    )


def compare_groups(first: Sequence[float], second: Sequence[float]) -> TwoGroups:
    """Compare two independent groups by Welch's t-test, which does not assume equal variances."""
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    means = (float(x.mean()) if len(x) else math.nan for x in (a, b))
    deviations = tuple(float(x.std(ddof=1)) if len(x) > 1 else math.nan for x in (a, b))
    groups = TwoGroups(len(a), len(b), *means, *deviations)
    pooled = _pooled(len(a), len(b), *deviations)
    if not pooled > _ROUNDING:  # NaN too
        return groups
    test = stats.ttest_ind(a, b, equal_var=False)
    effect = float((a.mean() - b.mean()) / pooled)
    return replace(groups, t=float(test.statistic), p=float(test.pvalue), effect=effect)


def power(groups: TwoGroups, tests: int = 1) -> float:
    """Compute the power to find a difference of the size that was seen, at a level divided by the number of tests.

    Of a two-sided t-test of independent groups (statsmodels' ``TTestIndPower``). NaN where there is no test.
    """
    if math.isnan(groups.effect):
        return math.nan
    ratio = groups.second / groups.first
    return float(TTestIndPower().power(abs(groups.effect), groups.first, SIGNIFICANT / max(tests, 1), ratio=ratio))


def detectable(groups: TwoGroups, tests: int = 1, wanted: float = 0.8) -> float:
    """Compute the smallest effect (Cohen's d) that groups of this size would show with a power of 80 %."""
    if math.isnan(groups.effect):
        return math.nan
    solved = TTestIndPower().solve_power(
        None, groups.first, SIGNIFICANT / max(tests, 1), wanted, ratio=groups.second / groups.first
    )
    return float(np.squeeze(solved))


def compare_paired(first: Sequence[float], second: Sequence[float]) -> Paired:
    """Compare two values of the same participants by a paired t-test; pairs that lack a value are left out."""
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if not len(a):
        return Paired(0)
    found = Paired(len(a), float(a.mean()), float(b.mean()), float((b - a).mean()))
    if len(a) < 2 or np.ptp(b - a) <= _ROUNDING:
        return found
    test = stats.ttest_rel(b, a)
    interval = test.confidence_interval(CONFIDENCE)
    return replace(
        found, low=float(interval.low), high=float(interval.high), t=float(test.statistic), p=float(test.pvalue)
    )


def bonferroni(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for the number of tests that were made; NaN stays NaN and is no test."""
    p = np.asarray(p_values, dtype=float)
    made = np.isfinite(p)
    corrected = np.full(p.shape, np.nan)
    if made.any():
        corrected[made] = multipletests(p[made], method="bonferroni")[1]
    return [float(value) for value in corrected]


def _pooled(first: int, second: int, first_sd: float, second_sd: float) -> float:
    """Pool the standard deviations of two groups."""
    squares = (first - 1) * first_sd**2 + (second - 1) * second_sd**2
    return math.sqrt(squares / (first + second - 2)) if first + second > 2 else math.nan
