"""Masks are decoded by the names of their segments and by nothing else."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.errors import InvalidInput, LabelError
from mrseg_label.imaging import Geometry
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.decode import Decoded, decode

SCHEME = LabelScheme.default()
GRID = Geometry((5, 6, 7), np.diag([2.0, 2.5, 3.0, 1.0]))


def info(*names: str) -> list[dict[str, object]]:
    """label_info as Slicer's module sends it; idx is off, as it is there."""
    return [{"name": name, "idx": position + 3} for position, name in enumerate(names)]


def save(folder: Path, array: NDArray[np.int16], suffix: str = ".nii.gz") -> Path:
    path = folder / f"upload{suffix}"
    nib.save(nib.Nifti1Image(array, GRID.affine), path)
    return path


def mask(*values: int) -> NDArray[np.int16]:
    """An image of zeros with these values in its first voxels, one each along the first axes."""
    array = np.zeros(GRID.shape, dtype=np.int16)
    array.reshape(-1)[: len(values)] = values
    return array


def decoded(tmp_path: Path, array: NDArray[np.int16], *names: str) -> Decoded:
    return decode(SCHEME, GRID, save(tmp_path, array), info(*names))


def test_value_k_is_the_kth_name_after_removal_and_reordering(tmp_path: Path) -> None:
    result = decoded(tmp_path, mask(1, 2, 3, 3), "liver", "right_kidney", "spleen")
    assert result.mask.reshape(-1)[:4].tolist() == [SCHEME[n].id for n in ("liver", "right_kidney", "spleen", "spleen")]
    assert result.voxels == {"spleen": 2, "right_kidney": 1, "liver": 1}
    assert result.mask.dtype == np.uint8 and int((result.mask > 0).sum()) == 4


def test_empty_segment_is_absent_and_removed_segment_is_not_judged(tmp_path: Path) -> None:
    result = decoded(tmp_path, mask(2), "gallbladder", "liver")
    assert result.voxels == {"gallbladder": 0, "liver": 1}


def test_all_zero_mask_with_named_segments_says_that_all_are_absent(tmp_path: Path) -> None:
    result = decoded(tmp_path, mask(), "spleen", "liver")
    assert result.voxels == {"spleen": 0, "liver": 0} and not result.mask.any()


@pytest.mark.parametrize(
    ("shown", "structure"),
    [
        ("kidney_left", "left_kidney"),
        ("Left Kidney", "left_kidney"),
        ("LeftKidney", "left_kidney"),
        ("kidney, left ", "left_kidney"),
        ("Oesophagus", "esophagus"),
        ("gall bladder", "gallbladder"),
        ("autochthon_right", "right_autochthonous_muscle"),
        ("iliopsoas_left", "left_iliopsoas_muscle"),
        ("vertebrae", "spine"),
        ("lung_right", "right_lung"),
        ("Left iliac vein", "left_iliac_vena"),
    ],
)
def test_known_other_names_are_taken_and_reported(tmp_path: Path, shown: str, structure: str) -> None:
    result = decoded(tmp_path, mask(1), shown)
    assert result.voxels == {structure: 1}
    assert result.report() == {"renamed": {shown: structure}}


def test_unknown_filled_segment_is_refused_and_both_lists_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"'tumour' \(1 voxels\).*spleen.*right_gluteus_minimus"):
        decoded(tmp_path, mask(1, 2), "liver", "tumour")


def test_unknown_empty_segment_is_left_out_and_reported(tmp_path: Path) -> None:
    result = decoded(tmp_path, mask(1), "liver", "tumour")
    assert result.ignored == ["tumour"] and result.voxels == {"liver": 1}


def test_a_part_of_several_structures_of_another_label_set_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="vertebrae_L1"):
        decoded(tmp_path, mask(1), "vertebrae_L1")


@pytest.mark.parametrize("names", [("liver", "liver"), ("left_kidney", "kidney_left"), ("x", "x")])
def test_two_segments_of_one_name_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    with pytest.raises(LabelError, match=names[1]):
        decoded(tmp_path, mask(1), *names)


def test_value_beyond_the_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"value 3 .*2 segments are listed \(liver, spleen\)"):
        decoded(tmp_path, mask(1, 3), "liver", "spleen")


def test_mask_without_any_name_is_refused_but_an_empty_one_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="none"):
        decoded(tmp_path, mask(1))
    assert decoded(tmp_path, mask()).voxels == {}


@pytest.mark.parametrize("label_info", [{"name": "liver"}, "liver", None, [{"idx": 1}], ["liver"], [{"name": " "}]])
def test_label_info_that_is_no_list_of_names_is_refused(tmp_path: Path, label_info: object) -> None:
    with pytest.raises(InvalidInput, match="label_info"):
        decode(SCHEME, GRID, save(tmp_path, mask()), label_info)


def test_background_entry_keeps_its_place_and_is_left_out(tmp_path: Path) -> None:
    result = decoded(tmp_path, mask(1, 2), "background", "liver")
    assert result.mask.reshape(-1)[:2].tolist() == [0, SCHEME["liver"].id]
    assert result.ignored == ["background"]


def test_values_a_thousandth_off_are_rounded_and_others_are_refused(tmp_path: Path) -> None:
    array = mask(1, 2).astype(np.float32)
    near = array * np.float32(1.0004)
    path = tmp_path / "near.nii.gz"
    nib.save(nib.Nifti1Image(near, GRID.affine), path)
    assert decode(SCHEME, GRID, path, info("liver", "spleen")).voxels == {"spleen": 1, "liver": 1}
    nib.save(nib.Nifti1Image(array * np.float32(1.01), GRID.affine), path)
    with pytest.raises(InvalidInput, match="whole numbers"):
        decode(SCHEME, GRID, path, info("liver", "spleen"))


def test_scaled_integers_are_labels(tmp_path: Path) -> None:
    image = nib.Nifti1Image(mask(1, 2).astype(np.float64), GRID.affine)
    image.header.set_data_dtype(np.int16)
    path = tmp_path / "scaled.nii.gz"
    nib.save(image, path)
    assert decode(SCHEME, GRID, path, info("liver", "spleen")).voxels == {"spleen": 1, "liver": 1}


def test_classes_that_make_up_a_structure_together_are_merged(tmp_path: Path) -> None:
    result = decoded(tmp_path, mask(1, 2, 3), "vertebrae_S1", "liver", "sacrum")
    assert result.voxels == {"liver": 1, "sacrum": 2}
    assert result.mask.reshape(-1)[:3].tolist() == [SCHEME[n].id for n in ("sacrum", "liver", "sacrum")]
    assert result.renamed == {"vertebrae_S1": "sacrum"}
    lobes = decoded(tmp_path, mask(1, 2), "lung_upper_lobe_left", "lung_lower_lobe_left")
    assert lobes.voxels == {"left_lung": 2} and lobes.incomplete == ()
    with pytest.raises(LabelError, match="two segments stand for sacrum"):
        decoded(tmp_path, mask(1, 2), "vertebrae_S1", "Vertebrae_S1")


def test_segments_may_have_the_names_that_people_write_or_their_keys(tmp_path: Path) -> None:
    scheme = LabelScheme.parse("id\tname\n1\tLeft Kidney\n2\tRight Kidney\n3\tWirbelsäule (gesamt)\n")
    for names in (["Wirbelsäule (gesamt)", "Left Kidney"], ["wirbelsaule_gesamt", "left_kidney"]):
        result = decode(scheme, GRID, save(tmp_path, mask(1, 2, 2)), info(*names))
        assert result.mask.reshape(-1)[:3].tolist() == [3, 1, 1]
        assert result.renamed == {}
    result = decode(scheme, GRID, save(tmp_path, mask(1)), info("kidney, LEFT"))
    assert result.renamed == {"kidney, LEFT": "left_kidney"}
