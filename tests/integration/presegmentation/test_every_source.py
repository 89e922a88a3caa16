"""Every source makes a draft from weights in the layout in which they are published, through the real libraries."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.axis_orders import compare_inputs
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.errors import InvalidInput
from mrseg_label.imaging import Geometry, load_image, reorient, reorient_like, write_nifti
from mrseg_label.labels import LabelScheme
from mrseg_label.presegmentation.loaded_networks import LoadedNetworks
from mrseg_label.presegmentation.networks import NETWORKS, TotalSegmentatorNetwork
from mrseg_label.presegmentation.sources import Source
from mrseg_label.presegmentation.totalseg import TotalSegmentatorRuntime
from mrseg_label.registry.archive import write_archive
from mrseg_label.registry.importing import import_zip
from mrseg_label.workspace import Workspace
from tests.support.nnunet_cases import image_and_labels
from tests.support.published_weights import workspace_with_every_source, write_mrsegmentator

SCHEME = LabelScheme.default()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[Source]]:
    return workspace_with_every_source(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def networks(installed: tuple[Workspace, list[Source]]) -> LoadedNetworks:
    return LoadedNetworks(installed[0], "cpu")


@pytest.fixture(scope="module")
def image() -> tuple[np.ndarray[Any, Any], Geometry]:
    array, _, geometry = image_and_labels(8)
    return array, geometry


# Several networks in one draft, one of MR, those of LPS and SAR, and a preparation for a network that is not TotalSegmentator's.
SOME = ("total", "total_mr", "mrsegmentator", "model:import-sar:inverted")


@pytest.mark.parametrize("which", ["some", pytest.param("all", marks=pytest.mark.soak)])
def test_a_source_segments_in_any_orientation(
    which: str,
    installed: tuple[Workspace, list[Source]],
    networks: LoadedNetworks,
    image: tuple[np.ndarray[Any, Any], Geometry],
    tmp_path: Path,
) -> None:
    stored = {axes: reorient(*image, axes) for axes in ("RAS", "PIL")}
    for axes, (array, geometry) in stored.items():
        write_nifti(tmp_path / f"{axes}.nii", array, geometry)
    for source in installed[1] if which == "all" else map(Source.parse, SOME):
        segmentation = networks.segment(source, tmp_path / "RAS.nii", "in")
        first = segmentation.label_map
        # The API of TotalSegmentator does not tell how sure it is.
        assert (segmentation.softmax is None) == (source.network in NETWORKS and source.network != "mrsegmentator")
        if segmentation.softmax is not None:
            assert segmentation.softmax.keys() <= set(range(1, len(SCHEME) + 1)), source
            assert segmentation.softmax.keys() & set(np.unique(first).tolist()), source
            assert all(0 <= value <= 1 for value in segmentation.softmax.values())
        assert first.dtype == np.uint8 and first.shape == image[1].shape
        assert first.any() and first.max() <= len(SCHEME), source
        again = networks.segment(source, tmp_path / "PIL.nii", "in").label_map
        np.testing.assert_array_equal(reorient_like(again, load_image(tmp_path / "PIL.nii")[1], image[1]), first)
    # Each data set of TotalSegmentator is a network of its own. All of them stay loaded: they are small.
    used = NETWORKS.values() if which == "all" else (NETWORKS[name] for name in ("total", "total_mr"))
    assert len(networks) >= sum(len(one.folders) for one in used if isinstance(one, TotalSegmentatorNetwork))


def test_the_mrsegmentator_weights_segment_as_in_its_own_program(
    installed: tuple[Workspace, list[Source]],
    networks: LoadedNetworks,
    image: tuple[np.ndarray[Any, Any], Geometry],
    tmp_path: Path,
) -> None:
    """Which orients an image to LPS by ITK, gives it to nnU-Net's predictor, and orients the labels back."""
    import SimpleITK as sitk
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    weights = installed[0].settings.weights_path
    assert weights is not None
    write_nifti(tmp_path / "x.nii.gz", *reorient(*image, "SAR"))
    found = networks.segment(Source("mrsegmentator"), tmp_path / "x.nii.gz").label_map

    stored = sitk.ReadImage(str(tmp_path / "x.nii.gz"))
    turned = sitk.DICOMOrient(stored, "LPS")
    stock = nnUNetPredictor(use_mirroring=True, device=torch.device("cpu"), allow_tqdm=False)
    stock.initialize_from_trained_model_folder(str(weights), (0, 1))
    data = sitk.GetArrayFromImage(turned)[None].astype(np.float32)
    labels = stock.predict_single_npy_array(data, {"spacing": list(turned.GetSpacing())[::-1]})
    mask = sitk.GetImageFromArray(labels.astype(np.uint8))
    mask.CopyInformation(turned)
    back = sitk.DICOMOrient(mask, sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(stored.GetDirection()))
    assert len(np.unique(found)) > 3
    assert (found == sitk.GetArrayFromImage(back).T).mean() > 0.9999


@pytest.mark.parametrize("form", ["folder", "folder with base", "zip"])
def test_the_mrsegmentator_weights_can_be_imported_as_a_version(
    form: str,
    networks: LoadedNetworks,
    image: tuple[np.ndarray[Any, Any], Geometry],
    tmp_path: Path,
) -> None:
    write_mrsegmentator(tmp_path / "weights", base=form == "folder with base", folds=range(2))
    file = tmp_path / "weights"
    if form == "zip":
        file = tmp_path / "weights.zip"
        write_archive(tmp_path / "weights", file)
    labels = {str(structure.id): structure.name for structure in SCHEME}
    Workspace.init(tmp_path / "ws", settings_text='DEVICE = "cpu"\n')
    with closing(open_workspace(tmp_path / "ws")) as opened:
        with pytest.raises(InvalidInput, match="--orientation LPS"):
            import_zip(opened, file, labels=labels)
        row = import_zip(opened, file, labels=labels, orientation="LPS", licence="Apache-2.0")
    trained = "Dataset020_MRSegmentator/nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres"
    assert row.path == f"models/{row.version}/{trained}"
    write_nifti(tmp_path / "x.nii.gz", *reorient(*image, "LIP"))
    by_version = LoadedNetworks(opened, "cpu").segment(Source.of_version(row.version), tmp_path / "x.nii.gz")
    by_setting = networks.segment(Source("mrsegmentator"), tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(by_version.label_map, by_setting.label_map)


def test_a_network_is_given_the_same_image_however_its_axes_lie(
    installed: tuple[Workspace, list[Source]],
    networks: LoadedNetworks,
    image: tuple[np.ndarray[Any, Any], Geometry],
    tmp_path: Path,
) -> None:
    """And a mask finds its way back; the benchmark ``axis_orders --inputs`` does this for all orders, sources and sizes."""
    orders = ("RAS", "PIL", "SRA")
    for source in map(Source.parse, (*SOME, "model:import-ras")):

        def segment(path: Path, source: Source = source) -> np.ndarray[Any, Any]:
            return networks.segment(source, path, "in").label_map

        mask, inputs, worst = compare_inputs(segment, image, orders, tmp_path)
        assert mask.any() and (inputs, worst) == (1, {}), source
    weights = installed[0].settings.totalseg_weights_path
    assert weights is not None
    runtime = TotalSegmentatorRuntime(weights, tmp_path, "cpu")

    def not_turned(path: Path) -> np.ndarray[Any, Any]:
        array, geometry, _ = load_image(path)
        return runtime.total_ids(array, geometry)

    _, inputs, worst = compare_inputs(not_turned, image, orders, tmp_path)
    assert inputs == len(worst) + 1 == len(orders)
