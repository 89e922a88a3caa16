"""Intervals of means over participants, and the forecast of another round."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from mrseg_label.metrics import bootstrap
from mrseg_label.metrics.bootstrap import MIN_PARTICIPANTS, RESAMPLES, Mean, expanded_tail, mean_of
from mrseg_label.metrics.forecast import MIN_ROUNDS, fit, forecast


def _values(participants: int, seed: int = 3) -> list[tuple[str, float]]:
    rng = np.random.default_rng(seed)
    return [
        (f"P{number:02}", float(value))
        for number in range(participants)
        for value in rng.beta(8, 2, rng.integers(1, 5))
    ]


@pytest.mark.parametrize("participants", [5, 11, 40])
def test_the_interval_is_that_of_scipy(participants: int) -> None:
    values = _values(participants)
    names = sorted({name for name, _ in values})
    totals = np.array([sum(value for other, value in values if other == name) for name in names])
    counts = np.array([sum(other == name for other, _ in values) for name in names], dtype=float)
    expected = stats.bootstrap(
        (totals, counts),
        lambda total, count, axis: total.sum(axis=axis) / count.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=1 - 2 * expanded_tail(participants),
        method="percentile",
        rng=np.random.default_rng(20240510),
    ).confidence_interval
    found = mean_of(values)
    assert found.mean == pytest.approx(np.mean([value for _, value in values]))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert (found.cases, found.participants) == (len(values), participants)


def test_the_order_of_the_cases_changes_nothing() -> None:
    values = _values(7)
    assert mean_of(reversed(values)) == mean_of(values)


def test_more_participants_than_draws_are_kept_for() -> None:
    many = bootstrap._MOST_KEPT + 1
    found = mean_of((f"P{k}", float(k % 2)) for k in range(many))
    assert found.low is not None and found.high is not None
    assert 0.45 < found.low < 0.5 < found.high < 0.55


def test_few_participants_have_a_mean_and_no_interval() -> None:
    assert mean_of([]) == Mean()
    assert mean_of([("a", 0.5), ("a", 1.0)]) == Mean(2, 1, 0.75)
    few = [(f"P{k}", 0.1 * k) for k in range(MIN_PARTICIPANTS - 1)]
    assert mean_of(few).low is None
    assert mean_of([*few, ("P9", 0.9)]).low is not None


def test_cases_of_one_participant_do_not_make_the_interval_narrower() -> None:
    once = mean_of((f"P{k}", 0.1 * k) for k in range(8))
    repeated = mean_of((f"P{k}", 0.1 * k) for k in range(8) for _ in range(50))
    assert (repeated.low, repeated.high) == pytest.approx((once.low, once.high))


def test_intervals_contain_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        people = rng.beta(8, 2, 12)  # skewed, with a mean of 0.8
        found = mean_of((f"P{k}", float(mean + rng.normal(0, 0.05))) for k, mean in enumerate(people) for _ in range(3))
        assert found.low is not None and found.high is not None
        hits += found.low <= 0.8 <= found.high
    assert 0.90 < hits / 300 < 0.985


def test_the_law_is_that_of_scipy() -> None:
    sizes = np.array([8.0, 16, 24, 40, 60])
    values = 0.9 - 0.8 * sizes**-0.6 + np.array([0.004, -0.006, 0.003, 0.002, -0.003])

    def law(n: NDArray[np.float64], a: float, b: float, c: float) -> NDArray[np.float64]:
        values: NDArray[np.float64] = a - b * n**-c
        return values

    expected, _ = optimize.curve_fit(law, sizes, values, p0=(0.9, 1, 0.5), bounds=([0, 0, 0.1], [1, 100, 2]))
    limit, scale, exponent, squares = fit(list(sizes), values, (0.0, 1.0))
    # The exponent is one of a grid; what the curve says is the same.
    assert limit - scale * 80**-exponent == pytest.approx(law(np.array([80.0]), *expected)[0], abs=1e-3)
    assert squares == pytest.approx(((law(sizes, *expected) - values) ** 2).sum(), rel=0.02)


def test_the_limit_stays_within_its_bounds() -> None:
    limit, scale, _, _ = fit([8, 16, 24, 32], np.array([0.2, 0.5, 0.8, 0.99]), (0.0, 1.0))
    assert limit == 1.0
    assert scale > 0
    limit, scale, _, _ = fit([8, 16, 24, 32], np.array([0.8, 0.7, 0.6, 0.5]), (0.0, 1.0))
    assert float(limit) == pytest.approx(0.65)
    assert float(scale) == 0.0, "more cases are not taken to do harm"


def _curve(rounds: int, seed: int, participants: int = 15) -> tuple[list[int], NDArray[np.float64], float]:
    """Sizes and values (participants, rounds) of a learning curve, and what the next model truly reaches."""
    rng = np.random.default_rng(seed)
    sizes = np.array([8.0 * (k + 1) for k in range(rounds + 1)])
    truth = 0.9 - 1.2 * sizes**-0.6 + rng.normal(0, 0.008, rounds + 1)
    people = truth + rng.normal(0, 0.06, (participants, 1)) + rng.normal(0, 0.02, (participants, rounds + 1))
    return [int(size) for size in sizes[:-1]], people[:, :-1], float(truth[-1])


def test_the_forecast_contains_the_next_round_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(60):
        sizes, people, truth = _curve(6, seed)
        means = bootstrap.resampled_means(people, np.ones_like(people))
        found = forecast(sizes, list(people.mean(axis=0)), means, 56)
        assert found is not None
        assert found.low <= found.value <= found.high
        hits += found.low <= truth <= found.high
    assert hits / 60 > 0.88


def test_too_few_rounds_have_no_forecast() -> None:
    sizes, people, _ = _curve(MIN_ROUNDS, 1)
    means = bootstrap.resampled_means(people, np.ones_like(people))
    measured = list(people.mean(axis=0))
    assert forecast(sizes, measured, means, 40) is not None
    assert forecast(sizes[1:], measured[1:], means[:, 1:], 40) is None
    assert forecast([8, 8, 16, 24], measured, means, 40) is None, "two rounds of the same cases are one size"
    assert forecast([0, *sizes[1:]], measured, means, 40) is None, "no training, no size"


def test_effort_falls_and_never_below_nothing() -> None:
    sizes, people, _ = _curve(5, 2)
    effort = 100 * (0.9 - people)
    means = bootstrap.resampled_means(effort, np.ones_like(effort))
    found = forecast(sizes, list(effort.mean(axis=0)), means, 400, (0.0, np.inf), falls=True)
    assert found is not None
    assert 0 <= found.low <= found.value <= found.high
    assert found.value < effort.mean(axis=0)[0]
    assert found.gain == pytest.approx(found.value - effort.mean(axis=0)[-1])
