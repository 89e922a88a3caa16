"""Sources: the ways to prepare an MR image for TotalSegmentator's CT network, chosen by its contrast.

========== ============================================== =======================================================
source     images                                         reason
========== ============================================== =======================================================
inverted   in, opp, T1, T2, and any unknown contrast      fat is bright but dark on CT, and bone the other way round:
                                                          inverted, the tissues are in the order of CT
equalized  water, fat-suppressed (such as T1fs)           fat is dark as on CT, and inversion would make it bright:
                                                          the order is kept, contrast is spread over the soft tissue
raw        CT                                             the network was trained on Hounsfield units
========== ============================================== =======================================================

Measured through TotalSegmentator's API with the stand-in weights on phantoms that they had not seen (mean DSC over
the structures that are present, one abdomen / one pelvis):

======= ============= ============= =============
        raw           inverted      equalized
======= ============= ============= =============
CT      0.80 / 0.81
in      0.09 / 0.00   0.27 / 0.15   0.06 / 0.00
opp     0.05 / 0.00   0.46 / 0.36   0.14 / 0.00
T1      0.08 / 0.00   0.33 / 0.19   0.06 / 0.00
water   0.08 / 0.04   0.06 / 0.01   0.25 / 0.17
T1fs    0.23 / 0.04   0.07 / 0.01   0.25 / 0.16
======= ============= ============= =============

With the published weights the order may differ: ``mrseg-label demo`` compares the sources with the weights that are
installed, and a setting such as ``BOOTSTRAP_SOURCES="water=raw,T1fs=raw"`` overrides the defaults.

References
----------
Häntze H et al. Improve cross-modality segmentation by treating MRI images as inverted CT scans. arXiv:2405.03713.
https://doi.org/10.48550/arXiv.2405.03713
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum

from mrseg_label.errors import ConfigurationError
from mrseg_label.imaging.fat_suppression import is_fat_suppressed


class Source(StrEnum):
    """How an image is prepared for the CT network."""

    RAW = "raw"
    INVERTED = "inverted"
    EQUALIZED = "equalized"


# By sequence type in lower case, without blanks or punctuation. Sequences that are not listed are inverted.
DEFAULT_SOURCES: Mapping[str, Source] = {
    "in": Source.INVERTED,
    "opp": Source.INVERTED,
    "t1": Source.INVERTED,
    "t2": Source.INVERTED,
    "fat": Source.INVERTED,
    "water": Source.EQUALIZED,
    "w": Source.EQUALIZED,
    "t1fs": Source.EQUALIZED,
    "t2fs": Source.EQUALIZED,
    "pdfs": Source.EQUALIZED,
    "stir": Source.EQUALIZED,
    "ct": Source.RAW,
}
UNKNOWN_SOURCE = Source.INVERTED
_ANY = "*"


def choose_source(sequence: str, configured: str = "") -> Source:
    """Choose the source for a sequence type.

    Parameters
    ----------
    sequence : as in the catalogue (``in``, ``opp``, ``water``, ``t1``, ``ct``, ...); may be empty or unknown.
    configured : the setting BOOTSTRAP_SOURCES, see :func:`parse_sources`; it overrides the defaults.

    Raises
    ------
    ConfigurationError
        The setting is malformed, see :func:`parse_sources`.
    """
    chosen = parse_sources(configured)
    name = _normalized(sequence)
    if name in chosen:
        return chosen[name]
    if name in DEFAULT_SOURCES:
        return DEFAULT_SOURCES[name]
    if _ANY in chosen:
        return chosen[_ANY]
    return Source.EQUALIZED if is_fat_suppressed(sequence) else UNKNOWN_SOURCE


def parse_sources(text: str) -> dict[str, Source]:
    """Parse BOOTSTRAP_SOURCES: pairs such as ``T1=inverted,water=raw``; ``*`` stands for every other sequence.

    Returns
    -------
    Source by sequence type in lower case, without blanks or punctuation.

    Raises
    ------
    ConfigurationError
        A part is not a pair, a source is unknown, or a sequence occurs twice.
    """
    chosen: dict[str, Source] = {}
    for part in filter(None, (part.strip() for part in re.split(r"[,;]", text))):
        sequence, equals, source = part.partition("=")
        name = _ANY if sequence.strip() == _ANY else _normalized(sequence)
        if not equals or not name:
            raise ConfigurationError(
                f"BOOTSTRAP_SOURCES: {part!r} is not of the form SEQUENCE=SOURCE; write for example T1=inverted"
            )
        try:
            found = Source(source.strip().lower())
        except ValueError:
            near = next(iter(get_close_matches(source.strip().lower(), list(Source), 1)), None)
            advice = f"did you mean {near}? There are" if near else "use one of"
            raise ConfigurationError(
                f"BOOTSTRAP_SOURCES: {source.strip()!r} is not a source; {advice} {', '.join(Source)}"
            ) from None
        if name in chosen:
            raise ConfigurationError(f"BOOTSTRAP_SOURCES names {sequence.strip()!r} twice; remove one of the two")
        chosen[name] = found
    return chosen


def _normalized(sequence: str) -> str:
    return re.sub(r"[\W_]+", "", sequence).casefold()
