"""DICOM segmentations and structure sets as masks: what comes back, and what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from mrseg_label.errors import GeometryError, InvalidInput, LabelError
from mrseg_label.imaging.contours import fill_contours
from mrseg_label.imaging.dicom.writing import encode, slice_headers
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.decode import Decoded, decode
from mrseg_label.segments.dicom.converting import convert
from mrseg_label.segments.dicom.reading import read_dicom_mask
from mrseg_label.segments.dicom.references import references_of
from mrseg_label.segments.dicom.writing import make_segmentation
from tests.support.dicom_masks import structure_set
from tests.unit.segments.test_dicom_writing import AFFINES, NAMES, ORIGIN, SCHEME, grid, mask

KIDNEY = ("64033007", "SCT", "Kidney")


def written(name: str = "axial", **changed: Any) -> Dataset:
    """A segmentation of ours, as a data set that a test may spoil."""
    ds = make_segmentation(mask(), grid(name), slice_headers(grid(name), NAMES), SCHEME, ORIGIN)
    for key, value in changed.items():
        setattr(ds, key, value)
    return ds


def decoded(data: Sequence[bytes], image: Geometry, folder: Path, scheme: LabelScheme = SCHEME) -> Decoded:
    """Convert and decode, as an import and a submission do."""
    convert(data, image, scheme, folder / "mask.seg.nrrd")
    return decode(scheme, image, folder / "mask.seg.nrrd", [], partial=True)


def by_highdicom(
    planes: NDArray[Any], labels: Sequence[tuple[str, tuple[str, str, str]]], kind: str = "BINARY", image: str = "axial"
) -> Dataset:
    """A segmentation as other programs make it. ``planes``: (slices, rows, columns, segments)."""
    described = [
        highdicom.seg.SegmentDescription(
            number, label, highdicom.sr.CodedConcept("123037004", "SCT", "Anatomical Structure"),
            highdicom.sr.CodedConcept(*code), "MANUAL",
        )
        for number, (label, code) in enumerate(labels, start=1)
    ]  # fmt: skip
    headers = slice_headers(grid(image), NAMES)
    uid = highdicom.UID
    return highdicom.seg.Segmentation(headers, planes, kind, described, uid(), 7, uid(), 1, "other", "x", "1", "1")


@pytest.mark.parametrize("name", AFFINES)
def test_a_segmentation_of_ours_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    ds = written(name)
    # Another program may store the frames in any order.
    order = np.random.default_rng(1).permutation(len(ds.PerFrameFunctionalGroupsSequence))
    planes = ds.pixel_array[order]
    ds.PerFrameFunctionalGroupsSequence = [ds.PerFrameFunctionalGroupsSequence[int(k)] for k in order]
    ds.PixelData = np.packbits(planes.ravel(), bitorder="little").tobytes() + b"\0" * (
        -len(planes.ravel()) % 16 // 8 % 2
    )
    found = decoded([encode(ds)], grid(name), tmp_path)
    expected = np.where(mask() == SCHEME["aorta"].id, 0, mask())
    np.testing.assert_array_equal(found.mask, expected)
    assert found.voxels == {"spleen": 0, "right_kidney": 16, "left_kidney": 12, "liver": 1}  # absent is judged


def test_codes_and_sides_decide_then_names_and_a_contradiction_is_refused(tmp_path: Path) -> None:
    planes = np.zeros((5, 6, 7, 3), dtype=np.uint8)
    planes[0, :, :, 0], planes[1, :, :, 1], planes[2, :, :, 2] = 1, 1, 1
    tissue = ("85756007", "SCT", "Tissue")
    ds = by_highdicom(
        planes, [("Segment_1", ("T-62000", "SRT", "Liver")), ("Niere", KIDNEY), ("Kidney, right", tissue)]
    )
    side = highdicom.sr.CodedConcept("7771000", "SCT", "Left")
    ds.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [side]
    found = decoded([encode(ds)], grid("axial"), tmp_path)
    assert found.voxels == {"right_kidney": 42, "left_kidney": 42, "liver": 42}
    assert np.unique(found.mask[:, :, 1]).tolist() == [SCHEME["left_kidney"].id]
    ds.SegmentSequence[1].SegmentLabel = "right kidney"
    with pytest.raises(LabelError, match="'right kidney' has the code of left_kidney, and its name means right_kidney"):
        decoded([encode(ds)], grid("axial"), tmp_path)
    ds = by_highdicom(planes[..., :1], [("Kidney", KIDNEY)])  # of which side?
    with pytest.raises(LabelError, match="not in the label scheme: 'Kidney' .42 voxels"):
        decoded([encode(ds)], grid("axial"), tmp_path)


def test_overlaps_go_to_the_later_segment_and_several_objects_are_one_mask(tmp_path: Path) -> None:
    planes = np.zeros((5, 6, 7, 2), dtype=np.uint8)
    planes[:2, :, :, 0], planes[1:3, :, :, 1] = 1, 1
    names = [("liver", ("10200004", "SCT", "Liver")), ("spleen", ("78961009", "SCT", "Spleen"))]
    found = decoded([encode(by_highdicom(planes, names))], grid("axial"), tmp_path)
    assert found.overlaps == {"liver < spleen": 42} and found.voxels == {"spleen": 84, "liver": 42}
    apart = [encode(by_highdicom(planes[..., k : k + 1], names[k : k + 1])) for k in (0, 1)]
    again = decoded(apart, grid("axial"), tmp_path)
    np.testing.assert_array_equal(again.mask, found.mask)
    with pytest.raises(LabelError, match="two segments"):
        decoded([apart[0], apart[0]], grid("axial"), tmp_path)


def test_fractional_segmentations_have_a_threshold_and_compressed_ones_are_read() -> None:
    planes = np.zeros((5, 6, 7, 1))
    planes[0], planes[1], planes[2] = 0.4, 0.5, 0.9
    ds = by_highdicom(planes, [("liver", ("10200004", "SCT", "Liver"))], "FRACTIONAL")
    segmentation = read_dicom_mask(encode(ds), grid("axial"), SCHEME)
    assert segmentation.layers[0].sum() == 84 and segmentation.notes == (
        "fractional: voxels of at least 50% of the maximum were taken as inside",
    )
    ds.compress(RLELossless)
    packed = read_dicom_mask(encode(ds), grid("axial"), SCHEME)
    np.testing.assert_array_equal(packed.layers[0], segmentation.layers[0])
    ds.Rows = ds.Columns = 60000
    with pytest.raises(InvalidInput, match="compressed to only"):
        read_dicom_mask(encode(ds), grid("axial"), SCHEME)


def test_label_maps_of_dicom_are_read(tmp_path: Path) -> None:
    ds = written()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66.7"
    ds.SegmentationType, ds.BitsAllocated, ds.BitsStored, ds.HighBit = "LABELMAP", 8, 8, 7
    values = np.array([0, 0, 1, 2, 0, 3], dtype=np.uint8)  # of the ids: right and left kidney, liver
    ids = np.where(mask() > 5, 0, mask())
    groups = []
    for header in slice_headers(grid("axial"), NAMES):
        item, place = Dataset(), Dataset()
        place.ImagePositionPatient = header.ImagePositionPatient
        item.PlanePositionSequence = [place]
        groups.append(item)
    ds.PerFrameFunctionalGroupsSequence, ds.NumberOfFrames = groups, len(groups)
    ds.PixelData = np.ascontiguousarray(values[ids].transpose(2, 1, 0)).tobytes()
    found = decoded([encode(ds)], grid("axial"), tmp_path)
    np.testing.assert_array_equal(found.mask, ids)
    ds.PixelData = bytes([9]) + ds.PixelData[1:]
    with pytest.raises(InvalidInput, match="voxels have the value 9, which the segmentation does not describe"):
        read_dicom_mask(encode(ds), grid("axial"), SCHEME)


def spoil_position(ds: Dataset) -> None:
    ds.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [0.3, 1, 2]


def lose_segment(ds: Dataset) -> None:
    del ds.SegmentSequence[1]


def move_up(ds: Dataset) -> None:
    for groups in ds.PerFrameFunctionalGroupsSequence:
        place = groups.PlanePositionSequence[0]
        place.ImagePositionPatient = [*place.ImagePositionPatient[:2], float(place.ImagePositionPatient[2]) + 400]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_position, "does not lie on the lattice of its image"),
        (move_up, "lie outside the image"),
        (lose_segment, "frames refer to the segment 2, which the segmentation does not describe"),
        (lambda ds: setattr(ds, "SegmentSequence", []), "no segments"),
        (
            lambda ds: setattr(ds, "PixelData", ds.PixelData[:4]),
            "the header promises .* bytes of voxels, but the file holds 4",
        ),
        (lambda ds: setattr(ds, "NumberOfFrames", 2**31 - 1), "declares 2147483647 frames"),
        (
            lambda ds: setattr(ds, "NumberOfFrames", 3),
            "the positions of 3 frames are missing, or there are not as many",
        ),
        (lambda ds: setattr(ds, "BitsAllocated", 32), "32 bits a voxel"),
        (lambda ds: delattr(ds, "PixelData"), "has no voxels"),
        (lambda ds: delattr(ds, "Rows"), "lacks the attribute Rows"),
        (
            lambda ds: setattr(ds, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.4"),
            "neither a segmentation .SEG. nor a structure set",
        ),
        (lambda ds: setattr(ds.SegmentSequence[1], "SegmentNumber", 1), "two segments have the number 1"),
        (lambda ds: setattr(ds.SegmentSequence[0], "SegmentLabel", "x" * 64), None),
    ],
)
def test_spoilt_segmentations_are_refused(spoil: Callable[[Dataset], None], reason: str | None) -> None:
    ds = written()
    spoil(ds)
    if reason is None:  # the code decides
        assert read_dicom_mask(encode(ds), grid("axial"), SCHEME).segments
        return
    with pytest.raises(InvalidInput, match=reason):
        read_dicom_mask(encode(ds), grid("axial"), SCHEME)


def test_what_no_parser_expects_is_an_invalid_input() -> None:
    whole = encode(written())
    for cut in (0, 100, 200, 1000, len(whole) - 5):
        with pytest.raises(InvalidInput):
            read_dicom_mask(whole[:cut], grid("axial"), SCHEME)
    random = np.random.default_rng(3)
    for _ in range(40):
        spoilt = bytearray(whole)
        for position in random.integers(132, len(whole), 8):
            spoilt[position] = int(random.integers(256))
        try:
            read_dicom_mask(bytes(spoilt), grid("axial"), SCHEME)
        except InvalidInput:
            continue


# Structure sets


def circle(radius: float, middle: Sequence[float], z: float, count: int = 120) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([middle[0] + radius * np.cos(angle), middle[1] + radius * np.sin(angle), np.full(count, z)], axis=1)


BALL = Geometry((48, 44, 40), np.array([[-1.0, 0, 0, 24.3], [0, -1.0, 0, 21.7], [0, 0, 1.0, -20.1], [0, 0, 0, 1]]))


def oblique(geometry: Geometry) -> Geometry:
    turn = np.eye(4)
    turn[:3, :3] = np.linalg.qr(np.random.default_rng(9).normal(size=(3, 3)))[0]
    return Geometry(geometry.shape, turn @ geometry.affine)


@pytest.mark.parametrize("turned", [False, True])
def test_a_sphere_and_a_torus_have_the_volume_that_they_should(turned: bool) -> None:
    image = oblique(BALL) if turned else BALL
    turn = image.affine @ np.linalg.inv(BALL.affine)
    heights = BALL.affine[2, 3] + np.arange(40)
    sphere = [circle(np.sqrt(225 - z**2), (0.4, -0.3), z) for z in heights if abs(z) < 15]
    ring = []  # around the axis of the ball: tube of 4 mm at 14 mm
    for z in heights:
        if abs(z) < 4:
            tube = np.sqrt(16 - z**2)
            ring += [circle(14 + tube, (0, 0), z), circle(14 - tube, (0, 0), z)]
    regions = {"liver": sphere, "spleen": ring}
    data = structure_set({name: [move(one, turn) for one in contours] for name, contours in regions.items()})
    segmentation = read_dicom_mask(data, image, SCHEME)
    index = np.stack(np.meshgrid(*map(np.arange, BALL.shape), indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(index @ BALL.affine[:3, :3].T + BALL.affine[:3, 3], -1, 0)
    truth = {
        "liver": (x - 0.4) ** 2 + (y + 0.3) ** 2 + z**2 < 225,
        "spleen": (np.hypot(x, y) - 14) ** 2 + z**2 < 16,
    }
    volumes = {"liver": 4 / 3 * np.pi * 15**3, "spleen": 2 * np.pi**2 * 14 * 16}
    for segment in segmentation.segments or ():
        found = segmentation.layers[segment.layer] == segment.value
        both = 2 * (found & truth[segment.name]).sum() / (found.sum() + truth[segment.name].sum())
        assert both > 0.999
        assert found.sum() == pytest.approx(volumes[segment.name], rel=0.01)


def move(points: NDArray[np.float64], turn: NDArray[np.float64]) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = points @ turn[:3, :3].T + turn[:3, 3]
    return moved


def square(low: float, high: float) -> list[tuple[float, float, float]]:
    return [(low, low, 3), (high, low, 3), (high, high, 3), (low, high, 3)]


def test_holes_are_inner_contours_or_keyholes_and_neighbours_share_no_voxel() -> None:
    image = Geometry((12, 12, 6), np.eye(4))
    outer, inner = np.array(square(1, 9.0)), np.array(square(3.0, 6.0))
    as_inner = fill_contours([outer, inner], image)
    keyhole = fill_contours([np.vstack([outer, outer[:1], inner[::-1], inner[-1:]])], image)
    np.testing.assert_array_equal(as_inner, keyhole)
    assert as_inner.sum() == 64 - 9 and not as_inner[3:6, 3:6].any()
    halves = [np.array([(a, 1, 3), (b, 1, 3), (b, 9, 3), (a, 9, 3)], dtype=float) for a, b in ((1, 5), (5, 9))]
    left, right = (fill_contours([half], image) for half in halves)
    assert not (left & right).any() and (left | right).sum() == fill_contours([outer], image).sum()
    # In planes along another axis, as on sagittal slices.
    turned = fill_contours([outer[:, [2, 0, 1]], inner[:, [2, 0, 1]]], image.__class__((6, 12, 12), np.eye(4)))
    np.testing.assert_array_equal(turned, as_inner.transpose(2, 0, 1))
    assert not fill_contours([outer[:2]], image).any()  # two points have no area


def test_contours_that_do_not_fit_the_image_are_refused_with_the_region() -> None:
    image = Geometry((12, 12, 6), np.eye(4))
    good = np.array(square(1, 9.0))
    for shift, reason in (
        ((0, 0, 0.4), "'liver': a contour lies between two slices of the image, 0.4 mm off"),
        ((0, 0, 9), "lies outside the image: in slice 12 of 6"),
        ((8, 0, 0), "reaches beyond the image"),
    ):
        with pytest.raises(GeometryError, match=reason):
            read_dicom_mask(structure_set({"liver": [good + shift]}), image, SCHEME)
    tilted = good + np.array([(0, 0, 0), (0, 0, 0), (0, 0, 2), (0, 0, 2)])
    with pytest.raises(GeometryError, match="do not lie in slices of the image"):
        read_dicom_mask(structure_set({"liver": [tilted]}), image, SCHEME)
    assert (
        read_dicom_mask(structure_set({"liver": [good + np.array((0, 0, 0.05))]}), image, SCHEME).layers[0].sum() == 64
    )
    for kind, reason in (("OPEN_PLANAR", "contours of the type OPEN_PLANAR"), ("", "of the type unknown")):
        with pytest.raises(InvalidInput, match=reason):
            read_dicom_mask(structure_set({"liver": [good]}, kind=kind), image, SCHEME)
    points = read_dicom_mask(structure_set({"isocentre": [good[:1]]}, kind="POINT"), image, SCHEME)
    assert points.segments == () and "only a point" in points.notes[0]
    with pytest.raises(InvalidInput, match="no regions"):
        read_dicom_mask(structure_set({}), image, SCHEME)
    broken = pydicom.dcmread(io.BytesIO(structure_set({"liver": [good]})))
    broken.ROIContourSequence[0].ContourSequence[0].NumberOfContourPoints = 2**31 - 1
    with pytest.raises(InvalidInput, match="promises 2147483647 points and has 12 numbers"):
        read_dicom_mask(encode(broken), image, SCHEME)


def test_regions_are_named_by_their_codes_and_empty_ones_are_absent(tmp_path: Path) -> None:
    image = Geometry((12, 12, 6), np.eye(4))
    data = structure_set({"Leber": [np.array(square(1, 9.0))], "spleen": []}, codes={"Leber": ("10200004", "SCT")})
    assert decoded([data], image, tmp_path).voxels == {"spleen": 0, "liver": 64}


def test_a_mask_says_which_series_it_is_of() -> None:
    ds, header = written(), slice_headers(grid("axial"), NAMES)[0]
    found = references_of(ds)
    assert found is not None and found.series == {header.SeriesInstanceUID}
    assert found.frames == {header.FrameOfReferenceUID}
    region = references_of(pydicom.dcmread(io.BytesIO(structure_set({"liver": []}, series="1.2.3.4", frame="1.2.9"))))
    assert region is not None and region.series == {"1.2.3.4"} and region.frames == {"1.2.9"}
    assert references_of(header) is None
