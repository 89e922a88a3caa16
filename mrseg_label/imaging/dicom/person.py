"""Who was examined: known only as long as an import runs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from pydicom.dataset import Dataset

from mrseg_label.imaging.dicom.values import many, text

OLDEST = 90.0
_ASKED = (
    *("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex", "PatientAge"),
    *("StudyDate", "StudyInstanceUID"),
)
_NAMING = (
    *(
        "AccessionNumber",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "StudyID",
        "InstitutionName",
        "DeviceSerialNumber",
    ),
    *("ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName"),
)
# What stands in the place of an id where one was removed.
_NOBODY = ("", "anon", "anonymous", "anonymized", "anonymised", "unknown", "none")
_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}


@dataclass(frozen=True)
class Patient:
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


def patient_of(ds: Dataset) -> Patient:
    """Who a file says was examined."""
    other = tuple(sorted({*many(ds, "OtherPatientIDs"), *(text(ds, key) for key in _NAMING)}))
    return _person(*(text(ds, key) for key in _ASKED), other)


@lru_cache(maxsize=16)  # hundreds of files in a row are of one person: one object for all
def _person(
    number: str, issuer: str, name: str, born: str, sex: str, age: str, taken: str, study: str, other: tuple[str, ...]
) -> Patient:
    texts = {number, name, born, taken, study, *other, *re.split(r"[\s^=,]+", name)}
    if number.strip(" 0").casefold() not in _NOBODY:
        key, known = f"id\0{issuer}\0{number}", True
    elif born and name and name.strip(" ^").casefold() not in _NOBODY:
        key, known = f"name\0{name.casefold()}\0{born}", True
    else:
        key, known = f"study\0{study}", False
    sex = sex.upper()
    identifiers = frozenset(part for part in texts if len(part) >= 3 and part.casefold() not in _NOBODY)
    return Patient(key, identifiers, sex if sex in ("M", "F", "O") else None, _age(age.upper(), born, taken), known)


def _age(stated: str, born: str, taken: str) -> float | None:
    unit = _PER_YEAR.get(stated[-1:])
    if unit and stated[:-1].isdigit():
        years = round(int(stated[:-1]) / unit, 1)
    elif len(born) == len(taken) == 8 and (born + taken).isdigit():
        years = float((int(taken) - int(born)) // 10000)
    else:
        return None
    # The very old are few, and so can be found by their age.
    return min(years, OLDEST) if 0 <= years <= 130 else None
