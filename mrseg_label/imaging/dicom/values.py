"""Read attribute values, tolerating what scanners write."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from mrseg_label.errors import GeometryError, InvalidInput


def text(source: Any, key: str) -> str:
    """Return a value as text without padding; empty if there is none."""
    value = source.get(key)
    return "" if value is None else str(value).strip(" \0")


def many(source: Any, key: str) -> list[str]:
    """Return all values as texts."""
    value = source.get(key)
    if value is None or value == "":
        return []
    return (
        [str(part).strip() for part in value]
        if isinstance(value, pydicom.multival.MultiValue)
        else [str(value).strip()]
    )


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


def first_number(source: Any, *keys: str) -> float | None:
    """Return the number of the first attribute that has one."""
    return next((found for found in (number(source, key) for key in keys) if found is not None), None)


def whole(ds: Dataset, key: str) -> int:
    """Return an integer, or 0 if there is none."""
    value = ds.get(key)
    return 0 if value is None or value == "" else int(value)


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
