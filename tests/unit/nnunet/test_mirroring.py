"""What labels mean in the mirror, and which axis runs from left to right."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.dataset_json import dataset_json
from mrseg_label.nnunet.mirroring import PAIRS_KEY, left_right_axis, mirrored_labels

LABELS = {"background": 0, "left_kidney": 1, "right_kidney": 2, "liver": 3, "left_lung": 4, "right_lung": 5}
PAIRS = (("left_kidney", "right_kidney"), ("left_lung", "right_lung"))
ALL = range(1, 6)


@pytest.mark.parametrize("transpose", list(itertools.permutations(range(3))))
def test_the_axis_follows_the_transposition_of_the_plans(transpose: tuple[int, int, int]) -> None:
    image = np.empty((30, 20, 10))  # z, y, x
    axis = left_right_axis(transpose)
    assert image.transpose(transpose).shape[axis] == 10
    assert left_right_axis(None) == 2


def test_paired_structures_change_places() -> None:
    table, remark = mirrored_labels(LABELS, PAIRS, ALL)
    assert (table, remark) == ((0, 2, 1, 3, 5, 4), "")
    table, _ = mirrored_labels(LABELS | {"ignore": 6}, PAIRS, ALL)
    assert table == (0, 2, 1, 3, 5, 4, 6)
    # A pair that occurs nowhere hides nothing.
    assert mirrored_labels(LABELS, PAIRS, {1, 2, 3})[0] == (0, 2, 1, 3, 5, 4)


def test_one_side_alone_teaches_nothing_in_the_mirror() -> None:
    """The unlabelled kidney of each case would become background that looks like the labelled one."""
    present = {1, 3, 4, 5}
    table, remark = mirrored_labels(LABELS | {"ignore": 6}, PAIRS, present)
    assert table is not None
    assert {label: table[label] for label in (0, *present, 6)} == {0: 6, 1: 6, 3: 3, 4: 5, 5: 4, 6: 6}
    assert "the other side of left_kidney" in remark
    table, remark = mirrored_labels(LABELS, PAIRS, present)  # no label to ignore with
    assert table is None
    assert "off" in remark and "left_kidney" in remark


def test_a_side_in_a_name_without_a_pair() -> None:
    labels = LABELS | {"Vena renalis (left)": 6, "ignore": 7}
    table, remark = mirrored_labels(labels, PAIRS, {*ALL, 6})
    assert table is not None and (table[6], table[0], table[1]) == (7, 7, 2)
    assert "Vena renalis (left)" in remark
    table, _ = mirrored_labels(LABELS | {"cleft": 6, "ignore": 7}, PAIRS, {*ALL, 6})
    assert table is not None and (table[6], table[0]) == (6, 0)


def test_a_scheme_without_pairs_is_not_mirrored() -> None:
    table, remark = mirrored_labels(LABELS, (), ALL)
    assert table is None and "paired_with" in remark


def test_the_data_set_names_the_pairs_of_its_scheme() -> None:
    scheme = LabelScheme.default()
    pairs = dataset_json("Dataset501_x", ["a"], scheme)[PAIRS_KEY]
    assert {name for pair in pairs for name in pair} == {one.name for one in scheme if one.paired_with}
    assert all(scheme[one].paired_with == other for one, other in pairs)
    table, remark = mirrored_labels({"background": 0} | scheme.label_names, pairs, range(1, len(scheme) + 1))
    assert table is not None and remark == ""
    assert [table[table[label]] for label in range(len(table))] == list(range(len(table)))
