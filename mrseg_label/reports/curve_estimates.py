"""Estimate from the rounds of a learning curve what another round would bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mrseg_label.catalog.queries.effort import EffortSums
from mrseg_label.catalog.queries.participants import HELD_OUT_SHARE
from mrseg_label.catalog.tables import BOOTSTRAP, ModelVersion
from mrseg_label.metrics.bootstrap import RESAMPLES, resampled_means
from mrseg_label.metrics.forecast import MIN_ROUNDS, Forecast, forecast
from mrseg_label.reports.documents.learning_curve import EstimateOut, ForecastOut
from mrseg_label.reports.held_out_figures import Figures, Scores

_RESAMPLES_OF_FORECASTS = 500  # each is a fit
NO_EFFORT: Mapping[str, EffortSums] = {}


@dataclass
class CurveVersion:
    """One model version, as its point is put together.

    Attributes
    ----------
    scores : on held-out cases; None if it was not evaluated.
    drafts : effort of its drafts, by group and participant.
    common : figures over the cases that all versions have, by group.
    """

    row: ModelVersion
    training_cases: int
    saw_held_out: bool
    scores: Scores | None
    drafts: dict[str | None, Mapping[str, EffortSums]] = field(default_factory=dict)
    common: dict[str | None, Figures] = field(default_factory=dict)

    @property
    def round(self) -> int | None:
        """0 for the first drafts, None for an imported version."""
        return 0 if self.row.version == BOOTSTRAP else self.row.round_number


def next_size(versions: Sequence[CurveVersion], round_size: int) -> int:
    """Training cases of the next round, if it starts after as many new cases as the settings say."""
    newest = max((one.training_cases for one in versions if one.round), default=0)
    return newest + max(1, round((1 - HELD_OUT_SHARE) * round_size))


def estimate(group: str | None, versions: Sequence[CurveVersion], size: int) -> EstimateOut:
    """Estimate what another round would bring in one group."""
    trained = [one for one in versions if one.round and one.training_cases and not one.saw_held_out]
    judged = [one for one in trained if group in one.common and np.isfinite(one.common[group].case_dsc).any()]
    drafted = [
        one for one in trained if any(sums.edited_ml.count for sums in one.drafts.get(group, NO_EFFORT).values())
    ]
    quality, effort = _forecast_of_dsc(judged, group, size), _forecast_of_effort(drafted, group, size)
    notes = [
        f"too few rounds for {what}: {len({one.training_cases for one in of})} of at least {MIN_ROUNDS} with different numbers of "
        "training cases"
        for what, of, found in (("DSC", judged, quality), ("effort", drafted, effort))
        if found is None
    ]
    return EstimateOut(
        group=group,
        held_out_dsc=None if quality is None else ForecastOut.of(quality),
        edited_ml=None if effort is None else ForecastOut.of(effort),
        note="; ".join(notes),
    )


def _forecast_of_dsc(versions: Sequence[CurveVersion], group: str | None, size: int) -> Forecast | None:
    """From the common cases: the same participants are resampled for all versions together."""
    if len(versions) < MIN_ROUNDS:
        return None
    found = [one.common[group] for one in versions]
    people = np.unique(np.concatenate([one.participants for one in found]))
    totals, counts = np.zeros((len(people), len(found))), np.zeros((len(people), len(found)))
    for k, one in enumerate(found):
        known = np.isfinite(one.case_dsc)
        places = np.searchsorted(people, one.participants[known])
        np.add.at(totals[:, k], places, one.case_dsc[known])
        np.add.at(counts[:, k], places, 1.0)
    resampled = resampled_means(totals, counts)[:_RESAMPLES_OF_FORECASTS]
    values = totals.sum(axis=0) / counts.sum(axis=0)
    return forecast([one.training_cases for one in versions], values.tolist(), resampled, size)


def _forecast_of_effort(versions: Sequence[CurveVersion], group: str | None, size: int) -> Forecast | None:
    """From the drafts that readers corrected, of other participants in each round."""
    if len(versions) < MIN_ROUNDS:
        return None
    values, draws = [], []
    rng = np.random.default_rng(len(versions))
    for one in versions:
        sums = [sums.edited_ml for _, sums in sorted(one.drafts[group].items()) if sums.edited_ml.count]
        totals, counts = np.array([one.total for one in sums]), np.array([float(one.count) for one in sums])
        values.append(float(totals.sum() / counts.sum()))
        # In another order for each round: the resamples of different people have nothing to do with each other.
        draws.append(resampled_means(totals, counts)[rng.permutation(RESAMPLES)[:_RESAMPLES_OF_FORECASTS]])
    sizes = [one.training_cases for one in versions]
    return forecast(sizes, values, np.stack(draws, axis=1), size, (0.0, np.inf), falls=True)
