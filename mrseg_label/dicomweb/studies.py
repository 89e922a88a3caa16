"""Studies and series, as a DICOMweb server lists them (DICOM JSON)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mrseg_label.text import readable

_LONGEST_TEXT = 200


class NotDicomJson(ValueError):
    """An answer to a search that is no DICOM JSON."""


@dataclass(frozen=True)
class Series:
    """A series on the server.

    Attributes
    ----------
    instances : number of instances as the server states it; None where it does not.
    """

    study: str
    uid: str
    modality: str
    description: str
    number: int | None = None
    instances: int | None = None


@dataclass(frozen=True)
class Study:
    """A study on the server, without anything that names the patient.

    Attributes
    ----------
    date : as DICOM has it (``20250301``); empty where unknown.
    accession : accession number, to compare it with a list; not for display.
    """

    uid: str
    date: str
    description: str
    accession: str = ""

    @property
    def day(self) -> str:
        """The date as people write it (``2025-03-01``)."""
        return f"{self.date[:4]}-{self.date[4:6]}-{self.date[6:]}" if len(self.date) == 8 else self.date

    @classmethod
    def of(cls, item: object) -> Study:
        """Read a study of an answer; raises :class:`NotDicomJson`."""
        return cls(
            uid=uid_of(item, "0020000D"),
            date=text_of(item, "00080020").replace(".", ""),
            description=text_of(item, "00081030"),
            accession=text_of(item, "00080050"),
        )


def series_of(item: object, study: str = "") -> Series:
    """Read a series of an answer; raises :class:`NotDicomJson`."""
    return Series(
        study=study or uid_of(item, "0020000D"),
        uid=uid_of(item, "0020000E"),
        modality=text_of(item, "00080060").upper(),
        description=text_of(item, "0008103E"),
        number=_number_of(item, "00200011"),
        instances=_number_of(item, "00201209"),
    )


def uid_of(item: object, tag: str) -> str:
    """The UID under a tag: it becomes part of addresses, so that anything else is refused."""
    uid = text_of(item, tag)
    if not uid or len(uid) > 64 or set(uid) - set("0123456789."):
        raise NotDicomJson(tag)
    return uid


def text_of(item: object, tag: str) -> str:
    """The first value under a tag as text that can be printed; empty where there is none."""
    if not isinstance(item, dict):
        raise NotDicomJson(tag)
    element: Any = item.get(tag) or {}
    values = element.get("Value") if isinstance(element, dict) else None
    value = values[0] if isinstance(values, list) and values else None
    if not isinstance(value, str | int | float):
        return ""
    text = readable(str(value)).strip(" \0")[:_LONGEST_TEXT]
    return text if text.isprintable() else "".join(letter for letter in text if letter.isprintable())


def _number_of(item: object, tag: str) -> int | None:
    text = text_of(item, tag)
    return int(text) if text.isascii() and text.isdigit() else None
