"""Read attribute values, tolerating what scanners write."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from mrseg_label.errors import GeometryError, InvalidInput

# What pydicom raises for a text that the file's character set cannot decode, or for a value of another form.
_UNDECODABLE = (LookupError, ValueError, TypeError, AttributeError, NotImplementedError, AssertionError)
# Tried in this order where the character set of a file is missing or wrong; the last decodes any bytes.
_ENCODINGS = ("utf-8", "latin-1")


def text(source: Any, key: str) -> str:
    """Return a value as text without padding; empty if there is none.

    A text never costs an image: one that cannot be decoded as the file states is read as UTF-8 or Latin-1.
    """
    try:
        value = source.get(key)
        return "" if value is None else _storable(str(value)).strip(" \0")
    except _UNDECODABLE:
        return next(iter(spellings(source, key)), "")


def many(source: Any, key: str) -> list[str]:
    """Return all values as texts, decoded as :func:`text` does."""
    try:
        value = source.get(key)
        if value is None or value == "":
            return []
        values = value if isinstance(value, pydicom.multival.MultiValue) else [value]
        return [_storable(str(part)).strip() for part in values]
    except _UNDECODABLE:
        return [part.strip() for part in next(iter(spellings(source, key)), "").split("\\") if part.strip()]


def spellings(source: Any, key: str) -> list[str]:
    """Return a text as each encoding decodes its bytes, whatever character set the file states; empty without bytes.

    Call it before the value is read otherwise: pydicom keeps the bytes only until then.
    """
    try:
        raw = source.get_item(key).value
    except _UNDECODABLE:
        return []
    found = []
    for encoding in _ENCODINGS if isinstance(raw, bytes) else ():
        try:
            found.append(raw.decode(encoding).strip(" \0"))
        except UnicodeDecodeError:
            continue
    return found


def _storable(value: str) -> str:
    """Replace what is no character (half of a surrogate pair), which no file or database takes."""
    return value.encode("utf-8", "replace").decode("utf-8")


def number(source: Any, key: str) -> float | None:
    """Return a number, or None if there is none.

    Raises
    ------
    InvalidInput
        The value is NaN or infinite.
    """
    value = source.get(key)
    if value is None or value == "":
        return None
    found = float(value)
    if not math.isfinite(found):
        raise InvalidInput(f"{key} is {found}, which is not a finite number")
    return found


def number_if_valid(source: Any, key: str) -> float | None:
    """Return a number, or None if there is none or it is invalid: for attributes that an image can do without."""
    try:
        return number(source, key)
    except (InvalidInput, *_UNDECODABLE):
        return None


def first_number(source: Any, *keys: str) -> float | None:
    """Return the number of the first attribute that has one."""
    return next((found for found in (number(source, key) for key in keys) if found is not None), None)


def whole(ds: Dataset, key: str) -> int:
    """Return an integer, or 0 if there is none or it is invalid: for attributes that an image can do without."""
    found = number_if_valid(ds, key)
    return 0 if found is None else int(found)


def numbers(source: Any, key: str, count: int) -> tuple[float, ...]:
    """Return a given count of finite numbers.

    Raises
    ------
    GeometryError
        They are missing, too few or too many, or not finite.
    """
    value = source.get(key)
    if value is None or value == "":
        raise GeometryError(f"{key} is missing, so the position of the image is unknown")
    found = tuple(float(part) for part in value)
    if len(found) != count or not np.isfinite(found).all():
        raise GeometryError(f"{key} is {found}, but must be {count} finite numbers")
    return found
