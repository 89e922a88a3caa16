"""The figures that the studies of learning print."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from benchmarks.studies.cohort import Case
from benchmarks.studies.comparison import as_table, compare, measures, small_structures
from benchmarks.studies.study import Scored


def scored(case: str, liver: float, adrenal: float | None) -> Scored:
    dsc = {"liver": liver} if adrenal is None else {"liver": liver, "adrenal": adrenal}
    return Scored(case, case, dsc, 100, 0.0)


def test_differences_are_paired_by_seed() -> None:
    control = [[scored("a", 0.6, 0.2), scored("b", 0.8, None)], [scored("a", 0.4, 0.0), scored("b", 0.6, None)]]
    variant = [[scored("a", 0.7, 0.3), scored("b", 0.9, None)], [scored("a", 0.5, 0.4), scored("b", 0.6, None)]]
    found = compare({"control": control, "variant": variant}, measures(frozenset({"adrenal"})))
    by_name = {(one.variant, one.measure): one for one in found}
    assert by_name["control", "mean DSC"].values == pytest.approx((0.6, 0.4))
    changed = by_name["variant", "mean DSC"]
    assert changed.values == pytest.approx((0.7, 0.525))
    assert changed.difference == pytest.approx(0.1125)
    # t of one degree of freedom is 12.706; the differences 0.1 and 0.125 have a standard error of 0.0125.
    assert (changed.low, changed.high) == pytest.approx(
        (0.1125 - 12.7062 * 0.0125, 0.1125 + 12.7062 * 0.0125), abs=1e-4
    )
    assert by_name["variant", "DSC, small third"].values == pytest.approx((0.3, 0.4))
    assert by_name["control", "mean DSC"].difference is None
    assert "| variant | mean DSC | 0.613 | 0.124 | +0.112 | -0.046 to +0.271 |" in as_table(found)


def test_small_structures_are_the_smallest_where_they_are_present(tmp_path: Path) -> None:
    truth = np.zeros((10, 10, 10), np.uint8)
    truth[:5], truth[6], truth[8, :2] = 1, 2, 3
    paths = [tmp_path / f"{name}.nii.gz" for name in "ab"]
    nibabel.save(nibabel.Nifti1Image(truth, np.eye(4)), paths[0])
    truth[8] = 0
    nibabel.save(nibabel.Nifti1Image(truth, np.eye(4)), paths[1])
    cases = [Case("P1", "abdomen", "in", path, path) for path in paths]
    assert small_structures(cases, ["liver", "spleen", "adrenal", "never"]) == {"adrenal"}
