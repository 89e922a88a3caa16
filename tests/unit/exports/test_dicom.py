"""The data set as DICOM: a series for each image, a segmentation for each mask, and what a second export writes."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.errors import InvalidInput
from mrseg_label.exports.dataset import Selection
from mrseg_label.exports.service import Form, Options, export
from mrseg_label.workspace import Workspace
from tests.support.stored_cases import store_case, stored_annotation_file


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws")
    opened = open_workspace(tmp_path / "ws")
    yield opened
    opened.close()


def rows_in(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    with (folder / "cases.tsv").open(newline="") as stream:
        return {(row["participant"], row["sequence"]): row for row in csv.DictReader(stream, delimiter="\t")}


def test_masks_are_segmentations_that_refer_to_the_series_beside_them(
    workspace: OpenedWorkspace, tmp_path: Path
) -> None:
    case = store_case(workspace, "p1", not_annotated=("aorta",))
    store_case(workspace, "p-2", at=(slice(0),))  # all structures absent
    out = tmp_path / "out"
    done = export(workspace, out, Options(Form.DICOM_SEG))
    table = rows_in(out)
    assert table["p-2", "in"]["mask"] == "n/a" and len(list((out / table["p-2", "in"]["image"]).iterdir())) == 4
    row = table["p1", "in"]
    assert Path(row["mask"]).name == "mask.dcm" and Path(row["image"]) == Path(row["mask"]).with_name("in")
    written = pydicom.dcmread(out / row["mask"])
    slices, others = (
        [pydicom.dcmread(path) for path in sorted((out / table["p1", sequence]["image"]).iterdir())]
        for sequence in ("in", "water")
    )
    assert [ds.SegmentLabel for ds in written.SegmentSequence] == ["liver"]
    assert written.ReferencedSeriesSequence[0].SeriesInstanceUID == slices[0].SeriesInstanceUID
    assert {ds.FrameOfReferenceUID for ds in (*slices, *others)} == {written.FrameOfReferenceUID}
    stored = np.asarray(nibabel.load(stored_annotation_file(workspace, case)).dataobj)
    assert written.pixel_array.sum() == (stored > 0).sum()
    again = export(workspace, out, Options(Form.DICOM_SEG))
    assert (again.written, again.unchanged) == (0, done.written)


def test_segmentations_refer_to_the_original_series_where_those_are_given(
    workspace: OpenedWorkspace, tmp_path: Path
) -> None:
    store_case(workspace, "p1")
    store_case(workspace, "p-2")
    out, again = tmp_path / "out", tmp_path / "again"
    export(workspace, out, Options(Form.DICOM_SEG))
    # The series that was written is, by its voxels and grid, the image that it was made of.
    row = rows_in(out)["p1", "in"]
    originals = (out / row["image"],)
    export(workspace, again, Options(Form.DICOM_SEG, Selection(primary_only=True), originals=originals))
    table = rows_in(again)
    assert table["p1", "in"]["image"] == "n/a" and (again / table["p-2", "in"]["image"]).is_dir()
    first, second = (pydicom.dcmread(folder / table["p1", "in"]["mask"]) for folder in (out, again))
    assert (first.SOPInstanceUID, first.PixelData) == (second.SOPInstanceUID, second.PixelData)
    with pytest.raises(InvalidInput, match="none of the DICOM series in"):
        export(workspace, tmp_path / "x", Options(Form.DICOM_SEG, originals=(out / row["mask"],)))
    with pytest.raises(InvalidInput, match="leave --originals out"):
        export(workspace, tmp_path / "x", Options(Form.BIDS, originals=originals))
