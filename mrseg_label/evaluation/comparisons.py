"""The tables that test: age (Figure A3), the sexes, and model versions side by side."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mrseg_label.evaluation.descriptions import METRICS
from mrseg_label.evaluation.measurements import counted
from mrseg_label.evaluation.statistics import (
    CONFIDENCE,
    MIN_FOR_CORRELATION,
    SIGNIFICANT,
    bonferroni,
    by_participant,
    compare_groups,
    compare_paired,
    correlate,
    detectable,
    power,
    sex_of,
)
from mrseg_label.evaluation.tables import (
    Table,
    count,
    equals,
    frame_of,
    interval,
    key_part,
    mean_sd,
    number,
    p_value,
    structure_name,
    value,
)
from mrseg_label.metrics.paired import INTERVAL, TEST, paired_difference

MEAN_OF_ALL = "mean of all structures"
_UNIT = "The participant is the unit: the values of one person's images are averaged first."
_CORRECTED = "p corrected: Bonferroni, for the {tests} structures that were tested; the first row, a mean of them, is tested alone."
SHOWN = {"dsc": "DSC", "hd95_mm": "HD95, mm", "nsd": "NSD"}


def with_age(frame: pd.DataFrame, model: str, metric: str = "dsc") -> Table | None:
    """Make the table of the correlation of a metric with age; None where fewer than four ages are known."""
    rows = []
    for structure, people in _each(frame[frame["model"] == model], metric):
        found = correlate(people["age"].tolist(), people["value"].tolist())
        rows.append({"structure": structure or MEAN_OF_ALL, **vars(found)})
    if not rows or rows[0]["participants"] < MIN_FOR_CORRELATION:
        return None
    _correct(rows)
    return Table(
        f"table-a3-age-{metric}" + _suffix(frame, model),
        "Table A3",
        f"Correlation of {SHOWN[metric]} with age" + _of(frame, model),
        frame_of(rows, ("structure", "participants", "r", "low", "high", "p", "p_corrected", "rho", "rho_p")),
        (
            structure_name(),
            count("Participants", "participants"),
            value("Pearson's r", "r", 2),
            interval("95 % interval", "low", "high", 2),
            p_value("p", "p"),
            p_value("p corrected", "p_corrected"),
            value("Spearman's ρ", "rho", 2),
        ),
        (_UNIT, _CORRECTED.format(tests=_tests(rows))),
    )


def between_sexes(frame: pd.DataFrame, model: str, metric: str = "dsc") -> Table | None:
    """Make the table of the difference between the sexes; None where a sex has fewer than two participants."""
    rows: list[dict[str, Any]] = []
    pairs = []
    for structure, people in _each(frame[frame["model"] == model], metric):
        sexes = people["sex"].map(sex_of)
        groups = compare_groups(
            people.loc[sexes == "female", "value"].tolist(), people.loc[sexes == "male", "value"].tolist()
        )
        pairs.append(groups)
        rows.append({"structure": structure or MEAN_OF_ALL, **vars(groups)})
    if not rows or min(pairs[0].first, pairs[0].second) < 2:
        return None
    _correct(rows)
    tests = _tests(rows)
    for index, (row, groups) in enumerate(zip(rows, pairs, strict=True)):
        made = 1 if index == 0 else tests
        row["difference"] = groups.first_mean - groups.second_mean
        row["power"], row["detectable"] = power(groups, made), detectable(groups, made)
    return Table(
        f"table-a4-sex-{metric}" + _suffix(frame, model),
        "Table A4",
        f"Difference of {SHOWN[metric]} between the sexes" + _of(frame, model),
        frame_of(rows, ("structure", "first", "second", "first_mean", "first_sd", "second_mean", "second_sd", "difference", "t", "p",
                        "p_corrected", "effect", "power", "detectable")),
        (
            structure_name(),
            count("Female", "first"),
            count("Male", "second"),
            mean_sd("Female, mean ± SD", "first_mean", "first_sd", METRICS[metric]),
            mean_sd("Male, mean ± SD", "second_mean", "second_sd", METRICS[metric]),
            value("Difference", "difference", METRICS[metric]),
            value("t", "t", 2),
            p_value("p", "p"),
            p_value("p corrected", "p_corrected"),
            value("Cohen's d", "effect", 2),
            value("Power", "power", 2),
            value("d at 80 %", "detectable", 2),
        ),
        (
            _UNIT,
            "Welch's t-test, two-sided. " + _CORRECTED.format(tests=tests),
            f"Power: to find a difference of the size that was seen, of a two-sided t-test at {SIGNIFICANT:g} divided by the number of "
            "tests. d at 80 %: the smallest effect that groups of this size show with a power of 80 %.",
        ),
    )  # fmt: skip


def side_by_side(frame: pd.DataFrame, metric: str = "dsc") -> Iterator[Table]:
    """Make a table of every two models on the cases that both judged, with a paired test."""
    models = [str(name) for name in frame["model"].unique()]
    for first, second in combinations(models, 2):
        yield _pair(frame, first, second, metric)


def shared_rows(frame: pd.DataFrame, first: str, second: str, metric: str) -> pd.DataFrame:
    """Join the rows in which a metric is finite for both models; the columns are ``first`` and ``second``."""
    keys = ["data_set", "participant", "case", "structure"]
    sides = []
    for model in (first, second):
        rows = counted(frame[frame["model"] == model])
        sides.append(rows[np.isfinite(rows[metric])].set_index(keys)[metric])
    joined = pd.concat(sides, axis=1, join="inner", keys=["first", "second"]).reset_index()
    order = {name: place for place, name in enumerate(frame["structure"].unique())}
    return joined.sort_values("structure", key=lambda names: names.map(order), kind="stable")


def _pair(frame: pd.DataFrame, first: str, second: str, metric: str) -> Table:
    joined = shared_rows(frame, first, second, metric)
    people = ["data_set", "participant"]
    means = joined.groupby([*people, "case"])[["first", "second"]].mean().groupby(people).mean()
    overall = paired_difference(
        ("\t".join(map(str, who)), float(row["second"] - row["first"])) for who, row in means.iterrows()
    )
    rows = [{"structure": MEAN_OF_ALL, **vars(compare_paired(means["first"], means["second"]))}]
    for structure in joined["structure"].unique():
        part = joined[joined["structure"] == structure].groupby(people)[["first", "second"]].mean()
        rows.append({"structure": structure, **vars(compare_paired(part["first"], part["second"]))})
    _correct(rows)
    left_out = len(_counted_in_both(frame, first, second)) - len(joined)
    notes = [_UNIT, "Paired t-test, two-sided. " + _CORRECTED.format(tests=_tests(rows))]
    if overall.low is not None and overall.high is not None and overall.p is not None:
        digits = METRICS[metric]
        low, high = number(overall.low, digits), number(overall.high, digits)
        notes.append(
            f"Mean of all structures, without assuming a normal distribution: {100 * CONFIDENCE:g} % interval {low} to {high} ({INTERVAL}); "
            f"p {equals(overall.p)} ({TEST})."
        )
    if left_out:
        notes.append(
            f"{left_out:,} structures of images were left out, since {SHOWN[metric]} is not finite for one of the models."
        )
    digits = METRICS[metric]
    return Table(
        f"table-a5-{metric}-{key_part(first)}-{key_part(second)}",
        "Table A5",
        f"{SHOWN[metric]} of {first} and {second} on the same images",
        frame_of(rows, ("structure", "participants", "first_mean", "second_mean", "difference", "low", "high", "t", "p", "p_corrected")),
        (
            structure_name(),
            count("Participants", "participants"),
            value(first, "first_mean", digits),
            value(second, "second_mean", digits),
            value("Difference", "difference", digits),
            interval("95 % interval", "low", "high", digits),
            value("t", "t", 2),
            p_value("p", "p"),
            p_value("p corrected", "p_corrected"),
        ),
        tuple(notes),
    )  # fmt: skip


def _counted_in_both(frame: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    keys = ["data_set", "participant", "case", "structure"]
    sides = [counted(frame[frame["model"] == model])[keys] for model in (first, second)]
    return sides[0].merge(sides[1], on=keys)


def _each(frame: pd.DataFrame, metric: str) -> Iterator[tuple[str | None, pd.DataFrame]]:
    """The participants' means over all structures, then those of each structure that was measured."""
    yield None, by_participant(frame, metric)
    for structure in frame["structure"].unique():
        people = by_participant(frame, metric, structure)
        if len(people):
            yield structure, people


def _correct(rows: list[dict[str, Any]]) -> None:
    """Add the corrected p-values; the first row stands for itself."""
    corrected = [rows[0]["p"], *bonferroni([row["p"] for row in rows[1:]])]
    for row, p in zip(rows, corrected, strict=True):
        row["p_corrected"] = p


def _tests(rows: list[dict[str, Any]]) -> int:
    return int(np.isfinite([row["p"] for row in rows[1:]]).sum())


def _suffix(frame: pd.DataFrame, model: str) -> str:
    return f"-{key_part(model)}" if frame["model"].nunique() > 1 else ""


def _of(frame: pd.DataFrame, model: str) -> str:
    return f", {model}" if frame["model"].nunique() > 1 else ""
