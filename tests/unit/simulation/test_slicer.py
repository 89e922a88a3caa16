"""Files that the simulated Slicer reads and writes: segments go by name, the geometry is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from mrseg_label.errors import GeometryError
from mrseg_label.simulation.pictures import geometry_of
from mrseg_label.simulation.radiologist import dsc_of_present, truth_on
from mrseg_label.simulation.slicer import Export, plan_export, same_grid, to_label_ids, write_export

IDS = {"liver": 1, "spleen": 2, "aorta": 3, "heart": 4}


@pytest.fixture
def image() -> sitk.Image:
    image = sitk.GetImageFromArray(np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6))
    image.SetSpacing((2.0, 2.5, 4.0))
    image.SetOrigin((-10.0, 20.0, 30.0))
    image.SetDirection((-1, 0, 0, 0, 0.98, -0.198997, 0, -0.198997, -0.98))
    return image


@pytest.fixture
def labels() -> NDArray[np.uint8]:
    labels = np.zeros((4, 5, 6), dtype=np.uint8)
    labels[0], labels[1, 2], labels[3, :, 4] = 1, 2, 3
    return labels


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz"])
@pytest.mark.parametrize(
    "segments",
    [("liver", "spleen", "aorta", "heart"), ("aorta", "heart", "liver", "spleen"), ("spleen", "liver", "aorta")],
)
def test_the_kth_segment_has_the_label_id_k(
    image: sitk.Image, labels: NDArray[np.uint8], tmp_path: Path, segments: tuple[str, ...], suffix: str
) -> None:
    path = write_export(labels, IDS, Export("test", segments, suffix), image, tmp_path)
    exported = sitk.ReadImage(str(path))
    values = sitk.GetArrayFromImage(exported)
    assert values.dtype == np.int16
    assert same_grid(exported, image)
    for position, name in enumerate(segments, start=1):
        assert np.array_equal(values == position, labels == IDS[name])


def test_a_mask_is_read_in_the_order_of_its_names(image: sitk.Image, labels: NDArray[np.uint8]) -> None:
    names = ["heart", "aorta", "spleen", "liver"]
    values = np.array([0, *(names.index(name) + 1 for name in IDS)], dtype=np.uint8)[labels]
    mask = sitk.GetImageFromArray(values)
    mask.CopyInformation(image)
    assert np.array_equal(to_label_ids(mask, names, IDS, image), labels)


def test_a_mask_on_another_grid_is_refused(image: sitk.Image, labels: NDArray[np.uint8]) -> None:
    mask = sitk.GetImageFromArray(labels)
    mask.CopyInformation(image)
    mask.SetOrigin((-10.0, 20.0, 31.0))
    with pytest.raises(GeometryError, match="grid"):
        to_label_ids(mask, list(IDS), IDS, image)


def test_a_label_id_without_a_name_is_refused(image: sitk.Image, labels: NDArray[np.uint8]) -> None:
    mask = sitk.GetImageFromArray(labels)
    mask.CopyInformation(image)
    with pytest.raises(GeometryError, match="2 segments"):
        to_label_ids(mask, ["liver", "spleen"], IDS, image)


def test_exports_vary_and_keep_every_present_segment() -> None:
    names = list(IDS)
    exports = [plan_export(names, {"liver", "aorta"}, np.random.default_rng(seed)) for seed in range(40)]
    assert {export.habit for export in exports} == {"as loaded", "reordered", "empty segments removed", "NIfTI"}
    assert {export.suffix for export in exports} == {".nrrd", ".nii.gz"}
    assert any(export.segments != tuple(names) for export in exports if export.habit == "reordered")
    for export in exports:
        assert {"liver", "aorta"} <= set(export.segments)
        assert len(set(export.segments)) == len(export.segments)
    assert all(export.segments == ("liver", "aorta") for export in exports if export.habit == "empty segments removed")


def test_the_truth_is_resampled_to_the_images_grid_in_any_axis_order(
    image: sitk.Image, labels: NDArray[np.uint8], tmp_path: Path
) -> None:
    truth = sitk.GetImageFromArray(labels)
    truth.CopyInformation(image)
    sitk.WriteImage(sitk.PermuteAxes(sitk.Flip(truth, (True, False, True)), (2, 0, 1)), str(tmp_path / "truth.nii.gz"))
    assert np.array_equal(truth_on(image, tmp_path / "truth.nii.gz"), labels)


def test_dsc_is_given_for_present_structures_only(labels: NDArray[np.uint8]) -> None:
    from mrseg_label.labels import LabelScheme

    scheme = LabelScheme.parse("id\tname\n" + "\n".join(f"{number}\t{name}" for name, number in IDS.items()))
    labels = labels.repeat(2, axis=1).repeat(2, axis=2)  # so that there is enough of each to count
    presegmentation = labels.copy()
    presegmentation[2] = 4  # a heart that does not exist is not a present structure
    presegmentation[labels == 3] = 0
    labels[3, 0, 0] = 4  # and neither is one voxel of it
    assert dsc_of_present(labels, presegmentation, scheme) == {"liver": 1.0, "spleen": 1.0, "aorta": 0.0}


def test_geometry_equals_that_of_nibabel(image: sitk.Image, tmp_path: Path) -> None:
    import nibabel as nib

    sitk.WriteImage(image, str(tmp_path / "image.nii.gz"))
    stored = nib.load(tmp_path / "image.nii.gz")
    geometry = geometry_of(image)
    assert geometry.shape == stored.shape
    np.testing.assert_allclose(geometry.affine, stored.affine, atol=1e-3)
    assert np.array_equal(sitk.GetArrayFromImage(image).T, np.asanyarray(stored.dataobj))
