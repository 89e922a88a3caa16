"""DICOM segmentations: codes, sides, colours, references and geometry, read back by highdicom and by world coordinates."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.imaging.dicom import load_stack, read_frames
from mrseg_label.imaging.dicom.writing import ImageSeries, SeriesNames, encode, slice_headers
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.concepts import LATERALITY, PRIVATE, ConceptTable
from mrseg_label.segments.dicom.writing import Origin, make_segmentation
from tests.support import dicom_files

SCHEME = LabelScheme.default()
SHAPE = (7, 6, 5)
MOMENT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
NAMES = SeriesNames("P-1", "session", "aq-1", "ex-1", "pelvis water", MOMENT)
ORIGIN = Origin(
    "an-1",
    frozenset({"right_kidney", "left_kidney", "liver", "spleen"}),
    "ada",
    MOMENT,
    {"left_kidney": "r2"},
    "Annotation 3",
)
# Of the axes: along the patient, turned and not right-handed, and oblique.
AFFINES = {
    "axial": np.diag((-1.5, -2.5, 4.0)),
    "reversed": np.diag((-1.5, -2.5, -4.0)),
    "sagittal": np.array([[0, 0, 4.0], [1.5, 0, 0], [0, -2.5, 0]]),
    "oblique": np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0] * (1.5, 2.5, 4.0),
}


def grid(name: str) -> Geometry:
    affine = np.eye(4)
    affine[:3, :3] = AFFINES[name]
    affine[:3, 3] = (-31.7, 12.123456789, 400.1)
    return Geometry(SHAPE, affine)


def mask() -> NDArray[np.uint8]:
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[1:3, 1:5, 1:3] = SCHEME["right_kidney"].id
    array[4:6, 2:4, 2:5] = SCHEME["left_kidney"].id
    array[6, 0, 0] = SCHEME["liver"].id
    array[0, 0, 4] = SCHEME["aorta"].id  # not judged
    return array


def read(ds: Dataset) -> highdicom.seg.Segmentation:
    return highdicom.seg.segread(io.BytesIO(encode(ds)))


def world_voxels(ds: Dataset, number: int) -> NDArray[np.float64]:
    """The RAS positions of the voxels of a segment, computed from the frames of a file alone, in order."""
    planes, found = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns), []
    shared = ds.SharedFunctionalGroupsSequence[0]
    row, column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    for plane, groups in zip(planes, ds.PerFrameFunctionalGroupsSequence, strict=True):
        if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        origin = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        for r, c in np.argwhere(plane):
            found.append((origin + row * between_columns * c + column * between_rows * r) * (-1, -1, 1))
    return in_order(np.array(found))


def in_order(points: NDArray[np.float64]) -> NDArray[np.float64]:
    ordered: NDArray[np.float64] = points[np.lexsort(points.round(3).T)]
    return ordered


@pytest.mark.parametrize("name", AFFINES)
def test_the_voxels_lie_where_those_of_the_mask_do(name: str) -> None:
    geometry = grid(name)
    headers = slice_headers(geometry, NAMES)
    written = read(make_segmentation(mask(), geometry, headers[::-1], SCHEME, ORIGIN))
    assert [item.SegmentLabel for item in written.SegmentSequence] == ["right_kidney", "left_kidney", "liver"]
    for number, structure in enumerate(("right_kidney", "left_kidney", "liver"), start=1):
        voxels = np.argwhere(mask() == SCHEME[structure].id)
        expected = in_order(voxels @ geometry.affine[:3, :3].T + geometry.affine[:3, 3])
        np.testing.assert_allclose(world_voxels(written, number), expected, atol=1e-6)
    # highdicom finds the frames of each slice by the slice that they refer to.
    planes = written.get_pixels_by_source_instance([h.SOPInstanceUID for h in headers], combine_segments=True)
    judged = np.where(mask() == SCHEME["aorta"].id, 0, mask())
    numbers = np.searchsorted([0, 2, 3, 5], judged)
    np.testing.assert_array_equal(planes, numbers.transpose(2, 1, 0))


def test_segments_say_what_they_are_and_how_they_were_made() -> None:
    geometry = grid("axial")
    headers = slice_headers(geometry, NAMES)
    first = encode(make_segmentation(mask(), geometry, headers, SCHEME, ORIGIN))
    assert encode(make_segmentation(mask(), geometry, headers[::-1], SCHEME, ORIGIN)) == first
    ds = pydicom.dcmread(io.BytesIO(first))
    right, left, liver = ds.SegmentSequence
    codes = [item.SegmentedPropertyTypeCodeSequence[0] for item in (right, left, liver)]
    assert [(code.CodeValue, code.CodingSchemeDesignator) for code in codes] == [
        *[("64033007", "SCT")] * 2,
        ("10200004", "SCT"),
    ]
    sides = [code.get("SegmentedPropertyTypeModifierCodeSequence") for code in codes]
    assert [side[0].CodeValue for side in sides[:2]] == [LATERALITY["right"], LATERALITY["left"]] and sides[2] is None
    assert (left.SegmentAlgorithmType, left.SegmentAlgorithmName) == ("SEMIAUTOMATIC", "mrseg-label r2")
    assert right.SegmentAlgorithmType == "MANUAL" and "SegmentAlgorithmName" not in right
    lightness, a, b = liver.RecommendedDisplayCIELabValue  # of #994400, white D50
    assert (lightness / 655.35, a / 257 - 128, b / 257 - 128) == pytest.approx((40, 34, 50), abs=1)
    assert (ds.ContentDate, ds.ContentTime, ds.ContentCreatorName) == ("20260304", "050607", "ada")
    assert ds.FrameOfReferenceUID == headers[0].FrameOfReferenceUID
    assert ds.ReferencedSeriesSequence[0].SeriesInstanceUID == headers[0].SeriesInstanceUID
    assert "Judged absent: spleen." in ds.ImageComments and "aorta" in ds.ImageComments
    statement = json.loads(ds.private_block(0x0071, "MRSEG-LABEL 1.0")[1].value)
    assert statement["absent"] == ["spleen"] and len(statement["not_annotated"]) == 36


def test_the_series_of_a_hospital_is_referred_to_as_it_is() -> None:
    files = dicom_files.series(
        dicom_files.noise(1, SHAPE), study="1.2.840.5", PatientName="Müller^Käthe", SpecificCharacterSet="ISO_IR 100"
    )
    for number, ds in enumerate(files):
        del ds.StudyDate
        ds.InstanceNumber = 9 - number
    frames = [frame for k, ds in enumerate(files) for frame in read_frames(dicom_files.as_bytes(ds), str(k))]
    _, geometry, _ = load_stack(frames, lambda name: dicom_files.as_bytes(files[int(name)]))
    written = read(make_segmentation(mask(), geometry, files, SCHEME, ORIGIN))
    assert [str(written.get(key)) for key in ("StudyInstanceUID", "PatientName")] == ["1.2.840.5", "Müller^Käthe"]
    assert not written.StudyDate
    referred = {
        item.ReferencedSOPInstanceUID for item in written.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referred == {ds.SOPInstanceUID for ds in files}
    voxels = np.argwhere(mask() == SCHEME["left_kidney"].id)
    expected = in_order(voxels @ geometry.affine[:3, :3].T + geometry.affine[:3, 3])
    np.testing.assert_allclose(world_voxels(written, 2), expected, atol=1e-6)


def test_an_enhanced_image_is_referred_to_by_its_frames() -> None:
    order = [2, 0, 3, 1, 4]
    file = dicom_files.enhanced(dicom_files.noise(2, SHAPE), order)
    frames = read_frames(dicom_files.as_bytes(file), "it")
    _, geometry, _ = load_stack(frames, lambda _: dicom_files.as_bytes(file))
    written = read(make_segmentation(mask(), geometry, [file], SCHEME, ORIGIN))
    voxels = np.argwhere(mask() == SCHEME["left_kidney"].id)
    expected = in_order(voxels @ geometry.affine[:3, :3].T + geometry.affine[:3, 3])
    np.testing.assert_allclose(world_voxels(written, 2), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("name", AFFINES)
def test_the_series_that_is_made_of_an_image_is_that_image(name: str, dtype: type[Any]) -> None:
    geometry = grid(name)
    array = (dicom_files.noise(3, SHAPE) * (1 if dtype is np.int16 else 0.37)).astype(dtype)
    files = [dicom_files.as_bytes(ds) for ds in ImageSeries(array, geometry, NAMES)]
    frames = [frame for k, data in enumerate(files) for frame in read_frames(data, str(k))]
    assert {frame.patient.identifiers for frame in frames} == {frames[0].patient.identifiers}
    read_array, read_geometry, _ = load_stack(frames, lambda name: files[int(name)])
    from mrseg_label.imaging.lattice import find_placement

    where = find_placement(read_geometry, geometry)
    assert where is not None and where.covers_exactly(geometry)
    tolerance = 0 if dtype is np.int16 else float(np.ptp(array)) / 65535
    np.testing.assert_allclose(where.reorder(read_array), array, atol=tolerance)


def test_other_schemes_bring_codes_share_those_of_the_default_or_use_their_names() -> None:
    scheme = LabelScheme.parse(
        "id\tname\tsnomed_ct\tsnomed_ct_meaning\tlaterality\n1\tKidney, left\t\t\t\n2\tprostate\t41216001\tProstate\t\n"
        "3\tsubcutaneous fat of the trunk\t\t\t\n"
    )
    table = ConceptTable(scheme)
    kidney, prostate, fat = (table.code_of(name) for name in scheme.names)
    assert (kidney.value, kidney.designator, kidney.laterality) == ("64033007", "SCT", "left")
    assert (prostate.value, prostate.meaning) == ("41216001", "Prostate")
    assert (fat.value, fat.designator) == ("subcutaneous_fat_of_the_trunk", PRIVATE)
    assert table.match("T-71000", "SRT", "left") == scheme.names[0]  # the edition of SNOMED before 2018
    assert table.match("64033007", "SCT", "") is None
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[2, 2, 2] = 3
    origin = Origin("an-2", frozenset(scheme.names), "^=", MOMENT)
    written = read(make_segmentation(array, grid("axial"), slice_headers(grid("axial"), NAMES), scheme, origin))
    code = written.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert (code.LongCodeValue, code.CodeMeaning) == (fat.value, "subcutaneous fat of the trunk")
    assert written.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == PRIVATE
    assert written.ContentCreatorName == "Anonymous"


def test_what_cannot_be_written_is_refused_with_the_reason() -> None:
    geometry, empty = grid("axial"), np.zeros(SHAPE, dtype=np.uint8)
    headers = slice_headers(geometry, NAMES)
    with pytest.raises(InvalidInput, match="no structure of this mask has voxels"):
        make_segmentation(empty, geometry, headers, SCHEME, ORIGIN)
    with pytest.raises(GeometryError, match="not on the grid of the mask"):
        make_segmentation(mask(), grid("oblique"), headers, SCHEME, ORIGIN)
    with pytest.raises(InvalidInput, match="no slices"):
        make_segmentation(mask(), geometry, [], SCHEME, ORIGIN)
    with pytest.raises(GeometryError, match="in the same place"):
        make_segmentation(mask(), geometry, [*headers, headers[0]], SCHEME, ORIGIN)
    for key, value, reason in (
        ("FrameOfReferenceUID", "", "lacks FrameOfReferenceUID"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7", "not an MR or CT image"),
        ("SeriesInstanceUID", "1.2.3", "differ in SeriesInstanceUID"),
        ("PixelSpacing", [1.0, 1.0], "spacing of their voxels"),
        ("ImageOrientationPatient", [0.0, 1.0, 0.0, 1.0, 0.0, 0.0], "not parallel"),
    ):
        broken = slice_headers(geometry, NAMES)
        setattr(broken[1], key, value)
        with pytest.raises(InvalidInput, match=reason):
            make_segmentation(mask(), geometry, broken, SCHEME, ORIGIN)
