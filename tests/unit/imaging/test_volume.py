"""Images are read with one geometry or refused with a reason; what is written reads the same everywhere."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mrseg_label.errors import GeometryError, InvalidInput, MrsegError, TooLarge
from mrseg_label.imaging import Geometry, load_image, reorient, reorient_like, write_nifti
from mrseg_label.imaging.geometry import resolve_affine

SHAPE = (5, 6, 7)
AFFINES = {
    "plain RAS": np.diag([2.0, 2.5, 3.0, 1.0]),
    "LPS": np.array([[-1.5, 0, 0, 90], [0, -1.5, 0, 80], [0, 0, 4, -300], [0, 0, 0, 1.0]]),
    "left-handed": np.array([[-1.5, 0, 0, 90], [0, 1.5, 0, -80], [0, 0, 4, -300], [0, 0, 0, 1.0]]),
    "sagittal order": np.array([[0, 0, 5, -60], [1.1, 0, 0, -40], [0, -1.2, 0, 33], [0, 0, 0, 1.0]]),
}


def oblique(
    angles: tuple[float, float, float], spacing: tuple[float, float, float], flip: bool = False
) -> np.ndarray[Any, Any]:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * spacing
    if flip:
        affine[:3, 0] *= -1
    affine[:3, 3] = (-12.5, 140.25, -71)
    return affine


AFFINES["oblique"] = oblique((11, -23, 37), (1.2, 1.3, 4.5))
AFFINES["oblique, left-handed"] = oblique((-41, 12, 8), (0.7, 2, 3), flip=True)


def voxels(shape: tuple[int, ...] = SHAPE, dtype: Any = np.int16) -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).integers(-900, 1500, size=shape).astype(dtype)


def save(path: Path, array: np.ndarray[Any, Any], affine: np.ndarray[Any, Any]) -> Path:
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    nib.save(image, path)
    return path


def sitk_world_ras(path: Path, index: tuple[int, int, int]) -> np.ndarray[Any, Any]:
    point = sitk.ReadImage(str(path)).TransformIndexToPhysicalPoint(index)
    return np.array(point) * (-1, -1, 1)


@pytest.mark.parametrize("name", AFFINES)
def test_every_program_reads_the_same_voxels_in_the_same_place(tmp_path: Path, name: str) -> None:
    geometry, array, path = Geometry(SHAPE, AFFINES[name]), voxels(), tmp_path / "x.nii.gz"
    write_nifti(path, array, geometry)
    read = nib.load(path)
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(np.asanyarray(read.dataobj), array)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, array)
    np.testing.assert_allclose(read.affine, geometry.affine, atol=1e-4)
    np.testing.assert_allclose(read.get_qform(), read.get_sform(), atol=1e-4)
    assert (int(read.header["sform_code"]), int(read.header["qform_code"])) == (1, 1)
    assert read.header.get_xyzt_units()[0] == "mm"
    for index in itertools.product((0, SHAPE[0] - 1), (0, SHAPE[1] - 1), (0, SHAPE[2] - 1)):
        expected = (geometry.affine @ (*index, 1))[:3]
        np.testing.assert_allclose(sitk_world_ras(path, index), expected, atol=1e-3)
    again, geometry_again, warnings = load_image(path)
    np.testing.assert_array_equal(again, array)
    assert geometry_again.matches(geometry) and warnings == [] and again.dtype == np.int16


@settings(max_examples=40, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 8)] * 3),
    flip=st.booleans(),
)
def test_any_orientation_survives_a_file(
    tmp_path_factory: pytest.TempPathFactory,
    angles: tuple[float, float, float],
    spacing: tuple[float, float, float],
    flip: bool,
) -> None:
    geometry = Geometry(SHAPE, oblique(angles, spacing, flip))
    path = tmp_path_factory.mktemp("any") / "x.nii"
    write_nifti(path, voxels(), geometry)
    assert load_image(path)[1].matches(geometry, tolerance_voxels=0.001)
    np.testing.assert_allclose(sitk_world_ras(path, (4, 5, 6)), (geometry.affine @ (4, 5, 6, 1))[:3], atol=2e-3)


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii", ".nii.gz"])
@pytest.mark.parametrize("compress", [True, False])
def test_what_simpleitk_writes_is_read_with_its_world_coordinates(
    tmp_path: Path, name: str, suffix: str, compress: bool
) -> None:
    geometry, array = Geometry(SHAPE, AFFINES[name]), voxels()
    to_lps = np.diag([-1.0, -1.0, 1.0])
    image = sitk.GetImageFromArray(array.T)
    image.SetSpacing(geometry.spacing_mm)
    image.SetDirection((to_lps @ geometry.affine[:3, :3] / geometry.spacing_mm).ravel().tolist())
    image.SetOrigin((to_lps @ geometry.affine[:3, 3]).tolist())
    path = tmp_path / f"x{suffix}"
    sitk.WriteImage(image, str(path), useCompression=compress)
    read, found, warnings = load_image(path)
    np.testing.assert_array_equal(read, array)
    assert found.difference(geometry) is None and warnings == []


def test_the_sform_is_used_and_the_difference_reported(tmp_path: Path) -> None:
    image = nib.Nifti1Image(voxels(), np.eye(4))
    sform, qform = oblique((0, 0, 5), (2, 2, 2)), oblique((0, 0, 9), (2, 2, 2))
    image.set_sform(sform, code=1)
    image.set_qform(qform, code=1)
    nib.save(image, tmp_path / "x.nii")
    _, geometry, warnings = load_image(tmp_path / "x.nii")
    np.testing.assert_allclose(geometry.affine, sform, atol=1e-5)
    assert len(warnings) == 1 and "sform was used" in warnings[0]


def test_sform_and_qform_that_disagree_about_left_and_right_are_refused(tmp_path: Path) -> None:
    image = nib.Nifti1Image(voxels(), np.eye(4))
    image.set_sform(np.diag([2.0, 2, 2, 1]), code=1)
    image.set_qform(np.diag([-2.0, 2, 2, 1]), code=1)
    nib.save(image, tmp_path / "x.nii")
    with pytest.raises(GeometryError, match="RAS against LAS"):
        load_image(tmp_path / "x.nii")


def test_no_orientation_is_refused_unless_stated(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii", voxels(), np.diag([2.0, 2, 3, 1]))
    raw = bytearray(path.read_bytes())
    raw[252:256] = bytes(4)  # both codes
    path.write_bytes(raw)
    with pytest.raises(GeometryError, match="gives no orientation"):
        load_image(path)
    _, geometry, warnings = load_image(path, "LPS")
    assert geometry.axcodes == "LPS" and geometry.spacing_mm == (2.0, 2.0, 3.0) and "stated LPS" in warnings[0]
    np.testing.assert_allclose(geometry.affine @ (2, 2.5, 3, 1), (0, 0, 0, 1))
    for nonsense in ("LP", "LPX", "LRS", "axial"):
        with pytest.raises(GeometryError, match="not an orientation"):
            load_image(path, nonsense)


def test_a_stated_orientation_that_the_file_contradicts_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii", voxels(), AFFINES["LPS"])
    with pytest.raises(GeometryError, match=r"point LPS.*RAS"):
        load_image(path, "RAS")
    assert load_image(path, "LPS")[2] == []


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1e-3), ("micron", 1e3)])
def test_other_units_become_mm(tmp_path: Path, unit: str, factor: float) -> None:
    affine = np.diag([2.0, 2.5, 3, 1])
    affine[:3, 3] = (10, 20, 30)
    scaled = affine.copy()
    scaled[:3] *= factor
    image = nib.Nifti1Image(voxels(), scaled)
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "x.nii")
    _, geometry, warnings = load_image(tmp_path / "x.nii")
    np.testing.assert_allclose(geometry.affine, affine, rtol=1e-5)
    assert "converted to mm" in warnings[0]


def test_slightly_skewed_axes_are_corrected_and_sheared_ones_refused() -> None:
    skewed = np.diag([2.0, 2, 2, 1])
    skewed[0, 1] = 2 * 6e-3  # the nearest orthonormal axes are 3e-3 away
    affine, warnings = resolve_affine(skewed)
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-12)
    assert "deviated by 0.003" in warnings[0]
    skewed[0, 1] = 2 * 2e-2
    with pytest.raises(GeometryError, match="sheared"):
        resolve_affine(skewed)
    with pytest.raises(GeometryError, match="sheared"):
        Geometry(SHAPE, skewed)


def test_a_singleton_fourth_axis_is_dropped(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii", voxels((5, 6, 7, 1)), np.diag([2.0, 2, 2, 1]))
    array, geometry, warnings = load_image(path)
    assert array.shape == geometry.shape == SHAPE and "dropped" in warnings[0]
    np.testing.assert_array_equal(array, voxels((5, 6, 7, 1))[..., 0])


def test_scaled_integers_keep_their_real_values(tmp_path: Path) -> None:
    stored = voxels(dtype=np.uint8)
    path = save(tmp_path / "x.nii", stored, np.eye(4))
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([1.0, -1024.0], "<f4").tobytes()
    path.write_bytes(raw)
    array, _, _ = load_image(path)
    assert array.dtype == np.int16 and int(array.min()) < 0
    np.testing.assert_array_equal(array, stored.astype(int) - 1024)
    raw[112:120] = np.array([0.25, 3.0], "<f4").tobytes()
    path.write_bytes(raw)
    array, _, _ = load_image(path)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, stored * 0.25 + 3)


@pytest.mark.parametrize("dtype", [">i2", ">f4", "u2", "i4", "f8"])
def test_number_types_and_byte_orders(tmp_path: Path, dtype: str) -> None:
    array = np.abs(voxels()).astype(dtype)
    header = nib.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    header.set_data_dtype(dtype)
    nib.save(nib.Nifti1Image(array, np.eye(4), header), tmp_path / "x.nii")
    read, _, _ = load_image(tmp_path / "x.nii")
    assert read.dtype == np.int16
    np.testing.assert_array_equal(read, array)


def test_nifti2_is_read(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(voxels(), AFFINES["oblique"]), tmp_path / "x.nii.gz")
    array, geometry, _ = load_image(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(array, voxels())
    np.testing.assert_allclose(geometry.affine, AFFINES["oblique"], atol=1e-9)


def rgb() -> np.ndarray[Any, Any]:
    return np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])


def with_nan() -> np.ndarray[Any, Any]:
    array = voxels(dtype=np.float32)
    array[0, 0, :3] = np.nan
    array[1, 1, 1] = np.inf
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (voxels((5, 6, 7, 3)), "holds 3 volumes"),
        (voxels((5, 6, 7, 1, 3)), "holds 3 volumes"),
        (voxels((5, 6)), "2D"),
        (voxels((5, 6, 1)), "only one slice"),
        (rgb(), "RGB"),
        (voxels(dtype=np.complex64), "complex"),
        (np.full(SHAPE, 7, dtype=np.int16), "all 210 voxels have the value 7"),
        (with_nan(), "3 NaN and 1 infinite of 210"),
    ],
)
def test_invalid_images_are_refused_with_counts(tmp_path: Path, array: np.ndarray[Any, Any], message: str) -> None:
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "x.nii.gz")
    with pytest.raises(InvalidInput, match=message):
        load_image(tmp_path / "x.nii.gz")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_vector_voxels_are_refused(tmp_path: Path, suffix: str) -> None:
    image = sitk.GetImageFromArray(np.zeros((7, 6, 5, 3), dtype=np.uint8), isVector=True)
    sitk.WriteImage(image, str(tmp_path / f"x{suffix}"))
    with pytest.raises(InvalidInput, match="3 components"):
        load_image(tmp_path / f"x{suffix}")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_zero_spacing_is_refused(tmp_path: Path, axis: int) -> None:
    path = save(tmp_path / "x.nii", voxels(), np.diag([2.0, 2, 2, 1]))
    raw = bytearray(path.read_bytes())
    raw[80 + 4 * axis : 84 + 4 * axis] = b"\0\0\0\0"
    path.write_bytes(raw)
    with pytest.raises(GeometryError, match="greater than zero"):
        load_image(path)


def test_damaged_streams_are_refused(tmp_path: Path) -> None:
    good = save(tmp_path / "x.nii.gz", voxels((40, 40, 40)), np.eye(4)).read_bytes()
    bad = tmp_path / "bad.nii.gz"
    flipped = bytearray(good)
    flipped[-8] ^= 0xFF  # the checksum
    for content, message in [
        (good[: len(good) // 2], "truncated"),
        (good[:-4], "truncated"),
        (bytes(flipped), "CRC"),
        (good + b"\0garbage", "damaged"),
        (gzip.compress(gzip.decompress(good)[:-1]), "truncated"),
        (gzip.compress(gzip.decompress(good) + b"\0"), "more voxels"),
        (good[:30], "damaged"),
        (b"", "empty"),
        (gzip.compress(b"hello" * 200), "not NIfTI"),
    ]:
        bad.write_bytes(content)
        with pytest.raises(InvalidInput, match=message):
            load_image(bad)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_damaged_streams_of_other_formats_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    for compress in (True, False):
        sitk.WriteImage(sitk.GetImageFromArray(voxels((40, 40, 40))), str(path), useCompression=compress)
        good = path.read_bytes()
        for content in (good[:-1], good[: len(good) // 2]):
            path.write_bytes(content)
            with pytest.raises(InvalidInput, match="truncated|only|cannot hold"):
                load_image(path)
    sitk.WriteImage(sitk.GetImageFromArray(voxels((40, 40, 40))), str(path), useCompression=True)
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(InvalidInput, match="damaged"):
        load_image(path)


def test_wrong_sizes_are_refused_before_memory_is_allocated(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_sform(np.eye(4), code=1)
    header["dim"][:4] = (3, 30000, 30000, 30000)
    header["magic"], header["vox_offset"] = b"n+1", 352
    block = header.binaryblock + bytes(4 + 6000)
    for name, content in (("x.nii", block), ("x.nii.gz", gzip.compress(block))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidInput, match="54,000,000,000,000 bytes.*cannot hold"):
            load_image(tmp_path / name)
    # Honest, but larger than is allowed.
    path = save(tmp_path / "y.nii.gz", voxels((40, 40, 40)), np.eye(4))
    with pytest.raises(TooLarge, match="128,000"):
        load_image(path, max_bytes=100_000)
    # An axis that overflows 64 bits.
    text = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4294967296 4294967296 4294967296\nencoding: raw\n\n"
    (tmp_path / "z.nrrd").write_bytes(text.encode() + bytes(64))
    with pytest.raises(MrsegError):
        load_image(tmp_path / "z.nrrd", "RAS")


def test_suffix_and_content_must_agree(tmp_path: Path) -> None:
    zipped = save(tmp_path / "x.nii.gz", voxels(), np.eye(4)).read_bytes()
    (tmp_path / "y.nii").write_bytes(zipped)
    (tmp_path / "z.nii.gz").write_bytes(gzip.decompress(zipped))
    (tmp_path / "v.nrrd").write_bytes(zipped)
    (tmp_path / "w.mha").write_bytes(zipped)
    (tmp_path / "u.png").write_bytes(zipped)
    for name in ("y.nii", "z.nii.gz", "v.nrrd", "w.mha", "u.png", "missing.nii"):
        with pytest.raises(InvalidInput, match=name):
            load_image(tmp_path / name)
    (tmp_path / "UPPER.NII.GZ").write_bytes(zipped)
    assert load_image(tmp_path / "UPPER.NII.GZ")[1].shape == SHAPE


def test_nrrd_spaces_and_units(tmp_path: Path) -> None:
    directions = np.array([[2.0, 0, 0], [0, 0, 2.5], [0, 3.0, 0]])
    header = {"space": "left-anterior-superior", "space directions": directions, "space origin": [1.0, 2, 3]}
    nrrd.write(str(tmp_path / "las.nrrd"), voxels(), header)
    _, geometry, _ = load_image(tmp_path / "las.nrrd")
    np.testing.assert_allclose(geometry.affine, [[-2.0, 0, 0, -1], [0, 0, 3.0, 2], [0, 2.5, 0, 3], [0, 0, 0, 1.0]])
    header = {
        "space": "RAS",
        "space directions": directions / 10,
        "space origin": [0.1, 0.2, 0.3],
        "space units": ["cm"] * 3,
    }
    nrrd.write(str(tmp_path / "cm.nrrd"), voxels(), header)
    _, geometry, warnings = load_image(tmp_path / "cm.nrrd")
    np.testing.assert_allclose(geometry.affine, [[2.0, 0, 0, 1], [0, 0, 3.0, 2], [0, 2.5, 0, 3], [0, 0, 0, 1.0]])
    assert "converted" in warnings[0]
    nrrd.write(str(tmp_path / "none.nrrd"), voxels(), {"spacings": [2.0, 2, 3]})
    with pytest.raises(GeometryError, match="no orientation"):
        load_image(tmp_path / "none.nrrd")
    assert load_image(tmp_path / "none.nrrd", "LPS")[1].spacing_mm == (2, 2, 3)


def test_equal_images_give_equal_bytes_and_no_temporary_file_is_left(tmp_path: Path) -> None:
    geometry = Geometry(SHAPE, AFFINES["oblique"])
    write_nifti(tmp_path / "a.nii.gz", voxels(), geometry)
    write_nifti(tmp_path / "b.nii.gz", voxels(dtype=np.float64), geometry)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.nii.gz", "b.nii.gz"}


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.ones(SHAPE, dtype=bool), np.uint8),
        (np.full(SHAPE, 40, dtype=np.uint8), np.uint8),
        (voxels(dtype=np.float64), np.int16),
        (voxels(dtype=np.float64) + 0.5, np.float32),
        (voxels(dtype=np.int64) + 40000, np.float32),
    ],
)
def test_stored_number_types(tmp_path: Path, array: np.ndarray[Any, Any], dtype: Any) -> None:
    write_nifti(tmp_path / "x.nii.gz", array, Geometry(SHAPE, np.eye(4)))
    read = nib.load(tmp_path / "x.nii.gz")
    assert read.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.asanyarray(read.dataobj), array)


def test_an_array_of_another_shape_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="shape"):
        write_nifti(tmp_path / "x.nii.gz", voxels((6, 5, 7)), Geometry(SHAPE, np.eye(4)))
    assert not list(tmp_path.iterdir())


def test_geometries_are_compared_and_converted_to_json() -> None:
    geometry = Geometry(SHAPE, AFFINES["oblique"])
    assert Geometry.from_json(geometry.to_json()) == geometry
    assert geometry.to_json()["axcodes"] == geometry.axcodes
    rounded = Geometry(SHAPE, geometry.affine.astype(np.float32))
    assert rounded != geometry and rounded.matches(geometry)
    moved = geometry.affine.copy()
    moved[0, 3] += 0.5
    text = geometry.difference(Geometry(SHAPE, moved))
    assert text is not None and "0.5 mm apart" in text and text.count("affine [") == 2
    assert "number of voxels" in str(geometry.difference(Geometry((6, 5, 7), geometry.affine)))
    with pytest.raises(GeometryError, match=r"the draft: .*mm apart"):
        geometry.require(Geometry(SHAPE, moved), "the draft")
    for wrong in ({}, {"shape": [1, 2], "affine": np.eye(4).tolist()}, {"shape": SHAPE, "affine": [[1]]}):
        with pytest.raises(GeometryError):
            Geometry.from_json(wrong)


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "AIL"])
def test_reorientation_keeps_every_voxel_in_its_place(name: str, axcodes: str) -> None:
    geometry, array = Geometry(SHAPE, AFFINES[name]), voxels()
    reoriented, target = reorient(array, geometry, axcodes)
    assert target.axcodes == axcodes and reoriented.shape == target.shape
    inverse = np.linalg.inv(target.affine)
    for index in np.ndindex(SHAPE):
        found = inverse @ geometry.affine @ (*index, 1)
        np.testing.assert_allclose(found, found.round(), atol=1e-6)
        assert reoriented[tuple(found[:3].round().astype(int))] == array[index]
    np.testing.assert_array_equal(reorient_like(reoriented, target, geometry), array)


def test_another_grid_is_not_reoriented() -> None:
    geometry = Geometry(SHAPE, AFFINES["LPS"])
    moved = geometry.affine.copy()
    moved[2, 3] += 1
    with pytest.raises(GeometryError, match="in any order of axes"):
        reorient_like(voxels(), geometry, Geometry(SHAPE, moved))


def test_values_beyond_float32_are_reported_or_refused(tmp_path: Path) -> None:
    large = np.abs(voxels()).astype(np.int32) + 20_000_001
    nib.save(nib.Nifti1Image(large, np.eye(4), dtype=np.int32), tmp_path / "large.nii.gz")
    array, _, warnings = load_image(tmp_path / "large.nii.gz")
    assert array.dtype == np.float32
    assert any("rounded to float32" in warning for warning in warnings)
    nib.save(nib.Nifti1Image(voxels(dtype=np.float64) * 1e300, np.eye(4)), tmp_path / "endless.nii.gz")
    with pytest.raises(InvalidInput, match=r"1\.\d+e\+303.*float32"):
        load_image(tmp_path / "endless.nii.gz")


def test_a_qform_without_its_sign_is_right_handed(tmp_path: Path) -> None:
    path = save(tmp_path / "x.nii", voxels(), np.diag([2.0, 2, 2, 1]))
    raw = bytearray(path.read_bytes())
    raw[76:80] = bytes(4)  # qfac; by the standard, 0 stands for 1
    raw[254:256] = bytes(2)  # no sform
    path.write_bytes(raw)
    assert load_image(path)[1].axcodes == "RAS"
    raw[254:256] = (1).to_bytes(2, "little")
    raw[280:284] = np.float32(-2).tobytes()  # and an sform with the first axis to the left
    path.write_bytes(raw)
    with pytest.raises(GeometryError, match="LAS against RAS"):
        load_image(path)
