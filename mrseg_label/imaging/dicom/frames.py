"""Read the frames of a DICOM file: where each slice lies, and what distinguishes it from others."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.dicom.files import BROKEN, MaskObject, NotAnImage, UnusableImage, parse
from mrseg_label.imaging.dicom.functional_groups import GROUPS, FunctionalGroups
from mrseg_label.imaging.dicom.patient import Patient, patient_of
from mrseg_label.imaging.dicom.values import first_number, many, number, number_if_valid, numbers, text, whole

# Enhanced MR, enhanced CT, and legacy MR and CT converted to the enhanced form.
_ENHANCED = (
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.4.4",
    "1.2.840.10008.5.1.4.1.1.2.2",
)
# MR and CT, plain and enhanced.
IMAGE_CLASSES = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2", *_ENHANCED)
# DICOM SEG (segments, label maps) and RT structure sets.
MASK_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.66.7",
    "1.2.840.10008.5.1.4.1.1.481.3",
)
_SURFACES = "1.2.840.10008.5.1.4.1.1.66.5"
_MAX_FRAMES = 100_000
# Images are compressed by a small factor; only a small one may consist of background alone.
_MAX_RATIO, _SMALL_BYTES = 1000, 64 * 1024**2
# Values of ImageType or ComplexImageComponent for voxels that are not magnitudes.
_COMPONENTS = {
    **dict.fromkeys(("P", "PHASE", "PHASE MAP", "PHASE_MAP"), "P"),
    **dict.fromkeys(("R", "REAL"), "R"),
    **dict.fromkeys(("I", "IMAGINARY"), "I"),
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice of an image.

    Attributes
    ----------
    file : name by which the file is opened again.
    index : of the frame in the file, from 0.
    series : SeriesInstanceUID.
    study : StudyInstanceUID.
    reference : FrameOfReferenceUID.
    number : SeriesNumber.
    rows, columns : size of the slice.
    spacing_mm : between rows, and between columns.
    directions : ImageOrientationPatient, (6,), LPS.
    position : ImagePositionPatient, (3,), LPS mm.
    slope, intercept : real value = stored value * slope + intercept.
    component : "M" for magnitude, "P" phase, "R" real, "I" imaginary.
    echo, time_point, acquisition, b_value, trigger, echo_time_ms : as in the file, or empty.
    field_tesla : MagneticFieldStrength; some scanners write gauss.
    image_type : values of ImageType and FrameType.
    scan : scanning sequence, variant, options and sequence name.
    description, protocol : series description and protocol name.
    pixels : digest of the stored voxels.
    content : digest of the whole file.
    """

    file: str
    index: int
    patient: Patient
    modality: str
    series: str
    study: str
    reference: str
    number: int
    rows: int
    columns: int
    spacing_mm: tuple[float, float]
    directions: tuple[float, ...]
    position: tuple[float, ...]
    slope: float
    intercept: float
    component: str
    echo: str
    time_point: str
    acquisition: str
    acquired_seconds: float | None
    b_value: str
    trigger: str
    echo_time_ms: float | None
    repetition_time_ms: float | None
    flip_angle: float | None
    field_tesla: float | None
    image_type: tuple[str, ...]
    scan: tuple[str, ...]
    description: str
    protocol: str
    fat_suppressed: bool
    pixels: bytes
    content: bytes


def read_frames(data: bytes, name: str, description: str | None = None) -> list[Frame]:
    """Read the frames of a DICOM file.

    Parameters
    ----------
    data : the whole file.
    name : by which the file is opened again; it is stored in the frames, but appears in no message.
    description : series description for a file that has none.

    Raises
    ------
    NotAnImage
        The file is not DICOM, or not an MR or CT image; :class:`MaskObject` for a segmentation or a structure set.
    UnusableImage
        The file is an image, but damaged or not usable.
    InvalidInput
        The file is so damaged that its kind is unknown.
    """
    ds = parse(data)
    uid = text(ds, "SOPClassUID") or text(getattr(ds, "file_meta", {}), "MediaStorageSOPClassUID")
    if uid not in IMAGE_CLASSES:
        kind = pydicom.uid.UID(uid).name if uid else "an object of unknown kind"
        if uid in MASK_CLASSES:
            raise MaskObject("a DICOM segmentation or structure set, and not an image", ds)
        if uid == _SURFACES:
            raise NotAnImage(
                f"{kind} is not supported as a mask; save it as .seg.nrrd or .nii.gz, for example in 3D Slicer, and use --masks"
            )
        raise NotAnImage(f"not an MR or CT image but {kind}")
    series = text(ds, "SeriesInstanceUID")
    try:
        return list(_frames(ds, data, name, description or ""))
    except InvalidInput as error:
        raise UnusableImage(str(error), series) from error
    except AttributeError as error:
        raise UnusableImage(f"the attribute {error.name} is missing", series) from error
    except BROKEN as error:  # its text is left out, since it may quote a patient's name
        raise UnusableImage(f"the attributes of the file are invalid ({type(error).__name__})", series) from error


def _frames(ds: Dataset, data: bytes, name: str, description: str) -> Iterator[Frame]:
    if int(ds.get("SamplesPerPixel", 1)) != 1 or text(ds, "PhotometricInterpretation") not in ("", "MONOCHROME2"):
        raise InvalidInput(
            f"the image has {ds.get('SamplesPerPixel', 1)} samples a voxel and the photometric interpretation "
            f"{ds.get('PhotometricInterpretation') or 'unknown'}; only one sample and MONOCHROME2 are supported"
        )
    rows, columns, count = int(ds.Rows), int(ds.Columns), int(ds.get("NumberOfFrames", 1) or 1)
    if min(rows, columns, count) < 1 or count > _MAX_FRAMES:
        raise InvalidInput(f"the header declares {count} frames of {rows} x {columns} voxels")
    grouped = any(group in ds for group in GROUPS)
    if count > 1 and not grouped:
        raise InvalidInput(f"the positions of its {count} frames are missing (no functional groups)")
    pixels = _pixel_digests(ds, rows, columns, count)
    content = hashlib.sha256(data).digest()
    patient = patient_of(ds)
    shared = _shared(ds, description)
    for index in range(count):
        source: Any = FunctionalGroups(ds, index) if grouped else ds
        yield _frame(source, ds, name, index, patient, shared, rows, columns, pixels[index], content)


def _shared(ds: Dataset, description: str) -> dict[str, Any]:
    scan = [
        *many(ds, "ScanningSequence"),
        *many(ds, "SequenceVariant"),
        *many(ds, "ScanOptions"),
        text(ds, "SequenceName"),
    ]
    return {
        "modality": sys.intern(text(ds, "Modality")),
        "series": sys.intern(text(ds, "SeriesInstanceUID")),
        "study": sys.intern(text(ds, "StudyInstanceUID")),
        "reference": sys.intern(text(ds, "FrameOfReferenceUID")),
        "number": whole(ds, "SeriesNumber"),
        "scan": tuple(sys.intern(part) for part in scan if part),
        "description": sys.intern(text(ds, "SeriesDescription") or description),
        "protocol": sys.intern(text(ds, "ProtocolName")),
    }


def _frame(
    source: Any,
    ds: Dataset,
    name: str,
    index: int,
    patient: Patient,
    shared: dict[str, Any],
    rows: int,
    columns: int,
    pixels: bytes,
    content: bytes,
) -> Frame:
    directions, position = numbers(source, "ImageOrientationPatient", 6), numbers(source, "ImagePositionPatient", 3)
    between_rows, between_columns = numbers(source, "PixelSpacing", 2)
    slope, intercept = number(source, "RescaleSlope"), number(source, "RescaleIntercept")
    slope = 1.0 if slope is None else slope
    if slope == 0:
        raise InvalidInput("the rescale slope is zero")
    image_type = tuple(dict.fromkeys(part.upper() for part in [*many(ds, "ImageType"), *many(source, "FrameType")]))
    return Frame(
        file=name,
        index=index,
        patient=patient,
        rows=rows,
        columns=columns,
        spacing_mm=(between_rows, between_columns),
        directions=directions,
        position=position,
        slope=slope,
        intercept=intercept or 0.0,
        component=_component(source, ds, image_type),
        echo=text(source, "EchoNumbers"),
        time_point=text(source, "TemporalPositionIdentifier") or text(source, "TemporalPositionIndex"),
        acquisition=text(source, "AcquisitionNumber"),
        acquired_seconds=_seconds(source, ds),
        b_value=text(source, "DiffusionBValue"),
        trigger=text(source, "TriggerTime") or text(source, "NominalCardiacTriggerDelayTime"),
        echo_time_ms=first_number(source, "EffectiveEchoTime", "EchoTime"),
        repetition_time_ms=number(source, "RepetitionTime"),
        flip_angle=number(source, "FlipAngle"),
        field_tesla=number_if_valid(source, "MagneticFieldStrength"),
        image_type=image_type,
        fat_suppressed=text(source, "SpectrallySelectedSuppression").upper() in ("FAT", "FAT_AND_WATER"),
        pixels=pixels,
        content=content,
        **shared,
    )


def _pixel_digests(ds: Dataset, rows: int, columns: int, count: int) -> list[bytes]:
    """Compute a digest of each frame's stored voxels; their size is checked if they are not compressed."""
    if "PixelData" not in ds:
        raise InvalidInput("the image has no voxels")
    data: bytes = ds.PixelData
    syntax = getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is not None and syntax.is_compressed and not syntax.is_deflated:
        promised = rows * columns * count * 2
        if promised > max(_SMALL_BYTES, len(data) * _MAX_RATIO):
            raise InvalidInput(f"the header promises {promised:,} bytes of voxels, compressed to only {len(data):,}")
        packed = hashlib.sha256(data).digest()
        return [
            hashlib.sha256(packed + index.to_bytes(4, "big")).digest() if count > 1 else packed
            for index in range(count)
        ]
    bits = int(ds.BitsAllocated)
    if bits not in (8, 16, 32):
        raise InvalidInput(f"the image has {bits} bits a voxel; only 8, 16 and 32 are supported")
    size = rows * columns * bits // 8
    if not size * count <= len(data) <= size * count + 1:
        raise InvalidInput(f"the header promises {size * count:,} bytes of voxels, but the file holds {len(data):,}")
    return [hashlib.sha256(data[size * index : size * (index + 1)]).digest() for index in range(count)]


def _component(source: Any, ds: Dataset, image_type: Sequence[str]) -> str:
    stated = (text(source, "ComplexImageComponent") or text(ds, "ComplexImageComponent")).upper()
    if stated in _COMPONENTS:
        return _COMPONENTS[stated]
    words = image_type[2:]  # the first two are ORIGINAL or DERIVED, and PRIMARY or SECONDARY
    return next((component for word, component in _COMPONENTS.items() if word in words), "M")


def _seconds(source: Any, ds: Dataset) -> float | None:
    moment = (
        text(source, "FrameAcquisitionDateTime")[8:]
        or text(ds, "AcquisitionDateTime")[8:]
        or text(ds, "AcquisitionTime")
    )
    digits = moment.split("+")[0].split("-")[0].replace(":", "")
    if len(digits) < 6 or not digits[:6].isdigit():
        return None
    return int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + float(digits[4:])
