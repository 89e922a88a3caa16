"""Whether a paired difference is more than noise: an interval and a test over participants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
# With five participants, even a difference of the same sign in all of them has p = 2 / 2**5 = 0.06.
MIN_PARTICIPANTS = 6
RESAMPLES = 9999  # all 2**n sign changes are tried where there are no more of them
_SEED = 20240510
INTERVAL = f"95 % bootstrap interval, percentiles of {RESAMPLES:,} resamples of the participants"
TEST = f"permutation test of the signs of the participants' differences, two-sided, up to {RESAMPLES:,} permutations"


@dataclass(frozen=True)
class PairedDifference:
    """The mean over participants of each one's mean difference.

    Attributes
    ----------
    participants : number of participants.
    mean : None if there are none.
    low, high : interval of confidence CONFIDENCE; None with fewer than two participants.
    p : of the test that the difference is zero; None with fewer than two participants.
    """

    participants: int = 0
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None

    @property
    def enough(self) -> bool:
        """Whether there are so many participants that a difference could be told from noise at all."""
        return self.participants >= MIN_PARTICIPANTS

    @property
    def better(self) -> bool:
        """Whether the difference is clearly positive."""
        return self.enough and self.low is not None and self.low > 0

    @property
    def worse(self) -> bool:
        """Whether the difference is clearly negative."""
        return self.enough and self.high is not None and self.high < 0

    @property
    def clear(self) -> bool:
        """Whether there are enough participants and the interval does not include zero."""
        return self.better or self.worse


def paired_difference(differences: Iterable[tuple[str, float]]) -> PairedDifference:
    """Test paired differences, of which those of one participant belong together.

    The same differences always give the same result.

    Parameters
    ----------
    differences : participant and difference, of each case.

    References
    ----------
    Efron B, Tibshirani RJ. An introduction to the bootstrap. Chapman & Hall 1993, chapters 13 and 15. The participant is
    the unit, since cases of one person are alike.
    """
    values = means_by(differences)
    if not values:
        return PairedDifference()
    means = np.array([values[participant] for participant in sorted(values)])
    mean = float(means.mean())
    if len(means) < 2:
        return PairedDifference(1, mean)
    from scipy import stats  # takes a second to import; the server does without until somebody compares

    if np.ptp(means) == 0:  # scipy warns of a sample without spread
        low = high = mean
    else:
        interval = stats.bootstrap(
            (means,), np.mean, n_resamples=RESAMPLES, confidence_level=CONFIDENCE, method="percentile",
            rng=np.random.default_rng(_SEED),
        ).confidence_interval  # fmt: skip
        low, high = float(interval.low), float(interval.high)
    test = stats.permutation_test(
        (means,), np.mean, permutation_type="samples", n_resamples=RESAMPLES, vectorized=True,
        rng=np.random.default_rng(_SEED),
    )  # fmt: skip
    return PairedDifference(len(means), mean, low, high, float(test.pvalue))


def means_by(values: Iterable[tuple[str, float]]) -> Mapping[str, float]:
    """Mean by name, of values with their names."""
    found: dict[str, list[float]] = {}
    for name, value in values:
        found.setdefault(name, []).append(value)
    return {name: _mean(numbers) for name, numbers in found.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
