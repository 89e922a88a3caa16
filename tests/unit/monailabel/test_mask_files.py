"""Masks are sent in the format and the voxel type that a client asks for, with the same labels in the same places."""

from __future__ import annotations

from pathlib import Path

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk

from mrseg_label.errors import InvalidInput, StoredFileError
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.decode import decode
from mrseg_monailabel.mask_files import _PIXELS, EXTENSIONS, SEGMENTS, MaskForm, form_of, write_mask

SCHEME = LabelScheme.default()
TURN = np.array([[0.8, -0.6, 0.0, 12.5], [0.6, 0.8, 0.0, -3.25], [0.0, 0.0, 1.0, 400.0], [0.0, 0.0, 0.0, 1.0]])
GRID = Geometry((5, 6, 7), TURN @ np.diag([-2.0, 2.5, 3.0, 1.0]))
MASK = np.random.default_rng(4).integers(0, len(SCHEME) + 1, GRID.shape).astype(np.uint8)
FORMS = [
    MaskForm(extension, dtype)
    for extension in EXTENSIONS
    for dtype in _PIXELS
    if not (extension == SEGMENTS and dtype.startswith("float"))
]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A mask and its image."""
    folder = tmp_path_factory.mktemp("stored")
    write_nifti(folder / "mask.nii.gz", MASK, GRID)
    write_nifti(folder / "image.nii.gz", MASK.astype(np.int16), GRID)
    return folder / "mask.nii.gz", folder / "image.nii.gz"


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.extension} {form.dtype}")
def test_every_form_holds_the_same_labels(stored: tuple[Path, Path], tmp_path: Path, form: MaskForm) -> None:
    target = tmp_path / f"mask{form.extension}"
    write_mask(*stored, target, form, SCHEME)
    written, image = sitk.ReadImage(str(target)), sitk.ReadImage(str(stored[1]))
    assert sitk.GetArrayFromImage(written).dtype == np.dtype(form.dtype)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(image))
    for ours, theirs in zip(
        (written.GetSpacing(), written.GetOrigin(), written.GetDirection()),
        (image.GetSpacing(), image.GetOrigin(), image.GetDirection()),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_segments_are_written_as_slicer_reads_them(stored: tuple[Path, Path], tmp_path: Path) -> None:
    target = tmp_path / "mask.seg.nrrd"
    write_mask(*stored, target, MaskForm(SEGMENTS, "uint16"), SCHEME)
    header = nrrd.read_header(str(target))
    for number, structure in enumerate(SCHEME):
        assert header[f"Segment{number}_ID"] == structure.name
        assert header[f"Segment{number}_Name"] == structure.shown_name
        assert (header[f"Segment{number}_LabelValue"], header[f"Segment{number}_Layer"]) == (str(structure.id), "0")
        parts = [float(part) for part in header[f"Segment{number}_Color"].split()]
        assert [round(255 * part) for part in parts] == list(structure.color)
    assert f"Segment{len(SCHEME)}_ID" not in header
    # What Slicer would save unchanged and submit is understood as the mask that was sent.
    np.testing.assert_array_equal(decode(SCHEME, GRID, target, []).mask, MASK)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"result_extension": ".dcm"}, "result_extension must be one of"),
        ({"result_extension": [1]}, "result_extension must be one of"),
        ({"result_dtype": "object"}, "result_dtype must be one of"),
        ({"result_dtype": ["uint8"]}, "result_dtype must be one of"),
        ({"result_extension": ".seg.nrrd", "result_dtype": "float32"}, "whole number type"),
    ],
)
def test_other_forms_are_refused(request_: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        form_of(request_, SCHEME)


def test_a_type_must_hold_every_label_id() -> None:
    many = LabelScheme.parse("id\tname\n" + "".join(f"{number}\ts{number}\n" for number in range(1, 131)))
    with pytest.raises(InvalidInput, match="int8 cannot hold the 130 label ids"):
        form_of({"result_dtype": "int8"}, many)
    assert form_of({"result_dtype": "", "result_extension": None}, many) == MaskForm()


def test_a_mask_of_another_size_is_not_sent(stored: tuple[Path, Path], tmp_path: Path) -> None:
    other = Geometry((4, 6, 7), GRID.affine)
    write_nifti(tmp_path / "other.nii.gz", MASK[:4], other)
    with pytest.raises(StoredFileError, match="has size"):
        write_mask(stored[0], tmp_path / "other.nii.gz", tmp_path / "x.nrrd", MaskForm(), SCHEME)
