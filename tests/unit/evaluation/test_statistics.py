"""The statistics of a study equal what SciPy and statsmodels give, and what a person would calculate."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower
from statsmodels.stats.weightstats import ttest_ind

from mrseg_label.errors import InvalidInput
from mrseg_label.evaluation import comparisons, descriptions
from mrseg_label.evaluation.measurements import check_table, read_table, table_of, write_table
from mrseg_label.evaluation.statistics import (
    bonferroni,
    by_participant,
    compare_groups,
    compare_paired,
    correlate,
    detectable,
    power,
    sex_of,
)
from mrseg_label.evaluation.values import CaseOf, Found, Measured

STRUCTURES = ("spleen", "liver", "left_kidney")


def study(models: tuple[str, ...] = ("one",), people: int = 12) -> pd.DataFrame:
    """Measurements of two sequences of each participant, in two data sets, with one structure missed and one invented."""
    random = np.random.default_rng(7)
    cases = []
    for number, model in enumerate(models):
        for person in range(people):
            for sequence in ("in", "water"):
                dsc = np.clip(random.normal(0.8 + 0.02 * number, 0.05, 3), 0, 1)
                measured = [
                    Measured(name, Found.BOTH, float(value), float(3 + random.random()), 0.9, 100, 110, 2)
                    for name, value in zip(STRUCTURES, dsc, strict=True)
                ]
                if person == 3:
                    measured[0] = Measured("spleen", Found.MISSED, 0.0, math.inf, 0.0, 80, 0, 2)
                if person == 4:
                    measured[1] = Measured("liver", Found.FALSE_POSITIVE, prediction_ml=5, reference_ml=0)
                if person == 5:
                    measured[2] = Measured("left_kidney", Found.NOT_ANNOTATED, prediction_ml=7)
                of = CaseOf(model, f"p{person}_{sequence}", f"p{person}", "UKB" if person < 8 else "NAKO", sequence, "2",
                            "F" if person % 2 else "male", 40 + 3 * person if person else math.nan)  # fmt: skip
                cases.append((of, measured))
    return table_of(cases)


def test_groups_equal_scipy_and_statsmodels() -> None:
    random = np.random.default_rng(3)
    first, second = random.normal(0.9, 0.02, 17), random.normal(0.88, 0.05, 11)
    groups = compare_groups([*first, math.nan], [*second])
    t, p, _ = ttest_ind(first, second, usevar="unequal")
    assert (groups.t, groups.p) == pytest.approx((t, p))
    assert (groups.first, groups.second) == (17, 11)
    spread = math.sqrt((16 * first.var(ddof=1) + 10 * second.var(ddof=1)) / 26)
    assert groups.effect == pytest.approx((first.mean() - second.mean()) / spread)
    wanted = TTestIndPower().power(abs(groups.effect), 17, 0.05 / 40, ratio=11 / 17)
    assert power(groups, 40) == pytest.approx(wanted)
    # An effect of the size that is said to be detectable is detected in four of five studies.
    assert TTestIndPower().power(detectable(groups, 40), 17, 0.05 / 40, ratio=11 / 17) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize(("first", "second"), [([], [0.5]), ([0.9], [0.5, 0.6]), ([0.5, 0.5], [0.5, 0.5])])
def test_groups_without_spread_are_not_tested(first: list[float], second: list[float]) -> None:
    groups = compare_groups(first, second)
    assert math.isnan(groups.p)
    assert math.isnan(power(groups))
    assert math.isnan(detectable(groups))


def test_correlation_equals_scipy() -> None:
    random = np.random.default_rng(5)
    ages = random.uniform(40, 80, 30)
    values = 1 - ages / 500 + random.normal(0, 0.02, 30)
    found = correlate([*ages, math.nan], [*values, 0.5])
    wanted = stats.pearsonr(ages, values)
    assert found.participants == 30
    assert (found.r, found.p) == pytest.approx((wanted.statistic, wanted.pvalue))
    assert (found.low, found.high) == pytest.approx(tuple(wanted.confidence_interval(0.95)))
    assert found.rho == pytest.approx(stats.spearmanr(ages, values).statistic)
    assert math.isnan(correlate([50, 60], [0.1, 0.2]).r)
    assert math.isnan(correlate([50, 50, 50], [0.1, 0.2, 0.3]).r)


def test_paired_equals_scipy() -> None:
    random = np.random.default_rng(6)
    first = random.normal(0.8, 0.05, 15)
    second = first + random.normal(0.01, 0.02, 15)
    found = compare_paired([*first, 0.1], [*second, math.nan])
    wanted = stats.ttest_rel(second, first)
    assert found.participants == 15
    assert (found.t, found.p) == pytest.approx((wanted.statistic, wanted.pvalue))
    assert (found.low, found.high) == pytest.approx(tuple(wanted.confidence_interval(0.95)))
    assert found.difference == pytest.approx((second - first).mean())
    assert math.isnan(compare_paired([0.1, 0.2], [0.2, 0.3]).p)


def test_bonferroni_counts_only_tests_that_were_made() -> None:
    corrected = bonferroni([0.01, math.nan, 0.4])
    assert corrected[::2] == pytest.approx(multipletests([0.01, 0.4], method="bonferroni")[1])
    assert math.isnan(corrected[1])


def test_participants_count_once_however_many_images_they_have() -> None:
    people = by_participant(study(), "dsc")
    assert len(people) == 12
    frame = study()
    own = frame[(frame["participant"] == "p1") & frame["dsc"].notna()]
    expected = own.groupby("case")["dsc"].mean().mean()
    assert people.loc[people["participant"] == "p1", "value"].item() == pytest.approx(expected)
    assert by_participant(frame, "hd95_mm", "spleen")["participant"].tolist().count("p3") == 0


def test_infinite_distances_are_counted_and_enter_no_mean() -> None:
    table = descriptions.by_structure(study(), "one").frame.set_index("structure")
    assert table.loc["spleen", "UKB: infinite"] == 2
    assert np.isfinite(table.loc["spleen", "UKB: hd95_mm_mean"])
    assert table.loc["liver", "UKB: n"] == 14  # without the false positive
    assert table.loc["left_kidney", "UKB: n"] == 14  # without the one that nobody annotated
    outcomes = descriptions.by_outcome(study()).frame.set_index("structure")
    assert (outcomes.loc["spleen", "missed"], outcomes.loc["liver", "false_positive"]) == (2, 2)
    assert outcomes.loc["left_kidney", "not_annotated"] == 2
    assert outcomes.loc["liver", "error_mean"] == pytest.approx(10)


def test_the_table_by_sequence_equals_numpy() -> None:
    frame = study()
    table = descriptions.by_sequence(frame).frame
    row = table[(table["data_set"] == "NAKO") & (table["sequence"] == "in")].iloc[0]
    part = frame[(frame["data_set"] == "NAKO") & (frame["sequence"] == "in")]
    values = part["dsc"].to_numpy(dtype=float).reshape(4, 3)
    assert row["dsc_samples_mean"] == pytest.approx(values.mean(axis=1).mean())
    assert row["dsc_samples_sd"] == pytest.approx(values.mean(axis=1).std(ddof=1))
    assert row["dsc_classes_sd"] == pytest.approx(values.mean(axis=0).std(ddof=1))
    assert (row["participants"], row["images"]) == (4, 4)
    assert table["sequence"].tolist() == ["in", "water", "all"] * 2


def test_composition() -> None:
    table = descriptions.composition(study())
    assert table.cells[1] == [
        "UKB",
        "8",
        "4 / 4",
        "52.0 ± 6.5 (43 to 61), of 7",
        "16",
        "in 8, water 8",
        "2 16",
    ]


def test_sexes_and_age_are_tested_by_participant() -> None:
    frame = study()
    table = comparisons.between_sexes(frame, "one")
    assert table is not None
    people = by_participant(frame, "dsc", "liver")
    wanted = stats.ttest_ind(
        people.loc[people["sex"] == "F", "value"], people.loc[people["sex"] == "male", "value"], equal_var=False
    )
    row = table.frame.set_index("structure").loc["liver"]
    assert row["p"] == pytest.approx(wanted.pvalue)
    assert row["p_corrected"] == pytest.approx(min(1, 3 * wanted.pvalue))
    aged = comparisons.with_age(frame, "one")
    assert aged is not None
    assert aged.frame["participants"].tolist() == [11, 11, 10, 10]
    assert comparisons.between_sexes(frame.assign(sex=""), "one") is None
    assert comparisons.with_age(frame.assign(age=math.nan), "one") is None


def test_models_are_compared_on_the_images_that_both_judged() -> None:
    frame = study(("one", "two"))
    frame = frame[~((frame["model"] == "two") & (frame["participant"] == "p7"))]
    table = next(comparisons.side_by_side(frame))
    joined = frame.pivot_table("dsc", ["participant", "structure"], "model").dropna()
    liver = joined.xs("liver", level="structure")
    row = table.frame.set_index("structure").loc["liver"]
    assert row["participants"] == 10  # one was judged by one model alone, and one has no liver
    assert row["p"] == pytest.approx(stats.ttest_rel(liver["two"], liver["one"]).pvalue)
    distances = next(comparisons.side_by_side(frame, "hd95_mm"))
    assert any(note.startswith("2 structures of images were left out") for note in distances.notes)


def test_a_table_comes_back_from_its_file(tmp_path: Path) -> None:
    frame = study()
    write_table(frame, tmp_path / "cases.csv")
    read = read_table(tmp_path / "cases.csv")
    check_table(read)
    pd.testing.assert_frame_equal(read, frame, rtol=1e-5, check_dtype=False)
    assert np.isinf(read["hd95_mm"]).sum() == 2


def test_a_foreign_table_needs_only_what_was_measured(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("case,structure,dsc\na,liver,0.9\na,spleen,\n")
    read = read_table(tmp_path / "t.csv")
    assert read["found"].tolist() == ["both", "not annotated"]
    assert read["participant"].tolist() == ["a", "a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,dsc\na,1\n", "the column structure is missing"),
        ("case,structure,dsc\na,liver,good\n", "line 2: dsc is 'good'"),
        ("case,structure,dsc,found\na,liver,0.5,maybe\n", "'maybe'"),
        ("", "cannot be read"),
        ("case,structure,dsc\n", "no case"),
        ("case,structure,dsc\na,liver,0.5\na,liver,0.6\n", "liver twice"),
        ("case,structure,dsc\na,liver,1.5\n", "outside 0 to 1"),
    ],
)
def test_unusable_tables_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InvalidInput, match=message):
        check_table(read_table(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("text", "sex"), [("F", "female"), (" Weiblich", "female"), ("M", "male"), ("0", None), ("", None)]
)
def test_sexes(text: str, sex: str | None) -> None:
    assert sex_of(text) == sex
