"""Values of attributes, whatever wrote them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from mrseg_label.errors import GeometryError, InvalidInput


def text(source: Any, key: str) -> str:
    """A value as text, without padding; empty where there is none."""
    value = source.get(key)
    return "" if value is None else str(value).strip(" \0")


def many(source: Any, key: str) -> list[str]:
    """All values as texts."""
    value = source.get(key)
    if value is None or value == "":
        return []
    return (
        [str(part).strip() for part in value]
        if isinstance(value, pydicom.multival.MultiValue)
        else [str(value).strip()]
    )


def number(source: Any, key: str) -> float | None:
    """A finite number, or None; raises :class:`InvalidInput` for NaN and infinity."""
    value = source.get(key)
    if value is None or value == "":
        return None
    found = float(value)
    if not math.isfinite(found):
        raise InvalidInput(f"{key} is {found}")
    return found


def first_number(source: Any, *keys: str) -> float | None:
    """The number of the first attribute that has one."""
    return next((found for found in (number(source, key) for key in keys) if found is not None), None)


def whole(ds: Dataset, key: str) -> int:
    """A whole number, 0 where there is none."""
    value = ds.get(key)
    return 0 if value is None or value == "" else int(value)


def numbers(source: Any, key: str, count: int) -> tuple[float, ...]:
    """A given count of finite numbers; raises :class:`GeometryError` where they are missing."""
    value = source.get(key)
    if value is None or value == "":
        raise GeometryError(f"no {key}, so nothing says where the image lies")
    found = tuple(float(part) for part in value)
    if len(found) != count or not np.isfinite(found).all():
        raise GeometryError(f"{key} is {found}; it takes {count} finite numbers")
    return found
