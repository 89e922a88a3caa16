"""Stations composed into one body: exact where they share a lattice, interpolated where not, with stated rules where they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.imaging import Geometry, load_image, reorient, whole_body, write_nifti
from mrseg_label.imaging.mapped import map_voxels
from mrseg_label.imaging.nifti import write_slabs
from mrseg_label.imaging.whole_body import image_slabs, mask_slabs, match_intensities, plan_layout, upright
from tests.support.stations import body, grid


def compose(grids: Sequence[Geometry], images: Sequence[NDArray[Any]], **options: Any) -> tuple[NDArray[Any], Geometry]:
    layout = plan_layout(grids)
    views = [upright(image, one) for image, one in zip(images, grids, strict=True)]
    return np.concatenate(list(image_slabs(layout, views, **options)), axis=2), layout.geometry


def labels(grids: Sequence[Geometry], values: Sequence[int | None]) -> NDArray[np.uint8]:
    masks = [
        None if one is None else np.full(on.shape, one, dtype=np.uint8) for one, on in zip(values, grids, strict=True)
    ]
    return np.concatenate(list(mask_slabs(plan_layout(grids), masks)), axis=2)


def test_stations_on_one_lattice_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_body, "_SLAB_VOXELS", 200)  # several slabs
    grids = [grid(56, 10, axcodes="LPS"), grid(28, 10), grid(0, 9, axcodes="LPS")]
    layout = plan_layout(grids)
    assert layout.exact and layout.axis == 2
    assert layout.geometry.matches(grid(0, 24))
    composed, geometry = compose(grids, [body(one) for one in grids])
    assert composed.dtype == np.int16
    np.testing.assert_array_equal(composed, body(geometry))
    # What one station shows alone is untouched, whatever the others are; in the overlap the weights change gradually.
    bright = [np.full(one.shape, value, dtype=np.int16) for one, value in zip(grids, (300, 200, 100), strict=True)]
    line = compose(grids, bright)[0][3, 3]
    assert [set(line[part].tolist()) for part in (slice(7), slice(9, 14), slice(17, None))] == [{100}, {200}, {300}]
    assert (np.diff(line.astype(int)) >= 0).all() and len(set(line.tolist())) > 5
    np.testing.assert_array_equal(line[14:17], [225, 250, 275])


@pytest.mark.parametrize("angle", [0.0, 0.06])
def test_other_grids_are_interpolated_in_place(angle: float) -> None:
    turned = grid(44, 12, (2.5, 3.0, 5.0)).affine.copy()
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    turned[:3, :3] = turn @ turned[:3, :3]
    grids = [Geometry((10, 6, 12), turned), grid(0, 13)]
    layout = plan_layout(grids)
    assert not layout.exact
    np.testing.assert_allclose(layout.geometry.spacing_mm, (2.5, 3, 4))
    composed, geometry = compose(grids, [body(one) for one in grids])
    exact = body(geometry).astype(int)
    # Within half a voxel beyond the outermost centres the nearest value is continued.
    inner = np.ones(geometry.shape, dtype=bool)
    for one in grids:
        index = np.einsum("ab,bxyz->axyz", np.linalg.inv(one.affine) @ geometry.affine, _voxels(geometry))[:3]
        last = np.array(one.shape)[:, None, None, None] - 1
        within = ((index >= 0) & (index <= last)).all(axis=0)
        near = ((index > -0.6) & (index < last + 0.6)).all(axis=0)
        inner &= within | ~near
    shown = composed != 0
    assert (inner & shown).sum() > 1000
    assert np.abs(composed.astype(int) - exact)[inner & shown].max() <= 1


def _voxels(geometry: Geometry) -> NDArray[np.float64]:
    i, j, k = np.meshgrid(*(np.arange(float(size)) for size in geometry.shape), indexing="ij")
    return np.stack([i, j, k, np.ones_like(i)])


def test_a_label_is_of_the_nearest_annotated_station() -> None:
    grids = [
        grid(28, 10),
        grid(0, 10),
    ]  # they share three slices; the middle one is as near to both, and the first is taken
    assert labels(grids, [1, 2])[4, 3].tolist() == [2] * 8 + [1] * 9
    assert labels(grids, [None, 2])[4, 3].tolist() == [2] * 10 + [0] * 7
    apart = [grid(60, 5), grid(0, 10)]
    assert labels(apart, [1, 2])[4, 3].tolist() == [2] * 10 + [0] * 5 + [1] * 5
    with pytest.raises(GeometryError, match="so far apart"):
        plan_layout([grid(2e8, 5), grid(0, 10)])
    with pytest.raises(InvalidInput, match="at least one"):
        plan_layout([])
    other = [grid(31, 10, (3.0, 3.0, 2.0)), grid(0, 10)]
    found = labels(other, [1, 2])
    assert set(np.unique(found)) == {1, 2} and (np.diff(found[4, 3].astype(int)) <= 0).all()


def test_stations_are_made_equally_bright_where_that_is_asked_for() -> None:
    grids = [grid(72, 10), grid(36, 10), grid(4, 10), grid(-200, 5)]
    layout = plan_layout(grids)
    images = [(body(one) * factor).astype(np.float32) for one, factor in zip(grids, (2, 1, 0.5, 1), strict=True)]
    factors = match_intensities(layout, images)
    # The third of four from the feet keeps its intensities; nothing joins the last one to the others.
    assert factors[0] == pytest.approx(0.5, rel=0.05) and factors[1:3] == [1.0, pytest.approx(2, rel=0.05)]
    assert factors[3] is None
    composed, geometry = compose(grids, images, scales=[one or 1.0 for one in factors])
    assert composed.dtype == np.float32
    np.testing.assert_allclose(composed[4, 3, -15:], body(geometry)[4, 3, -15:], rtol=0.05)


def test_voxels_are_mapped_and_written_in_slabs(tmp_path: Path) -> None:
    geometry = grid(0, 7, axcodes="LPS")
    stored = body(geometry)
    write_nifti(tmp_path / "a.nii.gz", stored, geometry)
    mapped, found = map_voxels(tmp_path / "a.nii.gz", tmp_path / "raw")
    assert isinstance(mapped, np.memmap) and found == load_image(tmp_path / "a.nii.gz")[1]
    np.testing.assert_array_equal(mapped, stored)
    write_slabs(tmp_path / "b.nii.gz", stored.dtype, geometry, (mapped[:, :, k : k + 3] for k in (0, 3, 6)))
    assert (tmp_path / "b.nii.gz").read_bytes() == (tmp_path / "a.nii.gz").read_bytes()
    write_nifti(tmp_path / "c.nii", stored, geometry)
    np.testing.assert_array_equal(map_voxels(tmp_path / "c.nii", tmp_path / "raw")[0], stored)
    whole = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(whole[:-40])
    with pytest.raises(InvalidInput, match="truncated"):
        map_voxels(tmp_path / "a.nii.gz", tmp_path / "raw")
    assert reorient(stored, geometry)[0].shape == upright(stored, geometry).shape
