"""Masks whose values a list names are decoded by these names, as submissions are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.errors import LabelError
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.value_names import check_mask, name_values

SCHEME = LabelScheme.default()
GRID = Geometry((4, 5, 6), np.diag([2.0, 2.0, 3.0, 1.0]))


def layer(*values: int) -> NDArray[np.uint16]:
    """An array of zeros with these values in its first voxels."""
    array = np.zeros(GRID.shape, dtype=np.uint16)
    array.reshape(-1)[: len(values)] = values
    return array


def test_values_become_positions_in_the_list_of_names() -> None:
    named = name_values(SCHEME, layer(7, 3, 7), [(7, "Leber"), (3, "kidney_left")], lenient=False)
    assert named.names == ("kidney_left", "Leber") and named.left_out == () and named.notes == []
    assert named.layer.reshape(-1)[:4].tolist() == [2, 1, 2, 0]


def test_classes_that_are_parts_of_a_structure_are_merged() -> None:
    names = [(1, "vertebrae_L1"), (2, "liver"), (3, "Vertebrae_L2")]
    named = name_values(SCHEME, layer(1, 2, 3), names, lenient=False)
    assert named.names == ("spine", "liver")
    assert named.layer.reshape(-1)[:3].tolist() == [1, 2, 1]


def test_a_structure_and_a_class_of_it_are_merged() -> None:
    named = name_values(SCHEME, layer(1, 2), [(1, "sacrum"), (2, "vertebrae_S1")], lenient=False)
    assert named.names == ("sacrum",) and named.layer.reshape(-1)[:2].tolist() == [1, 1]
    assert named.notes == []
    with pytest.raises(LabelError, match="two segments stand for left_kidney"):
        name_values(SCHEME, layer(1, 2), [(1, "kidney_left"), (2, "left kidney")], lenient=False)


def test_names_that_the_scheme_lacks_are_left_out_only_on_request() -> None:
    strict = name_values(SCHEME, layer(1, 2), [(1, "brain"), (2, "liver")], lenient=False)
    assert strict.names == ("brain", "liver")
    lenient = name_values(SCHEME, layer(1, 2), [(1, "brain"), (2, "liver")], lenient=True)
    assert lenient.names == ("liver",) and lenient.left_out == ("brain",)
    assert lenient.layer.reshape(-1)[:2].tolist() == [0, 1]
    assert lenient.notes == ["not in the label scheme and left out: brain"]


def test_values_without_a_name_are_not_lost() -> None:
    named = name_values(SCHEME, layer(1, 9), [(1, "liver")], lenient=True)
    assert named.names == ("liver", "value 9") and named.layer.reshape(-1)[:2].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("values", "names", "message"),
    [((1,), [(1, "brain")], "brain"), ((1, 9), [(1, "liver")], "value 9"), ((), [(1, "brain")], "no segment")],
)
def test_mask_that_cannot_be_imported_is_refused(
    tmp_path: Path, values: tuple[int, ...], names: list[tuple[int, str]], message: str
) -> None:
    write_nifti(tmp_path / "mask.nii.gz", layer(*values), GRID)
    with pytest.raises(LabelError, match=message):
        check_mask(SCHEME, GRID, tmp_path / "mask.nii.gz", names, lenient=False, required=())


def test_required_structures_must_be_named(tmp_path: Path) -> None:
    write_nifti(tmp_path / "mask.nii.gz", layer(1), GRID)
    with pytest.raises(LabelError, match="spleen"):
        check_mask(SCHEME, GRID, tmp_path / "mask.nii.gz", [(1, "liver")], lenient=False, required=("spleen",))


def test_what_was_left_out_is_reported(tmp_path: Path) -> None:
    write_nifti(tmp_path / "mask.nii.gz", layer(1, 2), GRID)
    names = [(1, "liver"), (2, "brain")]
    notes = check_mask(SCHEME, GRID, tmp_path / "mask.nii.gz", names, lenient=True, required=("liver",))
    assert notes == ["not in the label scheme and left out: brain"]
    notes = check_mask(
        SCHEME, GRID, tmp_path / "mask.nii.gz", [*names[:1], (5, "lesion"), (2, "spleen")], lenient=False, required=()
    )
    assert notes == ["not in the label scheme, and without voxels: lesion"]
