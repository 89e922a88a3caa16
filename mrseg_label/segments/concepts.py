"""The codes by which DICOM objects name the structures of a label scheme.

A structure has the code of SNOMED CT that the scheme gives it in its column ``snomed_ct``. Where a scheme has none, a structure that
the default scheme knows by the same name has its code. Every other structure has its own name as the code of a private coding scheme.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from mrseg_label.labels import LabelScheme, Structure
from mrseg_label.segments.names import NameTable
from mrseg_label.snomed_ct import SnomedConcept

SNOMED_CT = "SCT"
PRIVATE = "99MRSEG"
PRIVATE_NAME = "Names of the structures of a label scheme of mrseg-label"
# Left and right in DICOM PS3.16, CID 244.
LATERALITY = {"left": "7771000", "right": "24028007"}
_SIDES = {code: side for side, code in LATERALITY.items()}
_MAX_MEANING = 64
# Names of the edition of SNOMED that DICOM used before 2018, whose codes are translated.
_RETIRED = ("SRT", "SNM3", "99SDM")


@dataclass(frozen=True)
class Code:
    """A code and its meaning, as DICOM has it.

    Attributes
    ----------
    designator : of the coding scheme, such as ``SCT``.
    laterality : ``left``, ``right`` or empty.
    """

    value: str
    designator: str
    meaning: str
    laterality: str = ""


class ConceptTable:
    """The codes of the structures of a scheme, in both directions."""

    def __init__(self, scheme: LabelScheme) -> None:
        self._codes = {structure.name: _private(structure) for structure in scheme}
        stated = {s.snomed_ct: s.name for s in scheme if s.snomed_ct is not None}
        known = NameTable(LabelScheme.default())
        for structure in scheme:
            if structure.snomed_ct is not None:
                continue
            name = known.match(structure.shown_name)
            concept = LabelScheme.default()[name].snomed_ct if name is not None else None
            if concept is not None:
                stated.setdefault(concept, structure.name)
        self._codes |= {name: _public(concept) for concept, name in stated.items()}
        self._names = {(code.designator, code.value.casefold(), code.laterality): n for n, code in self._codes.items()}

    def code_of(self, structure: str) -> Code:
        """Return the code of a structure, by its name in the scheme."""
        return self._codes[structure]

    def match(self, value: str, designator: str, laterality: str) -> str | None:
        """Find the structure that a code means; None where the scheme has none.

        Parameters
        ----------
        laterality : ``left``, ``right`` or empty.
        """
        value, designator = current_code(value, designator)
        return self._names.get((designator, value.casefold(), laterality))


def side_of_code(value: str, designator: str) -> str | None:
    """Return the side that the code of a laterality means: ``left`` or ``right``; None for another code."""
    value, designator = current_code(value, designator)
    return _SIDES.get(value) if designator == SNOMED_CT else None


def current_code(value: str, designator: str) -> tuple[str, str]:
    """Translate a code of the edition of SNOMED that DICOM used before 2018; others are returned as they are."""
    if designator not in _RETIRED:
        return value, designator
    translated = _translations().get(value)
    return (translated, SNOMED_CT) if translated else (value, designator)


@cache
def _translations() -> dict[str, str]:
    from pydicom.sr._snomed_dict import mapping  # half a megabyte, for old files alone

    return dict(mapping["SRT"])


def _public(concept: SnomedConcept) -> Code:
    return Code(concept.code, SNOMED_CT, concept.meaning, concept.laterality)


def _private(structure: Structure) -> Code:
    return Code(structure.name, PRIVATE, structure.shown_name[:_MAX_MEANING])
