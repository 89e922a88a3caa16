"""The slices of a series to which another object refers: where they lie, and the attributes that it takes over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.dicom.files import BROKEN
from mrseg_label.imaging.dicom.frames import IMAGE_CLASSES
from mrseg_label.imaging.dicom.functional_groups import PER_FRAME, FunctionalGroups
from mrseg_label.imaging.dicom.grid import SlicePlace, place_slices
from mrseg_label.imaging.dicom.values import number_if_valid, numbers, whole
from mrseg_label.imaging.geometry import Geometry

# Type 1 of every image in a frame of reference.
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
# What an object of the same study repeats; missing ones become empty.
_REPEATED = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)
_OPTIONAL = ("ReferringPhysicianName", "PositionReferenceIndicator")
_SEXES = ("M", "F", "O")


@dataclass(frozen=True)
class SourceSlices:
    """The slices of one series.

    Attributes
    ----------
    headers : data sets as highdicom needs them: one a slice, in the order of their positions, or one with all frames.
    geometry : the grid of the slices.
    places : (n,) for each slice or frame in the order of ``headers``, its index along the third axis of the grid.
    series : SeriesInstanceUID.
    series_number : SeriesNumber, at least 0.
    """

    headers: list[Dataset]
    geometry: Geometry
    places: NDArray[np.int64]
    series: str
    series_number: int

    @classmethod
    def of(cls, sources: Sequence[Dataset]) -> SourceSlices:
        """Read the slices of a series.

        Parameters
        ----------
        sources : one data set a slice, in any order, or one data set with all frames (enhanced MR and CT).

        Raises
        ------
        InvalidInput
            They are not images of one series, or an attribute is missing.
        GeometryError
            They do not form an even stack.
        """
        if not sources:
            raise InvalidInput("the DICOM series has no slices")
        try:
            return cls._of(sources)
        except BROKEN as error:
            raise InvalidInput(
                f"the DICOM series cannot be referred to: {type(error).__name__}: {error}"[:300]
            ) from error

    @classmethod
    def _of(cls, sources: Sequence[Dataset]) -> SourceSlices:
        for ds in sources:
            missing = [key for key in _NEEDED if not ds.get(key)]
            if missing:
                raise InvalidInput(f"a slice of the DICOM series lacks {', '.join(missing)}")
            if ds.SOPClassUID not in IMAGE_CLASSES:
                raise InvalidInput("a file of the DICOM series is not an MR or CT image")
        first = sources[0]
        for key in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "Rows", "Columns"):
            if len({str(ds.get(key)) for ds in sources}) > 1:
                raise InvalidInput(f"the slices differ in {key}, so they are not one series")
        if len(sources) > 1 and any(PER_FRAME in ds for ds in sources):
            raise InvalidInput("a series of files with several frames each cannot be referred to; give one of them")
        by_file = [_places(ds) for ds in sources]
        places = [place for found in by_file for place in found]
        order, geometry = place_slices(places)
        ranks = np.empty(len(places), dtype=np.int64)
        ranks[order] = np.arange(len(places))
        headers = [_header(ds, found, geometry) for ds, found in zip(sources, by_file, strict=True)]
        if len(sources) > 1:  # whatever order the files came in, the same series gives the same result
            headers, ranks = [headers[index] for index in order], np.arange(len(places))
        return cls(headers, geometry, ranks, str(first.SeriesInstanceUID), max(whole(first, "SeriesNumber"), 0))


def _places(ds: Dataset) -> list[SlicePlace]:
    frames = len(ds.get(PER_FRAME) or [])
    views: list[Any] = [FunctionalGroups(ds, index) for index in range(frames)] if frames else [ds]
    return [
        SlicePlace(
            numbers(view, "ImagePositionPatient", 3),
            numbers(view, "ImageOrientationPatient", 6),
            (numbers(view, "PixelSpacing", 2)[0], numbers(view, "PixelSpacing", 2)[1]),
            int(ds.Rows),
            int(ds.Columns),
        )
        for view in views
    ]


def _header(ds: Dataset, places: Sequence[SlicePlace], geometry: Geometry) -> Dataset:
    """Copy what a segmentation takes over; what the standard wants and the file lacks is empty.

    The distance between slices is that of their positions, whatever the file states.
    """
    header = Dataset()
    for key in (*_NEEDED, "Rows", "Columns", "Modality"):
        setattr(header, key, ds.get(key))
    for key in _REPEATED:
        setattr(header, key, ds.get(key) or "")
    header.PatientName = str(header.PatientName)
    if header.PatientSex not in _SEXES:
        header.PatientSex = ""
    for key in _OPTIONAL:
        setattr(header, key, ds.get(key) or "")
    first, distance = places[0], _decimals(geometry.spacing_mm[2:])[0]
    thickness = number_if_valid(FunctionalGroups(ds, 0) if PER_FRAME in ds else ds, "SliceThickness") or distance
    measures = {
        "PixelSpacing": _decimals(first.spacing_mm),
        "SliceThickness": thickness,
        "SpacingBetweenSlices": distance,
    }
    directions = _decimals(first.directions)
    if PER_FRAME in ds:
        header.NumberOfFrames = len(places)
        header.SharedFunctionalGroupsSequence = [
            _item(
                PixelMeasuresSequence=[_item(**measures)],
                PlaneOrientationSequence=[_item(ImageOrientationPatient=directions)],
            )
        ]
        header.PerFrameFunctionalGroupsSequence = [
            _item(PlanePositionSequence=[_item(ImagePositionPatient=_decimals(place.position))]) for place in places
        ]
    else:
        for key, value in (measures | {"ImageOrientationPatient": directions}).items():
            setattr(header, key, value)
        header.ImagePositionPatient = _decimals(first.position)
    return header


def _decimals(values: Sequence[float]) -> list[DSfloat]:
    """Write numbers in the 16 characters that DICOM allows for each."""
    return [DSfloat(float(value), auto_format=True) for value in values]


def _item(**attributes: Any) -> Dataset:
    ds = Dataset()
    for key, value in attributes.items():
        setattr(ds, key, value)
    return ds
