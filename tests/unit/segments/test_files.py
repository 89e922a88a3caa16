"""A segmentation lies on its image's grid exactly, or it is refused."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from mrseg_label.errors import GeometryError, InvalidInput, LabelError, TooLarge
from mrseg_label.imaging import Geometry
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.decode import decode
from mrseg_label.segments.files import read_segmentation

SCHEME = LabelScheme.default()


def oblique(shape: tuple[int, int, int] = (6, 7, 8)) -> Geometry:
    """An LPS-like grid turned by 10 degrees."""
    angle = np.deg2rad(10)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-2.0, -2.5, 3.0])
    affine[:3, 3] = (31.5, -17.25, 404.0)
    return Geometry(shape, affine)


GRID = oblique()


def labels(shape: tuple[int, int, int] = GRID.shape) -> NDArray[np.int16]:
    """Labels 0 to 3 with no symmetry."""
    return np.random.default_rng(5).integers(0, 4, shape).astype(np.int16)


def save_nifti(path: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> Path:
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def save_seg(
    path: Path, layers: NDArray[Any], affine: NDArray[np.float64], segments: list[tuple[str, int, int]], **more: str
) -> Path:
    """A .seg.nrrd as Slicer writes it: LPS, layers first; segments as (name, layer, value)."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    header: dict[str, Any] = {
        "space": "left-posterior-superior",
        "space origin": lps[:3, 3],
        "encoding": "gzip",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
    }
    directions = lps[:3, :3].T
    if layers.ndim == 4:
        header["kinds"] = ["list", "domain", "domain", "domain"]
        directions = np.vstack([[np.nan] * 3, directions])
    else:
        header["kinds"] = ["domain"] * 3
    header["space directions"] = directions
    for number, (name, layer, value) in enumerate(segments):
        header |= {
            f"Segment{number}_ID": f"Segment_{number}",
            f"Segment{number}_Name": name,
            f"Segment{number}_LabelValue": str(value),
            f"Segment{number}_Layer": str(layer),
            f"Segment{number}_Color": "0.5 0.2 0.1",
        }
    nrrd.write(str(path), layers, header | more)
    return path


def test_same_grid_is_read_as_it_is(tmp_path: Path) -> None:
    array = labels()
    read = read_segmentation(save_nifti(tmp_path / "a.nii.gz", array, GRID.affine), GRID)
    assert np.array_equal(read.layers[0], array) and read.notes == () and read.segments is None


def test_direction_off_by_rounding_is_the_same_grid(tmp_path: Path) -> None:
    affine = GRID.affine.copy()
    affine[:3, :3] += 2e-8
    read = read_segmentation(save_nifti(tmp_path / "a.nii.gz", labels(), affine), GRID)
    assert np.array_equal(read.layers[0], labels())


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "SAL", "PIR", "ASR", "IRP"])
def test_other_order_of_axes_is_undone_exactly(tmp_path: Path, axcodes: str) -> None:
    """Written by nibabel in another orientation, read back onto the image's grid."""
    image = nib.Nifti1Image(labels(), GRID.affine)
    transform = nib.orientations.ornt_transform(nib.io_orientation(GRID.affine), nib.orientations.axcodes2ornt(axcodes))
    nib.save(image.as_reoriented(transform), tmp_path / "a.nii.gz")
    read = read_segmentation(tmp_path / "a.nii.gz", GRID)
    assert np.array_equal(read.layers[0], labels())
    assert bool(read.notes) == (axcodes != GRID.axcodes)


def test_nrrd_of_simpleitk_is_read(tmp_path: Path) -> None:
    """An independent writer: SimpleITK, with LPS geometry."""
    image = sitk.GetImageFromArray(labels().transpose(2, 1, 0))
    lps = np.diag([-1.0, -1.0, 1.0]) @ GRID.affine[:3, :3]
    spacing = np.linalg.norm(lps, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps / spacing).ravel().tolist())
    image.SetOrigin((np.diag([-1.0, -1.0, 1.0]) @ GRID.affine[:3, 3]).tolist())
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"), useCompression=True)
    assert np.array_equal(read_segmentation(tmp_path / "a.nrrd", GRID).layers[0], labels())


@pytest.mark.parametrize(("column", "change"), [(3, [0.0, 0.0, 1.0]), (0, [0.1, 0.0, 0.0])], ids=["origin", "spacing"])
def test_other_grid_is_refused_with_both_geometries(tmp_path: Path, column: int, change: list[float]) -> None:
    affine = GRID.affine.copy()
    affine[:3, column] += change
    with pytest.raises(GeometryError, match="6 x 7 x 8.*against 6 x 7 x 8"):
        read_segmentation(save_nifti(tmp_path / "a.nii.gz", labels(), affine), GRID)


def test_other_size_is_refused_but_in_seg_nrrd(tmp_path: Path) -> None:
    array = labels()[:, 1:, :]
    affine = GRID.affine.copy()
    affine[:3, 3] = (GRID.affine @ [0, 1, 0, 1])[:3]
    with pytest.raises(GeometryError, match="number of voxels"):
        read_segmentation(save_nifti(tmp_path / "a.nii.gz", array, affine), GRID)
    segments = [("liver", 0, 1), ("spleen", 0, 2), ("heart", 0, 3)]
    read = read_segmentation(save_seg(tmp_path / "a.seg.nrrd", array, affine, segments), GRID)
    expected = np.zeros(GRID.shape)
    expected[:, 1:, :] = array
    assert np.array_equal(read.layers[0], expected)


def test_larger_extent_is_cropped_and_voxels_outside_are_refused(tmp_path: Path) -> None:
    array = np.pad(labels(), 2)
    affine = GRID.affine.copy()
    affine[:3, 3] = (GRID.affine @ [-2, -2, -2, 1])[:3]
    segments = [("liver", 0, 1), ("spleen", 0, 2), ("heart", 0, 3)]
    read = read_segmentation(save_seg(tmp_path / "a.seg.nrrd", array, affine, segments), GRID)
    assert np.array_equal(read.layers[0], labels())
    array[0, 0, 0] = 1
    with pytest.raises(GeometryError, match="1 voxels of segments lie outside"):
        read_segmentation(save_seg(tmp_path / "a.seg.nrrd", array, affine, segments), GRID)


def test_seg_nrrd_off_the_lattice_is_refused(tmp_path: Path) -> None:
    affine = GRID.affine.copy()
    affine[:3, 3] += 1.0
    with pytest.raises(GeometryError, match="lattice"):
        read_segmentation(save_seg(tmp_path / "a.seg.nrrd", labels(), affine, [("liver", 0, 1)]), GRID)


def test_overlapping_layers_later_segment_wins_and_is_reported(tmp_path: Path) -> None:
    layers = np.zeros((2, *GRID.shape), dtype=np.uint8)
    layers[0, :3] = 1  # spleen, listed last although in the first layer
    layers[1, 2:5] = 1  # liver
    layers[1, 5] = 2  # scribbles
    path = save_seg(
        tmp_path / "a.seg.nrrd",
        layers,
        GRID.affine,
        [("background", 0, 9), ("liver", 1, 1), ("foreground_scribbles", 1, 2), ("spleen", 0, 1)],
    )
    plane = GRID.shape[1] * GRID.shape[2]
    result = decode(SCHEME, GRID, path, [{"name": "liver"}, {"name": "spleen"}])
    assert (result.mask[:3] == SCHEME["spleen"].id).all() and (result.mask[3:5] == SCHEME["liver"].id).all()
    assert not result.mask[5].any()
    assert result.voxels == {"spleen": 3 * plane, "liver": 2 * plane}
    assert result.overlaps == {"liver < spleen": plane}
    assert result.ignored == ["background", "foreground_scribbles"]


def test_segment_covered_whole_is_not_called_absent(tmp_path: Path) -> None:
    layers = np.zeros((2, *GRID.shape), dtype=np.uint8)
    layers[0, 1], layers[1, :3] = 1, 1
    path = save_seg(tmp_path / "a.seg.nrrd", layers, GRID.affine, [("liver", 0, 1), ("spleen", 1, 1)])
    result = decode(SCHEME, GRID, path, [])
    assert "liver" not in result.voxels and "liver" in result.notes[0]


def test_seg_nrrd_value_without_segment_is_refused(tmp_path: Path) -> None:
    array = labels()
    path = save_seg(tmp_path / "a.seg.nrrd", array, GRID.affine, [("liver", 0, 1), ("spleen", 0, 2)])
    with pytest.raises(LabelError, match="value 3"):
        decode(SCHEME, GRID, path, [])


def test_empty_segmentation_of_one_voxel_says_that_all_are_absent(tmp_path: Path) -> None:
    path = save_seg(tmp_path / "a.seg.nrrd", np.zeros((1, 1, 1), np.uint8), np.eye(4), [("liver", 0, 1)])
    assert decode(SCHEME, GRID, path, []).voxels == {"liver": 0}


def test_truncated_and_damaged_streams_are_refused(tmp_path: Path) -> None:
    whole = save_nifti(tmp_path / "whole.nii.gz", labels(), GRID.affine).read_bytes()
    for name, data in {
        "cut": whole[: len(whole) // 2],
        "no checksum": whole[:-8],
        "wrong checksum": whole[:-8] + bytes(4) + whole[-4:],
    }.items():
        path = tmp_path / f"{name}.nii.gz"
        path.write_bytes(data)
        with pytest.raises(InvalidInput, match=name):
            read_segmentation(path, GRID)


def test_bomb_and_lying_header_are_refused_before_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.seg.nrrd"
    fields = "type: double\ndimension: 4\nspace: left-posterior-superior\nsizes: 1 2000 2000 2000\n"
    fields += "space directions: none (2,0,0) (0,2,0) (0,0,2)\nkinds: list domain domain domain\nendian: little\n"
    fields += "encoding: gzip\nspace origin: (0,0,0)\nSegment0_Name:=liver\n\n"
    path.write_bytes(b"NRRD0004\n" + fields.encode() + gzip.compress(bytes(64 * 1024**2), 9))
    grid = Geometry((6, 7, 8), np.diag([-2.0, -2.0, 2.0, 1.0]))
    with pytest.raises((InvalidInput, TooLarge), match="bytes of voxels"):
        read_segmentation(path, grid)


def test_a_long_file_of_few_voxels_is_not_read_whole(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((8, 7, 6), np.uint8))
    sitk.WriteImage(image, str(tmp_path / "a.mha"), useCompression=True)
    with (tmp_path / "a.mha").open("r+b") as file:
        file.truncate(256 * 1024**2)
    grid = Geometry((6, 7, 8), np.diag([-1.0, -1.0, 1.0, 1.0]))
    tracemalloc.start()
    try:
        read = read_segmentation(tmp_path / "a.mha", grid)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not read.layers[0].any() and peak < 16 * 1024**2
