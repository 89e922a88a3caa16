"""Label maps are read as whole numbers on the grid of their file, or not at all."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.segments.files import read_label_map


def test_label_maps_keep_ids_and_geometry(tmp_path: Path) -> None:
    geometry = Geometry((4, 5, 6), np.diag([-2.0, -2, 3, 1]))
    labels = np.random.default_rng(0).integers(0, 118, (4, 5, 6)).astype(np.uint8)
    write_nifti(tmp_path / "x.nii.gz", labels, geometry)
    read, found = read_label_map(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(read, labels)
    assert read.dtype == np.uint8 and found.matches(geometry)
    write_nifti(tmp_path / "zero.nii.gz", labels * 0, geometry)
    assert not read_label_map(tmp_path / "zero.nii.gz")[0].any()
    nib.save(nib.Nifti1Image(labels.astype(np.uint16) + 300, geometry.affine), tmp_path / "large.nii.gz")
    assert read_label_map(tmp_path / "large.nii.gz")[0].dtype == np.uint16


@pytest.mark.parametrize(
    ("change", "message"),
    [(0.5, "whole numbers"), (np.nan, "NaN"), (-200.0, "between"), (1e6, "between"), (4e-4, None)],
)
def test_what_is_no_label_is_refused(tmp_path: Path, change: float, message: str | None) -> None:
    labels = np.arange(120, dtype=np.float32).reshape(4, 5, 6)
    labels[1, 1, 1] += change
    nib.save(nib.Nifti1Image(labels, np.eye(4)), tmp_path / "x.nii.gz")
    if message is None:
        assert read_label_map(tmp_path / "x.nii.gz")[0][1, 1, 1] == 37
    else:
        with pytest.raises(InvalidInput, match=message):
            read_label_map(tmp_path / "x.nii.gz")
