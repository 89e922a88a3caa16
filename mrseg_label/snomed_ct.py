"""Codes of SNOMED CT for the structures of a label scheme, by which other programs know them.

References
----------
DICOM PS3.16, CID 4031 (common anatomic regions) and CID 244 (laterality):
https://dicom.nema.org/medical/dicom/current/output/html/part16.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from mrseg_label.errors import LabelError

_CODE = re.compile(r"[1-9][0-9]{5,15}")  # SNOMED CT allows 18 digits, a code value in DICOM has 16
_MAX_MEANING = 64  # of a code in DICOM
_SIDES = ("", "left", "right")


@dataclass(frozen=True)
class SnomedConcept:
    """A code of SNOMED CT. Both structures of a pair have one code and differ in their laterality.

    Attributes
    ----------
    meaning : what the code means, in words; of no weight when concepts are compared.
    laterality : ``left``, ``right`` or empty.
    """

    code: str
    meaning: str = field(compare=False, default="")
    laterality: str = ""


def parse_concept(code: str, meaning: str, laterality: str, where: str) -> SnomedConcept | None:
    """Read the code of a structure from the cells of its row; None where it has none. ``where`` names the row in messages.

    Raises
    ------
    LabelError
        The code is not one of SNOMED CT, or the laterality is another than ``left`` and ``right``.
    """
    side = laterality.casefold()
    if code and not _CODE.fullmatch(code):
        raise LabelError(f"{where}: snomed_ct must be a code of SNOMED CT such as 10200004, not {code[:60]!r}")
    if side not in _SIDES:
        raise LabelError(f"{where}: laterality must be left, right or empty, not {laterality[:60]!r}")
    return SnomedConcept(code, meaning[:_MAX_MEANING], side) if code else None


def check_distinct(concepts: Iterable[tuple[str, SnomedConcept | None]], source: str) -> None:
    """Raise :class:`LabelError` where two structures have one code and one laterality.

    Parameters
    ----------
    concepts : name and code of each structure.
    source : of the scheme, for the message.
    """
    first: dict[SnomedConcept, str] = {}
    for name, concept in concepts:
        if concept is not None and first.setdefault(concept, name) != name:
            raise LabelError(
                f"{source}: {first[concept]} and {name} have the same snomed_ct {concept.code} and the same laterality; "
                "give the left and the right one of a pair their laterality, or leave a code out"
            )
