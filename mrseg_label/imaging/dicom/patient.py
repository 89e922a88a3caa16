"""The patient of a DICOM file, known only while an import runs and never stored."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from pydicom.dataset import Dataset

from mrseg_label.imaging.dicom.values import many, spellings, text

MAX_AGE = 90.0
_PATIENT_KEYS = (
    *("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex", "PatientAge"),
    *("StudyDate", "StudyInstanceUID"),
)
# Names in paths are spelt as they should be, even where a file states the wrong character set for them.
_NAMES = ("PatientName", "PatientID", "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName")
_OTHER_IDENTIFYING_KEYS = (
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
# Values that replace an id which was removed.
_ANONYMOUS = ("", "anon", "anonymous", "anonymized", "anonymised", "unknown", "none")
# What separates the parts of a name, or stands for bytes that could not be decoded.
_NAME_PARTS = r"[\s^=,\ufffd\x00-\x1f]+"
_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}


@dataclass(frozen=True)
class Patient:
    """The patient named in a file, used to tell patients apart within an import; never stored.

    Attributes
    ----------
    key : equal in all files of one patient: the patient id, else name and date of birth, else the study.
    identifiers : texts that identify the patient and must not leave the import.
    sex : M, F, O or None.
    age : years, at most ``MAX_AGE``; None if unknown.
    known : whether ``key`` is an id or a name, not only a study.
    """

    key: str
    identifiers: frozenset[str] = field(repr=False)
    sex: str | None = None
    age: float | None = None
    known: bool = True


def patient_of(ds: Dataset) -> Patient:
    """Read the patient from a data set."""
    found = {spelling for key in _NAMES for spelling in spellings(ds, key)}
    found |= {part for spelling in spellings(ds, "PatientName") for part in re.split(_NAME_PARTS, spelling)}
    found |= {*many(ds, "OtherPatientIDs"), *(text(ds, key) for key in _OTHER_IDENTIFYING_KEYS)}
    other = tuple(sorted(found))
    return _patient(*(text(ds, key) for key in _PATIENT_KEYS), other)


@lru_cache(maxsize=16)  # hundreds of consecutive files share one patient, and so one object
def _patient(
    patient_id: str,
    issuer: str,
    name: str,
    birth_date: str,
    sex: str,
    age: str,
    study_date: str,
    study: str,
    other: tuple[str, ...],
) -> Patient:
    texts = {patient_id, name, birth_date, study_date, study, *other, *re.split(_NAME_PARTS, name)}
    if patient_id.strip(" 0").casefold() not in _ANONYMOUS:
        key, known = f"id\0{issuer}\0{patient_id}", True
    elif birth_date and name and name.strip(" ^").casefold() not in _ANONYMOUS:
        key, known = f"name\0{name.casefold()}\0{birth_date}", True
    else:
        key, known = f"study\0{study}", False
    sex = sex.upper()
    identifiers = frozenset(part for part in texts if identifies(part) and part.casefold() not in _ANONYMOUS)
    return Patient(
        key, identifiers, sex if sex in ("M", "F", "O") else None, _age(age.upper(), birth_date, study_date), known
    )


def identifies(part: str) -> bool:
    """Whether a text is long enough to tell people apart: two letters of a script without an alphabet are."""
    return len(part) >= 3 or (len(part) == 2 and min(part) >= "\u2e80")


def _age(stated: str, birth_date: str, study_date: str) -> float | None:
    unit = _PER_YEAR.get(stated[-1:])
    if unit and stated[:-1].isdigit():
        years = round(int(stated[:-1]) / unit, 1)
    elif len(birth_date) == len(study_date) == 8 and (birth_date + study_date).isdigit():
        years = float((int(study_date) - int(birth_date)) // 10000)
    else:
        return None
    # The very old are few and could be identified by their age.
    return min(years, MAX_AGE) if 0 <= years <= 130 else None
