"""Write a mask as a DICOM segmentation that refers to the series of its image."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from mrseg_label import __version__
from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.imaging.dicom.files import BROKEN
from mrseg_label.imaging.dicom.sources import SourceSlices
from mrseg_label.imaging.dicom.writing import uid_of
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.lattice import find_placement
from mrseg_label.labels import LabelScheme, Structure
from mrseg_label.segments.concepts import LATERALITY, PRIVATE, PRIVATE_NAME, Code, ConceptTable
from mrseg_label.text import listed

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

SUFFIX = ".dcm"
# A private block says what a segmentation cannot: which structures are absent, and which are not annotated.
PRIVATE_GROUP, PRIVATE_CREATOR, STATEMENT = 0x0071, "MRSEG-LABEL 1.0", 0x01
_MAX_TEXT, _MAX_COMMENT = 64, 10240
_NOBODY = "Anonymous"

# highdicom logs and warns of values that it takes over, and quotes them, even a patient's name.
logging.getLogger("highdicom").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module=r"highdicom\.")


@dataclass(frozen=True)
class Origin:
    """Where a mask comes from, and what it says.

    Attributes
    ----------
    key : that identifies the mask; the same key, scheme and series give the same UIDs.
    judged : names of the structures that were judged, present or absent. Voxels of others are left out.
    author : whoever drew it.
    moment : when it was submitted.
    models : for the structures that began as a draft, the model version that made it; the others were drawn by hand.
    description : of the series, such as ``Annotation 3``.
    """

    key: str
    judged: frozenset[str]
    author: str
    moment: datetime
    models: Mapping[str, str] = field(default_factory=dict)
    description: str = "Segmentation"


def make_segmentation(
    mask: NDArray[np.integer[Any]],
    geometry: Geometry,
    sources: Sequence[Dataset],
    scheme: LabelScheme,
    origin: Origin,
) -> Dataset:
    """Make a DICOM segmentation of a mask; its voxels are those of the mask, in the same places.

    Each structure that was judged and has voxels is a segment of the type BINARY, with the code of the structure, its side, its colour and
    how it was made. Structures that are absent or not annotated have no segment; the comment and a private attribute name them.

    Parameters
    ----------
    mask : (X, Y, Z) label ids of the scheme.
    sources : the series that the image of the mask was imported from, one data set a slice or one with all frames, in any order; or
        :func:`mrseg_label.imaging.dicom.writing.slice_headers` of the stored image. Voxels are not needed.

    Returns
    -------
    A data set that :func:`mrseg_label.imaging.dicom.writing.encode` writes.

    Raises
    ------
    GeometryError
        The series has not the grid of the mask.
    InvalidInput
        No structure that was judged has voxels, or the series lacks attributes that a segmentation needs.
    """
    # A second of imports that few requests need.
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.seg import Segmentation, SegmentationTypeValues

    slices = SourceSlices.of(sources)
    present = [s for s in scheme if s.name in origin.judged and bool((mask == s.id).any())]
    if not present:
        raise InvalidInput("no structure of this mask has voxels, and a DICOM segmentation needs one that has")
    codes = ConceptTable(scheme)
    frames = _frames(mask, geometry, slices, present)
    private = [code for code in map(codes.code_of, (s.name for s in present)) if code.designator == PRIVATE]
    identity = (origin.key, scheme.digest, slices.series)
    series_uid, instance_uid = segmentation_uids(origin.key, scheme, slices.series)
    try:
        ds: Dataset = Segmentation(
            source_images=slices.headers,
            pixel_array=frames,
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=[
                _describe(number, structure, codes.code_of(structure.name), origin, identity)
                for number, structure in enumerate(present, start=1)
            ],
            series_instance_uid=series_uid,
            series_number=slices.series_number + 1000,
            sop_instance_uid=instance_uid,
            instance_number=1,
            manufacturer="mrseg-label",
            manufacturer_model_name="mrseg-label",
            software_versions=__version__,
            device_serial_number="mrseg-label",  # of an installation there is none
            content_label="SEGMENTATION",
            content_description=origin.description[:_MAX_TEXT],
            content_creator_name=_person(origin.author),
            series_description=origin.description[:_MAX_TEXT],
            coding_schemes=[CodingSchemeIdentificationItem(PRIVATE, PRIVATE_NAME)] if private else None,
        )
    except BROKEN as error:
        raise InvalidInput(f"the DICOM series cannot be referred to ({type(error).__name__}: {error})"[:300]) from error
    _complete(ds, scheme, origin, present, identity)
    return ds


def segmentation_uids(key: str, scheme: LabelScheme, series: str) -> tuple[str, str]:
    """Return the UIDs of the series and of the instance that the segmentation of a mask will have.

    Parameters
    ----------
    key : as in :class:`Origin`.
    series : UID of the series that it refers to.
    """
    identity = (key, scheme.digest, series)
    return uid_of("segmentation series", *identity), uid_of("segmentation", *identity)


def _frames(
    mask: NDArray[np.integer[Any]], geometry: Geometry, slices: SourceSlices, present: Sequence[Structure]
) -> NDArray[np.uint8]:
    """Bring the mask to the frames of the series: (frames, rows, columns) of segment numbers."""
    where = find_placement(geometry, slices.geometry)
    if where is None or not where.covers_exactly(slices.geometry):
        raise GeometryError(
            f"the DICOM series is not on the grid of the mask: {slices.geometry}, against {geometry}; "
            "give the series that the image was imported from"
        )
    numbers = np.zeros(256, dtype=np.uint8)
    for number, structure in enumerate(present, start=1):
        numbers[structure.id] = number
    placed = where.reorder(numbers[mask.astype(np.uint8)])
    return np.ascontiguousarray(placed.transpose(2, 1, 0)[slices.places])


def _describe(
    number: int, structure: Structure, code: Code, origin: Origin, identity: tuple[str, ...]
) -> SegmentDescription:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from highdicom.sr import CodedConcept

    model = origin.models.get(structure.name)
    category = CodedConcept("123037004", "SCT", "Anatomical Structure")
    segment = SegmentDescription(
        segment_number=number,
        segment_label=structure.shown_name[:_MAX_TEXT],
        segmented_property_category=category,
        segmented_property_type=CodedConcept(code.value, code.designator, code.meaning),
        algorithm_type=SegmentAlgorithmTypeValues.SEMIAUTOMATIC if model else SegmentAlgorithmTypeValues.MANUAL,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=f"mrseg-label {model}"[:_MAX_TEXT],
            family=CodedConcept("123110", "DCM", "Artificial Intelligence"),
            version=model[:_MAX_TEXT],
        )
        if model
        else None,
        tracking_uid=uid_of("segment", *identity, structure.name),
        tracking_id=structure.name[:_MAX_TEXT],
    )
    if code.laterality:
        side = CodedConcept(LATERALITY[code.laterality], "SCT", code.laterality.capitalize())
        segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [side]
    segment.RecommendedDisplayCIELabValue = _cielab(structure.color)
    return segment


def _complete(
    ds: Dataset, scheme: LabelScheme, origin: Origin, present: Sequence[Structure], identity: tuple[str, ...]
) -> None:
    """Add what highdicom does not: dates of the mask, UIDs that follow from it, and what has no segment."""
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ContentDate, ds.ContentTime = origin.moment.strftime("%Y%m%d"), origin.moment.strftime("%H%M%S")
    ds.SeriesDate, ds.SeriesTime = ds.ContentDate, ds.ContentTime
    organization = uid_of("dimensions", *identity)
    ds.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization
    for item in ds.DimensionIndexSequence:
        item.DimensionOrganizationUID = organization
    found = {structure.name for structure in present}
    absent = [s.name for s in scheme if s.name in origin.judged and s.name not in found]
    left_open = [s.name for s in scheme if s.name not in origin.judged]
    ds.ImageComments = (
        f"Judged absent: {listed(absent, 254) or 'none'}. Not annotated: {listed(left_open, 254) or 'none'}."
    )[:_MAX_COMMENT]
    statement = {"absent": absent, "not_annotated": left_open, "scheme": scheme.digest}
    block = ds.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True)
    block.add_new(STATEMENT, "UT", json.dumps(statement, ensure_ascii=False))


def _person(author: str) -> str:
    """Write the name of an account as a name of DICOM: one component, without the characters that divide them."""
    return "".join(" " if character in "^=\\" else character for character in author).strip()[:_MAX_TEXT] or _NOBODY


def _cielab(color: tuple[int, int, int]) -> list[int]:
    """Convert sRGB to the CIELab values of DICOM (PS3.3, C.10.7.1.1): D50, 16 bits."""
    from PIL import Image, ImageCms

    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(Image.new("RGB", (1, 1), color), *profiles, outputMode="LAB")
    assert converted is not None
    lightness, a, b = converted.tobytes()
    # a and b are signed bytes; DICOM counts from -128.
    return [lightness * 257, *(((value + 128) % 256) * 257 for value in (a, b))]
