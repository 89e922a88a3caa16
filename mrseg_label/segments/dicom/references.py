"""What a segmentation or a structure set refers to: its series, frames of reference and patient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from mrseg_label.imaging.dicom.files import BROKEN
from mrseg_label.imaging.dicom.frames import MASK_CLASSES
from mrseg_label.imaging.dicom.patient import Patient, patient_of
from mrseg_label.imaging.dicom.values import text


@dataclass(frozen=True)
class References:
    """What a mask refers to.

    Attributes
    ----------
    series : SeriesInstanceUID of the images that were segmented.
    frames : FrameOfReferenceUID of the object or of its regions.
    automatic : names of segments and regions that a program made, and no person.
    """

    series: frozenset[str]
    frames: frozenset[str]
    patient: Patient
    automatic: tuple[str, ...] = ()


def references_of(ds: Dataset) -> References | None:
    """Read what a mask refers to; None where the object is neither a segmentation nor a structure set."""
    if text(ds, "SOPClassUID") not in MASK_CLASSES:
        return None
    try:
        series = {text(item, "SeriesInstanceUID") for item in _series_items(ds)}
        frames = {text(item, "FrameOfReferenceUID") for item in [ds, *_items(ds, "ReferencedFrameOfReferenceSequence")]}
        frames |= {text(item, "ReferencedFrameOfReferenceUID") for item in _items(ds, "StructureSetROISequence")}
        automatic = tuple(_automatic(ds))
    except BROKEN:  # reading the mask says what is wrong with it
        series, frames, automatic = set(), set(), ()
    return References(frozenset(series - {""}), frozenset(frames - {""}), patient_of(ds), automatic)


def _automatic(ds: Dataset) -> Iterator[str]:
    for item in _items(ds, "SegmentSequence"):
        if text(item, "SegmentAlgorithmType") == "AUTOMATIC":
            yield text(item, "SegmentLabel")
    for item in _items(ds, "StructureSetROISequence"):
        if text(item, "ROIGenerationAlgorithm") == "AUTOMATIC":
            yield text(item, "ROIName")


def _series_items(ds: Dataset) -> Iterator[Dataset]:
    yield from _items(ds, "ReferencedSeriesSequence")
    for study in _items(ds, "StudiesContainingOtherReferencedInstancesSequence"):
        yield from _items(study, "ReferencedSeriesSequence")
    for frame in _items(ds, "ReferencedFrameOfReferenceSequence"):
        for study in _items(frame, "RTReferencedStudySequence"):
            yield from _items(study, "RTReferencedSeriesSequence")


def _items(ds: Dataset, key: str) -> list[Dataset]:
    return list(ds.get(key) or [])
