"""Axis codes: the directions of an image's axes, such as ``RAS``; nothing that takes long to import is behind them."""

from __future__ import annotations

import re

from mrseg_label.errors import GeometryError


def parse_axcodes(text: str) -> str:
    """Check and normalise axis codes: three letters, one of R/L, one of A/P, one of S/I.

    Raises
    ------
    GeometryError
        The text is not an orientation.
    """
    codes = text.strip().upper()
    if not re.fullmatch("[RLAPSI]{3}", codes) or {world_axis(code) for code in codes} != {0, 1, 2}:
        raise GeometryError(
            f"{text!r} is not an orientation: give three letters, one each of R/L, A/P and S/I, "
            "for the directions of the file's axes, for example LPS"
        )
    return codes


def world_axis(code: str) -> int:
    """Return the world axis of an axis code: 0 for R and L, 1 for A and P, 2 for S and I."""
    return {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}[code]
