"""Every source makes a draft from weights in the layout in which they are published, through the real libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrseg_label.imaging import Geometry, load_image, reorient, reorient_like, write_nifti
from mrseg_label.labels import LabelScheme
from mrseg_label.presegmentation.loaded_networks import LoadedNetworks
from mrseg_label.presegmentation.networks import NETWORKS, TotalSegmentatorNetwork
from mrseg_label.presegmentation.sources import Source
from mrseg_label.workspace import Workspace
from tests.support.nnunet_cases import image_and_labels
from tests.support.published_weights import workspace_with_every_source

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
        first = networks.segment(source, tmp_path / "RAS.nii", "in")
        assert first.dtype == np.uint8 and first.shape == image[1].shape
        assert first.any() and first.max() <= len(SCHEME), source
        again = networks.segment(source, tmp_path / "PIL.nii", "in")
        np.testing.assert_array_equal(reorient_like(again, load_image(tmp_path / "PIL.nii")[1], image[1]), first)
    # Each data set of TotalSegmentator is a network of its own. All of them stay loaded: they are small.
    used = NETWORKS.values() if which == "all" else (NETWORKS[name] for name in ("total", "total_mr"))
    assert len(networks) >= sum(len(one.folders) for one in used if isinstance(one, TotalSegmentatorNetwork))
