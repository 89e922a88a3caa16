"""Find which structure a segment or a region of interest of a DICOM object is: by its code and side, then by its name."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset

from mrseg_label.errors import LabelError
from mrseg_label.imaging.dicom.values import text
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.concepts import PRIVATE, ConceptTable, side_of_code
from mrseg_label.segments.names import NameTable, check_name, is_ignored

_MODIFIERS = ("SegmentedPropertyTypeModifierCodeSequence", "AnatomicRegionModifierSequence")


class SegmentNames:
    """Names the segments of DICOM objects as a label scheme does.

    A name of the scheme decides where the code says nothing, and a code where the name says nothing. Where they contradict each other,
    the segment is refused: nobody can know which of them is wrong.
    """

    def __init__(self, scheme: LabelScheme) -> None:
        self._names, self._codes, self._scheme = NameTable(scheme), ConceptTable(scheme), scheme

    def name_of(self, label: str, coded: Dataset | None) -> str:
        """Return the name under which a segment is decoded: that of its structure, else its own.

        Parameters
        ----------
        label : its name in the object.
        coded : the item of the code sequence that says what it is, if there is one.

        Raises
        ------
        LabelError
            Name and code stand for two structures.
        """
        label = check_name(" ".join(label.split()))
        by_code = self._by_code(coded)
        by_name = self._names.match(label) or self._names.structure_around(label)
        if by_code is None or by_name == by_code or is_ignored(label):
            return label or "a segment without a name"
        if by_name is not None:
            raise LabelError(
                f"the segment {label!r} has the code of {by_code}, and its name means {by_name}; correct one of them"
            )
        return by_code

    def _by_code(self, coded: Dataset | None) -> str | None:
        if coded is None:
            return None
        value = text(coded, "CodeValue") or text(coded, "LongCodeValue")
        designator = text(coded, "CodingSchemeDesignator")
        if designator == PRIVATE:
            return value if value in self._scheme else None
        sides = {side for item in _modifiers(coded) if (side := _side_of(item)) is not None}
        return self._codes.match(value, designator, sides.pop() if len(sides) == 1 else "") if len(sides) < 2 else None


def first_item(ds: Any, key: str) -> Dataset | None:
    """Return the first item of a sequence, or None."""
    sequence = ds.get(key)
    return sequence[0] if sequence else None


def _modifiers(coded: Dataset) -> list[Dataset]:
    return [item for key in _MODIFIERS for item in coded.get(key) or []]


def _side_of(item: Dataset) -> str | None:
    return side_of_code(text(item, "CodeValue"), text(item, "CodingSchemeDesignator"))
