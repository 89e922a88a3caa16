"""What a model expects of its images: the orientation that it was trained in, and the meaning of its labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging import Geometry, reorient
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.conventions import CONVENTIONS_FILE, ModelConventions, require_orientation, stated_heads
from mrseg_label.nnunet.predict import network_input
from mrseg_label.nnunet.warm_start import turned_weights
from tests.support.axis_orders import as_stored, large_image

SCHEME = LabelScheme.parse("id\tname\n1\tliver\n2\tspleen\n3\tspine\n")


def plans(folder: Path, reader: str, **more: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "plans.json").write_text(json.dumps({"image_reader_writer": reader, **more}))
    return folder


def test_the_reader_or_somebody_says_how_images_lay(tmp_path: Path) -> None:
    ours = plans(tmp_path / "ours", "NibabelIOWithReorient")
    assert ModelConventions.read(ours) == ModelConventions("RAS")
    ModelConventions("RAS").write(ours)
    assert not (ours / CONVENTIONS_FILE).exists()
    with pytest.raises(InvalidInput, match="contradicts the stated orientation LPS"):
        require_orientation(ours, "LPS")
    for reader in ("SimpleITKIO", "NibabelIO", ""):
        theirs = plans(tmp_path / f"theirs{reader}", reader)
        with pytest.raises(InvalidInput, match="--orientation LPS for the published MRSegmentator"):
            ModelConventions.read(theirs)
        with pytest.raises(InvalidInput, match="is not an orientation"):
            require_orientation(theirs, "as stored")
        ModelConventions(require_orientation(theirs, "lps")).write(theirs)
        assert ModelConventions.read(theirs) == ModelConventions("LPS")
        (theirs / CONVENTIONS_FILE).write_text('{"structures": {"a": 1}}')
        with pytest.raises(InvalidInput, match="damaged"):
            ModelConventions.read(theirs)


def test_labels_are_translated_by_what_they_mean(tmp_path: Path) -> None:
    folder = plans(tmp_path / "m", "SimpleITKIO")
    labels = {"background": 0, "Milz": 1, "L1": 2, "L2": 3, "fat": 4, "ignore": 5}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert stated_heads(folder, SCHEME) is None
    ModelConventions("LPS", {"Milz": "spleen", "L1": "spine", "L2": "spine", "fat": None}).write(folder)
    table = ModelConventions.read(folder).lookup({"Milz": 1, "L1": 2, "L2": 3, "fat": 4}, SCHEME)
    assert table[[0, 1, 2, 3, 4]].tolist() == [0, 2, 3, 3, 0]
    assert stated_heads(folder, SCHEME) == {2: (1,), 3: (2, 3)}
    with pytest.raises(InvalidInput, match=r"'Leber' means 'Leber', which is not in"):
        ModelConventions("LPS").lookup({"Leber": 1}, SCHEME)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "SPL"])
def test_a_network_gets_the_same_image_in_all_orders_of_axes(orientation: str) -> None:
    array, geometry = large_image()
    image = array.astype(np.float32) / 7, geometry
    expected, properties = network_input(*image, orientation)
    turned, grid = reorient(*image, orientation)
    np.testing.assert_array_equal(expected[0], turned.transpose(2, 1, 0))
    np.testing.assert_allclose(properties["spacing"], grid.spacing_mm[::-1], rtol=1e-6)
    for stored, stored_grid in as_stored(image):
        found, found_properties = network_input(stored, stored_grid, orientation)
        np.testing.assert_array_equal(found, expected)
        assert (found.strides, found_properties) == (expected.strides, properties)


@pytest.mark.parametrize(("orientation", "transpose"), [("LPS", [0, 1, 2]), ("SPL", [0, 1, 2]), ("PIR", [1, 2, 0])])
def test_kernels_are_turned_with_the_images(tmp_path: Path, orientation: str, transpose: list[int]) -> None:
    """The turned network finds in an image in our orientation what its own finds in the image as it was trained."""
    folder = plans(tmp_path / "m", "SimpleITKIO", transpose_forward=transpose)
    ModelConventions(orientation).write(folder)
    kernel, bias = torch.randn(2, 1, 3, 3, 3, generator=torch.Generator().manual_seed(1)), torch.randn(2)
    turned = turned_weights({"conv.weight": kernel, "conv.bias": bias}, folder, (0, 1, 2))
    assert torch.equal(turned["conv.bias"], bias)
    image, geometry = large_image()
    image, geometry = reorient(image, geometry, "RAS")
    image = image[:9, :8, :7].astype(np.float32)
    geometry = Geometry((9, 8, 7), geometry.affine)

    def found(weights: torch.Tensor, axcodes: str, order: list[int]) -> np.ndarray:  # type: ignore[type-arg]
        """Feature maps in RAS, (2, X, Y, Z)."""
        array, grid = reorient(image, geometry, axcodes)
        network_order = np.ascontiguousarray(array.transpose(2, 1, 0).transpose(order))
        maps = torch.nn.functional.conv3d(torch.from_numpy(network_order)[None, None], weights, bias, padding=1)[0]
        back = maps.numpy().transpose(0, *(np.argsort(order) + 1)).transpose(0, 3, 2, 1)
        return np.stack([reorient(part, grid, "RAS")[0] for part in back])

    ours = found(turned["conv.weight"], "RAS", [0, 1, 2])
    np.testing.assert_allclose(ours, found(kernel, orientation, transpose), rtol=1e-4, atol=1e-2)
