"""Confidence intervals of means, by resampling participants: cases of one person are alike, so the person is the unit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000
# Fewer participants give intervals that are far too often wrong (benchmarks/studies/intervals.py).
MIN_PARTICIPANTS = 5
_SEED = 20240510
_MOST_KEPT = 500  # participants whose draws are kept for the next mean over as many
INTERVAL = (
    f"{100 * CONFIDENCE:.0f} % interval from {RESAMPLES:,} bootstrap resamples of the participants (percentiles, expanded for "
    f"few participants), from {MIN_PARTICIPANTS} participants on"
)


@dataclass(frozen=True)
class Mean:
    """A mean over cases with its confidence interval.

    Attributes
    ----------
    cases : number of values.
    participants : of how many people they are.
    mean : None if there is no value.
    low, high : interval of confidence CONFIDENCE; None with fewer than MIN_PARTICIPANTS participants.
    """

    cases: int = 0
    participants: int = 0
    mean: float | None = None
    low: float | None = None
    high: float | None = None


def mean_of(values: Iterable[tuple[str, float]]) -> Mean:
    """Compute the mean of values, each with its participant, and the interval of the mean.

    The same values give the same interval, in whichever order they come.

    References
    ----------
    Field CA, Welsh AH. Bootstrapping clustered data. J R Stat Soc B 2007;69:369-390.
    https://doi.org/10.1111/j.1467-9868.2007.00593.x
    """
    totals: dict[str, list[float]] = {}
    for participant, value in values:
        found = totals.setdefault(participant, [0.0, 0.0])
        found[0] += value
        found[1] += 1
    return mean_of_sums({name: (total, int(count)) for name, (total, count) in totals.items()})


def mean_of_sums(sums: dict[str, tuple[float, int]]) -> Mean:
    """Compute :func:`mean_of` from each participant's sum of values and number of values."""
    kept = sorted((name, total, count) for name, (total, count) in sums.items() if count)
    if not kept:
        return Mean()
    totals = np.array([total for _, total, _ in kept])
    counts = np.array([float(count) for _, _, count in kept])
    return _mean(totals, counts)


def _mean(totals: NDArray[np.float64], counts: NDArray[np.float64]) -> Mean:
    cases, mean = int(counts.sum()), float(totals.sum() / counts.sum())
    if len(totals) < MIN_PARTICIPANTS:
        return Mean(cases, len(totals), mean)
    low, high = interval(resampled_means(totals, counts), len(totals))
    return Mean(cases, len(totals), mean, low, high)


def mean_of_arrays(participants: NDArray[np.intp], values: NDArray[np.float64]) -> Mean:
    """Compute :func:`mean_of` from (n,) numbers that stand for participants and (n,) values, of which NaN is left out."""
    known = np.isfinite(values)
    _, places = np.unique(participants[known], return_inverse=True)
    if not len(places):
        return Mean()
    totals: NDArray[np.float64] = np.bincount(places, weights=values[known]).astype(np.float64)
    return _mean(totals, np.bincount(places).astype(np.float64))


def resampled_means(totals: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the mean over cases of RESAMPLES resamples of the participants.

    Parameters
    ----------
    totals, counts : (P,) or (P, K), of each participant the sum of their values and how many there are. The K columns are resampled
        together, as for several models on the same cases.

    Returns
    -------
    (RESAMPLES,) or (RESAMPLES, K) float64; NaN where a resample has no case of a column.
    """
    n = len(totals)
    draws = _draws(n) if n <= _MOST_KEPT else _draws.__wrapped__(n)
    # In one product, since reading the draws takes the time.
    sums, drawn = np.moveaxis(np.tensordot(draws, np.stack((totals, counts), axis=1), 1), 1, 0)
    means: NDArray[np.float64] = np.divide(sums, drawn, out=np.full(sums.shape, np.nan), where=drawn > 0)
    return means


def interval(resampled: NDArray[np.float64], participants: int) -> tuple[float, float]:
    """Compute the interval of confidence CONFIDENCE from resampled means.

    The percentiles are those of a Student's t with as many participants: plain percentiles are too narrow for few of them, by a
    factor that is known.

    References
    ----------
    Hesterberg TC. What teachers should know about the bootstrap: resampling in the undergraduate statistics curriculum.
    Am Stat 2015;69:371-386, section 4.1. https://doi.org/10.1080/00031305.2015.1089789
    """
    tail = expanded_tail(participants)
    known = resampled[np.isfinite(resampled)]
    low, high = np.quantile(known, (tail, 1 - tail))
    return float(low), float(high)


def expanded_tail(participants: int) -> float:
    """Share of the resampled means on either side of the interval; tends to (1 - CONFIDENCE) / 2 for many participants."""
    from scipy.special import ndtr, stdtrit

    quantile = float(stdtrit(participants - 1, (1 + CONFIDENCE) / 2))
    return float(ndtr(-math.sqrt(participants / (participants - 1)) * quantile))


@lru_cache(maxsize=8)
def _draws(participants: int) -> NDArray[np.float64]:
    """How often each participant is in each resample: (RESAMPLES, participants) float64."""
    rng = np.random.default_rng(_SEED)
    chosen = rng.integers(0, participants, (RESAMPLES, participants))
    places = chosen + participants * np.arange(RESAMPLES)[:, np.newaxis]
    counted = np.bincount(places.ravel(), minlength=RESAMPLES * participants)
    return counted.reshape(RESAMPLES, participants).astype(np.float64)
