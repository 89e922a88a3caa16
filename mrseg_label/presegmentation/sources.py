"""What TotalSegmentator's CT network is shown of an MR image, chosen by contrast.

========== ============================================== =======================================================
source     image                                          why
========== ============================================== =======================================================
inverted   in, opp, T1, T2, and what is not known         fat is bright here and dark on CT, and bone the other way
                                                          round: inverted, the image has the order of CT
equalized  water, fat-suppressed (T1fs and the like)      fat is dark already, as on CT, and inversion would undo it:
                                                          bright stays bright, contrast spread over the soft tissue
raw        CT                                             Hounsfield units are what the network knows
========== ============================================== =======================================================

Measured through the real API with the stand-in weights on phantoms that they had not seen (mean DSC over the
structures present, one abdomen / one pelvis):

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

With the published weights the order may be another: ``mrseg-label demo`` compares the sources with whatever weights
are installed, and ``BOOTSTRAP_SOURCES="water=raw,T1fs=raw"`` chooses otherwise.

References
----------
Häntze H et al. Improve cross-modality segmentation by treating MRI images as inverted CT scans. arXiv:2405.03713.
https://doi.org/10.48550/arXiv.2405.03713
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from mrseg_label.errors import ConfigurationError


class Source(StrEnum):
    """How an image is prepared before the CT network sees it."""

    RAW = "raw"
    INVERTED = "inverted"
    EQUALIZED = "equalized"


# Sequence types, written without case, blanks or signs. Whatever is not listed is inverted.
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
# "T1 FLASH fatsat", "t2_haste_fs": words by which scanners say that fat is suppressed.
_FAT_SUPPRESSED = re.compile(r"(?<![a-z])(fs|fatsat|fat[\s_.-]?(sat|sup)\w*|spair|spir|stir)(?![a-z])", re.IGNORECASE)


def choose_source(sequence: str, configured: str = "") -> Source:
    """Source for a sequence type.

    Parameters
    ----------
    sequence : as the catalogue has it (``in``, ``opp``, ``water``, ``t1``, ``ct``, ...); may be empty or unknown.
    configured : the setting BOOTSTRAP_SOURCES, see :func:`parse_sources`; wins over the defaults.

    Raises
    ------
    ConfigurationError
        The setting cannot be read.
    """
    chosen = parse_sources(configured)
    name = _plain(sequence)
    if name in chosen:
        return chosen[name]
    if name in DEFAULT_SOURCES:
        return DEFAULT_SOURCES[name]
    if _ANY in chosen:
        return chosen[_ANY]
    return Source.EQUALIZED if _FAT_SUPPRESSED.search(sequence) else UNKNOWN_SOURCE


def parse_sources(text: str) -> dict[str, Source]:
    """Read BOOTSTRAP_SOURCES: pairs such as ``T1=inverted,water=raw``; ``*`` stands for every other sequence.

    Returns
    -------
    Source by sequence type in lower case without blanks and signs.

    Raises
    ------
    ConfigurationError
        Not pairs, an unknown source, or a sequence twice.
    """
    chosen: dict[str, Source] = {}
    for part in filter(None, (part.strip() for part in re.split(r"[,;]", text))):
        sequence, equals, source = part.partition("=")
        name = _ANY if sequence.strip() == _ANY else _plain(sequence)
        if not equals or not name:
            raise ConfigurationError(f"BOOTSTRAP_SOURCES: {part!r} is not SEQUENCE=SOURCE, such as T1=inverted")
        try:
            found = Source(source.strip().lower())
        except ValueError:
            raise ConfigurationError(
                f"BOOTSTRAP_SOURCES: {source.strip()!r} is no source; known are {', '.join(Source)}"
            ) from None
        if name in chosen:
            raise ConfigurationError(f"BOOTSTRAP_SOURCES: {sequence.strip()!r} is there twice")
        chosen[name] = found
    return chosen


def _plain(sequence: str) -> str:
    return re.sub(r"[\W_]+", "", sequence).casefold()
