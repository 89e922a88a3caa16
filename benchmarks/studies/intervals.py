"""How often intervals contain the truth: of means over participants, and of the forecast of another round.

uv run python -m benchmarks.studies.intervals [--quick]

Simulated studies, in which the truth is known. Means: DSC of participants from a skewed distribution with a mean of 0.8, one to
four cases each with noise of their own. Forecasts: rounds of 8 more cases each, whose models follow an inverse power law with
limit, first value and exponent drawn for each study, and scatter around it from training to training; 20 held-out participants.
Everything is computed by the functions of the product.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from mrseg_label.metrics.bootstrap import interval, resampled_means
from mrseg_label.metrics.forecast import MIN_ROUNDS, forecast

TRUE_MEAN = 0.8  # of a beta distribution (8, 2)
PEOPLE = (3, 4, 5, 6, 8, 10, 20, 40)
ROUNDS = (MIN_ROUNDS, 5, 6, 8, 10)
SCATTER = (0.002, 0.01)  # standard deviation of DSC from training to training
HELD_OUT = 20


def of_means(people: int, studies: int, rng: np.random.Generator) -> tuple[float, float]:
    """Share of the studies whose interval contains the true mean: ours, and plain percentiles."""
    hits = np.zeros(2)
    for _ in range(studies):
        counts = rng.integers(1, 5, people)
        levels = rng.beta(8, 2, people)
        totals = np.array([(level + rng.normal(0, 0.05, n)).sum() for level, n in zip(levels, counts, strict=True)])
        means = resampled_means(totals, counts.astype(float))
        low, high = interval(means, people)
        plain = np.quantile(means, (0.025, 0.975))
        hits += (low <= TRUE_MEAN <= high, plain[0] <= TRUE_MEAN <= plain[1])
    return float(hits[0] / studies), float(hits[1] / studies)


def of_forecasts(rounds: int, scatter: float, studies: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Share of the studies whose interval contains the next model's DSC, and its gain; median width of the gain's interval."""
    hits, widths = np.zeros(2), []
    for _ in range(studies):
        sizes = [8 * (k + 1) for k in range(rounds + 1)]
        limit, first, exponent = rng.uniform(0.8, 0.95), rng.uniform(0.4, 0.7), rng.uniform(0.3, 1.2)
        law = limit - (limit - first) * (np.array(sizes) / 8.0) ** -exponent
        truth = law + rng.normal(0, scatter, rounds + 1)
        people = truth + rng.normal(0, 0.06, (HELD_OUT, 1)) + rng.normal(0, 0.02, (HELD_OUT, rounds + 1))
        known = people[:, :rounds]
        means = resampled_means(known, np.ones_like(known))
        found = forecast(sizes[:rounds], known.mean(axis=0).tolist(), means, sizes[rounds])
        assert found is not None
        hits += (
            found.low <= truth[-1] <= found.high,
            found.gain_low <= truth[-1] - truth[-2] <= found.gain_high,
        )
        widths.append(found.gain_high - found.gain_low)
    return float(hits[0] / studies), float(hits[1] / studies), float(np.median(widths))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few simulated studies, to see that it runs")
    quick = parser.parse_args().quick
    rng = np.random.default_rng(11)
    print("participants  contain the mean  plain percentiles")
    for people in PEOPLE:
        ours, plain = of_means(people, 30 if quick else 2000, rng)
        print(f"{people:12}  {ours:16.1%}  {plain:17.1%}")
        sys.stdout.flush()
    print("\nrounds  scatter  contain the next DSC  contain the gain  median width of the gain's interval")
    for rounds in ROUNDS:
        for scatter in SCATTER:
            value, gain, width = of_forecasts(rounds, scatter, 10 if quick else 500, rng)
            print(f"{rounds:6}  {scatter:7}  {value:20.1%}  {gain:16.1%}  {width:.3f}")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
