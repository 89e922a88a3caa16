"""Whatever axes come in, every reader of the stored file sees the voxels where the original has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.imaging import write_nifti
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.nnunet.dataset import TrainingCase, write_raw_dataset
from mrseg_label.workspace import Workspace

Opened = OpenedWorkspace
# A qform holds three parts of the unit quaternion in float32; readers take the first part as what they leave of 1, near half a
# turn the root of a difference of 1.2e-7 (two steps of float32 below 1). An element of the rotation is twice that.
TURN = 2 * np.sqrt(2 * np.finfo(np.float32).epsneg)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    root = tmp_path_factory.mktemp("geometry") / "ws"
    Workspace.init(root)
    workspace = open_workspace(root)
    yield workspace
    workspace.catalog.close()


@st.composite
def affines(draw: st.DrawFn) -> NDArray[np.float64]:
    """Any order and direction of axes, oblique or not, left- or right-handed, any spacing and origin."""
    angles = [draw(st.sampled_from((0.0, draw(st.floats(-180, 180))))) for _ in range(3)]
    axes = np.eye(3)[:, draw(st.permutations(range(3)))] * [draw(st.sampled_from((-1, 1))) for _ in range(3)]
    spacing = [draw(st.floats(0.4, 9)) for _ in range(3)]
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ axes * spacing
    affine[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    return affine


def write(path: Path, array: NDArray[np.int16], affine: NDArray[np.float64]) -> None:
    if path.name.endswith(".nii.gz"):
        image = nib.Nifti1Image(array, affine)
        # ITK reads the sform where both have this code. A qform alone is less exact, see TURN.
        image.set_sform(affine, code=1)
        image.set_qform(affine, code=1)
        nib.save(image, path)
        return
    lps = np.diag((-1.0, -1.0, 1.0, 1.0)) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    by_itk = sitk.GetImageFromArray(array.transpose())
    by_itk.SetSpacing(spacing.tolist())
    by_itk.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    by_itk.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(by_itk, str(path))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(affine=affines(), suffix=st.sampled_from((".nii.gz", ".nrrd", ".mha")), seed=st.integers(0, 2**31))
def test_world_coordinates_stay(
    opened: Opened, tmp_path: Path, affine: NDArray[np.float64], suffix: str, seed: int
) -> None:
    workspace = opened
    array = np.random.default_rng(seed).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    source = tmp_path / f"image{suffix}"
    write(source, array, affine)
    report = import_paths(workspace, [source], ImportOptions(participant=f"P {seed}"))
    if report.unchanged:
        return  # the very voxels again, on the same grid
    assert not report.refused
    (entry,) = report.accepted
    stored = workspace.path(entry.stored)
    by_nibabel, by_itk, original = nib.load(stored), sitk.ReadImage(str(stored)), sitk.ReadImage(str(source))
    tolerance = 1e-3  # mm; headers are float32
    sform, qform = by_nibabel.get_sform(coded=True), by_nibabel.get_qform(coded=True)
    assert sform[1] == qform[1] == 1
    assert np.allclose(sform[0], affine, atol=tolerance)
    # Column by column, since what a turn moves grows with the spacing.
    error = np.abs(qform[0] - affine).max(axis=0)
    assert (error[:3] <= tolerance + TURN * np.linalg.norm(affine[:3, :3], axis=0)).all() and error[3] <= tolerance
    assert np.allclose(entry.geometry.affine, affine, atol=tolerance)
    assert by_nibabel.header.get_xyzt_units()[0] == "mm"
    for index in ((0, 0, 0), (4, 0, 0), (0, 5, 0), (0, 0, 6), (2, 3, 1)):
        world = affine @ (*index, 1)
        lps = world[:3] * (-1, -1, 1)
        assert np.allclose(by_itk.TransformIndexToPhysicalPoint(index), lps, atol=tolerance)
        assert np.allclose(original.TransformIndexToPhysicalPoint(index), lps, atol=tolerance)
        assert by_itk.GetPixel(index) == original.GetPixel(index) == by_nibabel.dataobj[index] == array[index]
    # In nnU-Net's raw data set the axes are RAS; every voxel stays where it is in the world.
    label = tmp_path / "label.nii.gz"
    write_nifti(label, np.ones(array.shape, np.uint8), entry.geometry)
    case = TrainingCase("case", stored, label, entry.participant)
    dataset = write_raw_dataset(tmp_path / f"raw-{entry.id}", "Dataset501_test", [case], workspace.scheme)
    trained_on = sitk.ReadImage(str(dataset.folder / "imagesTr/case_0000.nii.gz"))
    for index in ((0, 0, 0), (4, 0, 0), (0, 5, 0), (0, 0, 6), (2, 3, 1)):
        found = trained_on.TransformPhysicalPointToContinuousIndex(by_itk.TransformIndexToPhysicalPoint(index))
        assert np.allclose(found, np.rint(found), atol=0.01)
        assert trained_on.GetPixel([int(n) for n in np.rint(found)]) == array[index]
