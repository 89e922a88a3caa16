"""Licences of weights: whether a training may start from them, as far as their text says it.

A licence is what the person who imports the weights states, such as ``CC BY-NC 4.0``. Nothing here is legal advice: the
texts of known licences are recognised, and what is not known is named instead of guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from mrseg_label.errors import InvalidInput

MAX_LENGTH = 200
TOTALSEGMENTATOR_WEIGHTS = "Apache-2.0"  # of its task `total`, as its makers state it, and of the stand-in
MRSEGMENTATOR_WEIGHTS = "Apache-2.0"  # of the repository whose releases hold them; they state no other
_NO_DERIVATIVES = re.compile(
    r"\bND\b|no[- ]?deriv|all rights reserved|propriet|no (?:re-?)?training|not (?:for|be used (?:for|in)) training",
    re.IGNORECASE,
)
_NON_COMMERCIAL = re.compile(r"\bNC\b|non[- ]?commercial|research (?:use )?only|academic", re.IGNORECASE)
_SHARE_ALIKE = re.compile(r"\bSA\b|share[- ]?alike|\bA?GPL", re.IGNORECASE)


class Terms(StrEnum):
    """What a licence says about a model that is trained from the weights."""

    OPEN = "open"
    CONDITIONS = "conditions"  # allowed, but only for non-commercial use or under the same licence
    FORBIDDEN = "forbidden"  # no derived works
    UNKNOWN = "unknown"  # nobody stated a licence


def terms_of(licence: str | None) -> Terms:
    """Read from its text whether a licence allows a training to start from the weights."""
    if not licence or not licence.strip():
        return Terms.UNKNOWN
    if _NO_DERIVATIVES.search(licence):
        return Terms.FORBIDDEN
    if _NON_COMMERCIAL.search(licence) or _SHARE_ALIKE.search(licence):
        return Terms.CONDITIONS
    return Terms.OPEN


def check_licence(text: str) -> str:
    """Return the text of a licence without blanks around it.

    Raises
    ------
    InvalidInput
        It is empty, too long, or has several lines.
    """
    licence = text.strip()
    if not licence or len(licence) > MAX_LENGTH or not licence.isprintable():
        raise InvalidInput(
            f"a licence is one line of 1 to {MAX_LENGTH} characters, such as CC BY-NC 4.0; {text[:40]!r} is not"
        )
    return licence


def inherited(own: str | None, of_parent: Sequence[str]) -> list[str]:
    """List the licences that stand in the lineage of weights: their own, then those of what they were trained from."""
    return list(dict.fromkeys([*([own] if own else []), *of_parent]))
