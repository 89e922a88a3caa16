"""One DICOM file to the frames in it: what tells them apart and where they lie."""

from __future__ import annotations

import hashlib
import io
import logging
import math
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.imaging.dicom.functional_groups import GROUPS, FunctionalGroups

# MR, enhanced MR, CT, enhanced CT, and the two of old images brought into the enhanced form.
_ENHANCED = (
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.4.4",
    "1.2.840.10008.5.1.4.1.1.2.2",
)
IMAGE_CLASSES = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2", *_ENHANCED)
_MAX_FRAMES = 100_000

# pydicom warns of every value that breaks the standard; what matters of it is checked here.
logging.getLogger("pydicom").setLevel(logging.ERROR)


# What pydicom and what stands behind it raise for files that are broken in one way or another.
_BROKEN = (
    *(InvalidDicomError, EOFError, OSError, zlib.error, struct.error, RecursionError, AssertionError),
    *(AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError, NotImplementedError),
)


class NotAnImage(InvalidInput):
    """A file that is no MR or CT image: a report, a directory, a screenshot, something else altogether."""


@dataclass(frozen=True)
class Person:
    """Who was examined, as a file says it: to tell people apart within an import, never to be stored.

    Attributes
    ----------
    key : what is the same in all files of one person: their id, else name and date of birth, else the study.
    identifiers : texts that name the person and must not leave the import.
    sex : M, F, O or None. age : years or None.
    known : whether ``key`` is an id or a name, and not the study's alone.
    """

    key: str
    identifiers: frozenset[str] = field(repr=False)
    sex: str | None = None
    age: float | None = None
    known: bool = True


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice.

    Attributes
    ----------
    file : name under which the file is opened again. index : of the frame in the file, from 0.
    series : SeriesInstanceUID. study : StudyInstanceUID. reference : FrameOfReferenceUID.
    rows, columns : size of the slice; ``spacing_mm`` between rows and between columns.
    directions : ImageOrientationPatient, (6,), LPS. position : ImagePositionPatient, (3,), LPS mm.
    slope, intercept : real value = stored value * slope + intercept.
    component : "M", or what the values are instead of magnitudes: "P", "R", "I".
    echo, time_point, acquisition, b_value, trigger, echo_time_ms : as the file gives them, or empty.
    image_type : values of ImageType and FrameType.
    words : series description and protocol name, for the sequence type.
    pixels : digest of the stored voxels. content : digest of the whole file.
    """

    file: str
    index: int
    person: Person
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
    image_type: tuple[str, ...]
    scan: tuple[str, ...]
    description: str
    protocol: str
    fat_suppressed: bool
    pixels: bytes
    content: bytes


def read_frames(data: bytes, name: str, wanted: str | None = None) -> list[Frame]:
    """The frames of a DICOM file.

    Parameters
    ----------
    data : the whole file.
    name : under which it is opened again; it stands in the frames and in no message.
    wanted : a series description that stands in for one that is missing.

    Raises
    ------
    NotAnImage
        Not DICOM, or DICOM that is no MR or CT image.
    InvalidInput
        An image that is damaged or cannot be used.
    """
    ds = parse(data)
    uid = str(ds.get("SOPClassUID", ""))
    if uid not in IMAGE_CLASSES:
        kind = pydicom.uid.UID(uid).name if uid else "no kind of object is given"
        raise NotAnImage(f"no MR or CT image: {kind}")
    try:
        return list(_frames(ds, data, name, wanted or ""))
    except AttributeError as error:  # names the attribute that is missing
        raise InvalidInput(f"an attribute is missing: {error}"[:200]) from error
    except _BROKEN as error:  # without the text, which may quote anything
        raise InvalidInput(f"the file's attributes cannot be used ({type(error).__name__})") from error


def parse(data: bytes) -> Dataset:
    """Read the data set of a file, with or without the preamble.

    Raises
    ------
    NotAnImage
        It is not DICOM.
    InvalidInput
        It is damaged.
    """
    bare = data[128:132] != b"DICM"
    if bare and not _looks_bare(data):
        raise NotAnImage("not a DICOM file")
    try:
        ds = pydicom.dcmread(io.BytesIO(data), force=bare)
        _ = ds.get("SOPClassUID"), ds.get("PixelData")
    except _BROKEN as error:
        raise InvalidInput(f"the DICOM file is damaged or truncated ({type(error).__name__})") from error
    return ds


def _looks_bare(data: bytes) -> bool:
    """Whether a file without preamble begins as old DICOM files do: group 0008 or 0002, small element."""
    return data[:2] in (b"\x08\x00", b"\x02\x00") and data[3:4] == b"\x00" and len(data) > 256


def _frames(ds: Dataset, data: bytes, name: str, wanted: str) -> Iterator[Frame]:
    if int(ds.get("SamplesPerPixel", 1)) != 1 or str(ds.get("PhotometricInterpretation", "")) != "MONOCHROME2":
        raise InvalidInput(
            f"{ds.get('SamplesPerPixel', 1)} samples a voxel, {ds.get('PhotometricInterpretation', 'no photometry')}; "
            "an image here has one, MONOCHROME2"
        )
    rows, columns, count = int(ds.Rows), int(ds.Columns), int(ds.get("NumberOfFrames", 1) or 1)
    if min(rows, columns, count) < 1 or count > _MAX_FRAMES:
        raise InvalidInput(f"the header gives {count} frames of {rows} x {columns} voxels")
    grouped = any(group in ds for group in GROUPS)
    if count > 1 and not grouped:
        raise InvalidInput(f"{count} frames that do not say where they lie (no functional groups)")
    pieces = _pixel_digests(ds, rows, columns, count)
    content = hashlib.sha256(data).digest()
    who = person_of(ds)
    shared = _shared(ds, wanted)
    for index in range(count):
        source: Any = FunctionalGroups(ds, index) if grouped else ds
        yield _frame(source, ds, name, index, who, shared, rows, columns, pieces[index], content)


def _shared(ds: Dataset, wanted: str) -> dict[str, Any]:
    scan = [
        *_many(ds, "ScanningSequence"),
        *_many(ds, "SequenceVariant"),
        *_many(ds, "ScanOptions"),
        _text(ds, "SequenceName"),
    ]
    return {
        "modality": sys.intern(_text(ds, "Modality")),
        "series": sys.intern(_text(ds, "SeriesInstanceUID")),
        "study": sys.intern(_text(ds, "StudyInstanceUID")),
        "reference": sys.intern(_text(ds, "FrameOfReferenceUID")),
        "number": _whole(ds, "SeriesNumber"),
        "scan": tuple(sys.intern(part) for part in scan if part),
        "description": sys.intern(_text(ds, "SeriesDescription") or wanted),
        "protocol": sys.intern(_text(ds, "ProtocolName")),
    }


def _frame(
    source: Any,
    ds: Dataset,
    name: str,
    index: int,
    who: Person,
    shared: dict[str, Any],
    rows: int,
    columns: int,
    pixels: bytes,
    content: bytes,
) -> Frame:
    directions, position = _numbers(source, "ImageOrientationPatient", 6), _numbers(source, "ImagePositionPatient", 3)
    between_rows, between_columns = _numbers(source, "PixelSpacing", 2)
    slope, intercept = _number(source, "RescaleSlope"), _number(source, "RescaleIntercept")
    slope = 1.0 if slope is None else slope
    if slope == 0:
        raise InvalidInput("a rescale slope of zero")
    image_type = tuple(dict.fromkeys(part.upper() for part in [*_many(ds, "ImageType"), *_many(source, "FrameType")]))
    return Frame(
        file=name,
        index=index,
        person=who,
        rows=rows,
        columns=columns,
        spacing_mm=(between_rows, between_columns),
        directions=directions,
        position=position,
        slope=slope,
        intercept=intercept or 0.0,
        component=_component(source, ds, image_type),
        echo=_text(source, "EchoNumbers"),
        time_point=_text(source, "TemporalPositionIdentifier") or _text(source, "TemporalPositionIndex"),
        acquisition=_text(source, "AcquisitionNumber"),
        acquired_seconds=_seconds(source, ds),
        b_value=_text(source, "DiffusionBValue"),
        trigger=_text(source, "TriggerTime") or _text(source, "NominalCardiacTriggerDelayTime"),
        echo_time_ms=_first_number(source, "EffectiveEchoTime", "EchoTime"),
        repetition_time_ms=_number(source, "RepetitionTime"),
        flip_angle=_number(source, "FlipAngle"),
        image_type=image_type,
        fat_suppressed=_text(source, "SpectrallySelectedSuppression").upper() in ("FAT", "FAT_AND_WATER"),
        pixels=pixels,
        content=content,
        **shared,
    )


def _pixel_digests(ds: Dataset, rows: int, columns: int, count: int) -> list[bytes]:
    """A digest of each frame's stored voxels; their size is checked where they are not compressed."""
    if "PixelData" not in ds:
        raise InvalidInput("an image without voxels")
    data: bytes = ds.PixelData
    syntax = getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is not None and syntax.is_compressed and not syntax.is_deflated:
        whole = hashlib.sha256(data).digest()
        return [
            hashlib.sha256(whole + index.to_bytes(4, "big")).digest() if count > 1 else whole for index in range(count)
        ]
    bits = int(ds.BitsAllocated)
    if bits not in (8, 16, 32):
        raise InvalidInput(f"{bits} bits a voxel; 8, 16 or 32 are read")
    size = rows * columns * bits // 8
    if not size * count <= len(data) <= size * count + 1:
        raise InvalidInput(f"the header promises {size * count:,} bytes of voxels, the file holds {len(data):,}")
    return [hashlib.sha256(data[size * index : size * (index + 1)]).digest() for index in range(count)]


def person_of(ds: Dataset) -> Person:
    """Who a file says was examined."""
    number, name, born = (_text(ds, key) for key in ("PatientID", "PatientName", "PatientBirthDate"))
    issuer = _text(ds, "IssuerOfPatientID")
    texts = {number, name, *name.replace("^", " ").replace("=", " ").replace(",", " ").split()}
    texts |= {str(value) for value in _many(ds, "OtherPatientIDs")}
    texts |= {_text(ds, key) for key in ("AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID", "StudyID")} | {
        born
    }
    anonymous = number.strip(" 0").casefold() in (
        "",
        "anon",
        "anonymous",
        "anonymized",
        "anonymised",
        "unknown",
        "none",
    )
    if not anonymous:
        key, known = f"id\0{issuer}\0{number}", True
    elif born and name:
        key, known = f"name\0{name.casefold()}\0{born}", True
    else:
        key, known = f"study\0{_text(ds, 'StudyInstanceUID')}", False
    sex = _text(ds, "PatientSex").upper()
    identifiers = frozenset(text for text in texts if len(text) >= 3)
    return Person(sys.intern(key), identifiers, sex if sex in ("M", "F", "O") else None, _age(ds, born), known)


def _age(ds: Dataset, born: str) -> float | None:
    text = _text(ds, "PatientAge").upper()
    unit = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}.get(text[-1:])
    if unit and text[:-1].isdigit():
        years = round(int(text[:-1]) / unit, 1)
    else:
        taken = _text(ds, "StudyDate")
        if len(born) != 8 or len(taken) != 8 or not (born + taken).isdigit():
            return None
        years = float((int(taken) - int(born)) // 10000)
    return min(years, 90.0) if 0 <= years <= 130 else None  # very old people are few and so can be found by their age


def _component(source: Any, ds: Dataset, image_type: Sequence[str]) -> str:
    stated = (_text(source, "ComplexImageComponent") or _text(ds, "ComplexImageComponent")).upper()
    by_name = {"PHASE": "P", "REAL": "R", "IMAGINARY": "I"}
    if stated in by_name:
        return by_name[stated]
    words = image_type[2:]  # the first two say original or derived, primary or secondary
    for part, component in (
        ("P", "P"),
        ("PHASE", "P"),
        ("PHASE MAP", "P"),
        ("PHASE_MAP", "P"),
        ("R", "R"),
        ("REAL", "R"),
        ("I", "I"),
        ("IMAGINARY", "I"),
    ):
        if part in words:
            return component
    return "M"


def _seconds(source: Any, ds: Dataset) -> float | None:
    text = (
        _text(source, "FrameAcquisitionDateTime")[8:]
        or _text(ds, "AcquisitionDateTime")[8:]
        or _text(ds, "AcquisitionTime")
    )
    digits = text.split("+")[0].split("-")[0].replace(":", "")
    if len(digits) < 6 or not digits[:6].isdigit():
        return None
    return int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + float(digits[4:])


def _text(source: Any, key: str) -> str:
    value = source.get(key)
    return "" if value is None else str(value).strip(" \0")


def _many(source: Any, key: str) -> list[str]:
    value = source.get(key)
    if value is None or value == "":
        return []
    return (
        [str(part).strip() for part in value]
        if isinstance(value, pydicom.multival.MultiValue)
        else [str(value).strip()]
    )


def _number(source: Any, key: str) -> float | None:
    value = source.get(key)
    if value is None or value == "":
        return None
    number = float(value)
    if not math.isfinite(number):
        raise InvalidInput(f"{key} is {number}")
    return number


def _first_number(source: Any, *keys: str) -> float | None:
    return next((number for number in (_number(source, key) for key in keys) if number is not None), None)


def _whole(ds: Dataset, key: str) -> int:
    value = ds.get(key)
    return 0 if value is None or value == "" else int(value)


def _numbers(source: Any, key: str, count: int) -> tuple[float, ...]:
    value = source.get(key)
    if value is None or value == "":
        raise GeometryError(f"no {key}, so nothing says where the image lies")
    numbers = tuple(float(part) for part in value)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise GeometryError(f"{key} is {numbers}; it takes {count} finite numbers")
    return numbers
