"""What another round would bring: an inverse power law through the rounds so far, and how uncertain it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrseg_label.metrics.bootstrap import CONFIDENCE

MIN_ROUNDS = 4  # three parameters go through three rounds, whatever these are
# Exponents that are tried: what learning curves of networks have, with a margin.
EXPONENTS = np.geomspace(0.1, 2.0, 40)
_SEED = 20240510
RULE = (
    f"inverse power law a \u2212 b \u00b7 n^\u2212c in the number n of training cases, least squares over at least {MIN_ROUNDS} rounds of "
    f"different n; {100 * CONFIDENCE:.0f} % interval from refits to the bootstrap resamples of the participants, with the scatter of the "
    "rounds around the curve"
)


@dataclass(frozen=True)
class Law:
    """The fitted law: ``limit - scale * n ** -exponent``.

    Attributes
    ----------
    limit : value that it tends to with ever more cases.
    residual : standard deviation of the rounds around the curve.
    """

    limit: float
    scale: float
    exponent: float
    residual: float

    def at(self, size: float) -> float:
        """Value at a number of training cases."""
        return float(self.limit - self.scale * size**-self.exponent)


@dataclass(frozen=True)
class Forecast:
    """What is expected at a larger number of training cases.

    Attributes
    ----------
    size : that number.
    value, low, high : expected value and its interval.
    gain, gain_low, gain_high : the same, as the difference from the newest round as it was measured.
    law : the curve.
    """

    size: int
    value: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float
    law: Law


def fit(
    sizes: Sequence[float], values: NDArray[np.float64], bounds: tuple[float, float]
) -> tuple[NDArray[np.float64], ...]:
    """Fit the law to one or many curves at once, by least squares.

    For each exponent of a grid the rest is a straight line, whose best limit and scale are known; the exponent with the
    smallest sum of squares wins.

    Parameters
    ----------
    sizes : (V,) numbers of training cases, positive.
    values : (..., V) what was measured at each.
    bounds : of the limit.

    Returns
    -------
    limit, scale (0 or more: more cases do no harm), exponent and sum of squares, each (...,).

    References
    ----------
    Cortes C, et al. Learning curves: asymptotic values and rate of convergence. NIPS 1993. Figueroa RL, et al. Predicting
    sample size required for classification performance. BMC Med Inform Decis Mak 2012;12:8.
    https://doi.org/10.1186/1472-6947-12-8
    """
    x = np.asarray(sizes, dtype=np.float64) ** -EXPONENTS[:, np.newaxis]  # (C, V)
    y = values[..., np.newaxis, :]  # (..., 1, V)
    centred = x - x.mean(axis=1, keepdims=True)
    slope = (centred * (y - y.mean(axis=-1, keepdims=True))).sum(axis=-1) / (centred**2).sum(axis=1)
    scale = np.maximum(-slope, 0.0)
    limit = y.mean(axis=-1) + scale * x.mean(axis=1)
    outside = (limit < bounds[0]) | (limit > bounds[1])
    limit = np.clip(limit, *bounds)
    # With the limit at its bound, the scale is that of a line through this point.
    bound_scale = np.maximum(((limit[..., np.newaxis] - y) * x).sum(axis=-1) / (x**2).sum(axis=1), 0.0)
    scale = np.where(outside, bound_scale, scale)
    squares = ((limit[..., np.newaxis] - scale[..., np.newaxis] * x - y) ** 2).sum(axis=-1)
    best = squares.argmin(axis=-1)[..., np.newaxis]
    chosen = (np.take_along_axis(part, best, axis=-1)[..., 0] for part in (limit, scale, squares))
    found_limit, found_scale, found_squares = chosen
    return found_limit, found_scale, EXPONENTS[best[..., 0]], found_squares


def forecast(
    sizes: Sequence[int],
    values: Sequence[float],
    resampled: NDArray[np.float64],
    next_size: int,
    bounds: tuple[float, float] = (0.0, 1.0),
    *,
    falls: bool = False,
) -> Forecast | None:
    """Estimate what a model with more training cases will reach.

    Parameters
    ----------
    sizes : (V,) training cases of each round, oldest round first.
    values : (V,) what was measured of its model.
    resampled : (R, V) the same in each resample of the participants.
    next_size : training cases of the next round.
    bounds : of the value.
    falls : smaller values are better, as of effort.

    Returns
    -------
    None with fewer than MIN_ROUNDS different sizes.
    """
    kept = [k for k, size in enumerate(sizes) if size > 0]
    if len({sizes[k] for k in kept}) < MIN_ROUNDS:
        return None
    sign = -1.0 if falls else 1.0
    limits = (-bounds[1], -bounds[0]) if falls else bounds
    used = [float(sizes[k]) for k in kept]
    measured = sign * np.array([values[k] for k in kept])
    draws = sign * resampled[:, kept]
    draws = draws[np.isfinite(draws).all(axis=1)]
    limit, scale, exponent, squares = fit(used, measured, limits)
    freedom = len(kept) - 3
    law = Law(float(limit), float(scale), float(exponent), float(np.sqrt(squares / freedom)))
    expected, newest = _expected(law, used, measured, draws, float(next_size), limits)
    tail = (1 - CONFIDENCE) / 2
    low, high = sorted(sign * np.quantile(expected, (tail, 1 - tail)))
    gain_low, gain_high = sorted(sign * np.quantile(expected - newest, (tail, 1 - tail)))
    value = law.at(next_size)
    return Forecast(
        size=next_size,
        value=sign * value,
        low=float(low),
        high=float(high),
        gain=sign * (value - float(measured[-1])),
        gain_low=float(gain_low),
        gain_high=float(gain_high),
        law=Law(sign * law.limit, sign * law.scale, law.exponent, law.residual),
    )


def _expected(
    law: Law,
    sizes: Sequence[float],
    measured: NDArray[np.float64],
    draws: NDArray[np.float64],
    next_size: float,
    limits: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each resample of the participants expects of the next round, and what it has of the newest one: (R,) each."""
    rng = np.random.default_rng(_SEED)
    # What scatters from training to training moves the curve, and falls on the next round too.
    residuals = measured - np.array([law.at(size) for size in sizes])
    limit, scale, exponent, _ = fit(sizes, draws + rng.choice(residuals, draws.shape), limits)
    scatter = law.residual * rng.standard_t(len(sizes) - 3, len(draws))
    expected = limit - scale * next_size**-exponent + scatter
    return np.clip(expected, *limits), draws[:, -1]
