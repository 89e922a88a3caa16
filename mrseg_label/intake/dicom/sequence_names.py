"""Sequence type of a DICOM frame, from its attributes and from the descriptions that users of the scanner wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mrseg_label.imaging.dicom import Frame
from mrseg_label.intake.sequences import SEQUENCES, canonical_sequence, sequence_in_name

DIXON = ("in", "opp", "fat", "water")
# Values of ImageType and FrameType (Siemens, Philips, GE, and the enhanced classes' own).
_IMAGE_TYPES = {
    "in": ("IN_PHASE", "IN PHASE", "INPHASE", "IP", "IN"),
    "opp": ("OPP_PHASE", "OUT_PHASE", "OUT_OF_PHASE", "OPPOSED_PHASE", "OP", "OPP", "OUT"),
    "fat": ("FAT", "F"),
    "water": ("WATER", "W"),
}
_BY_IMAGE_TYPE = {value: name for name, values in _IMAGE_TYPES.items() for value in values}
_MAPS = ("FAT_FRACTION", "FF", "T2_STAR", "R2_STAR", "B0", "FIELD_MAP", "ADC", "T1_MAP", "T2_MAP", "PERFUSION")
_LOCALIZER = re.compile(
    r"(?<![a-z])(localizer|localiser|scout|survey|topogram|scanogram|3[ -]?plane|loc)(?![a-z])", re.IGNORECASE
)
_PROJECTIONS = ("PROJECTION IMAGE", "MIP", "MINIP", "CSA MIP")
_FAT_SUPPRESSED = re.compile(
    r"(?<![a-z0-9])(fs|fatsat|fat[ _-]?sat\w*|fat[ _-]?supp\w*|spair|spir|stir|we|water[ _-]?exc\w*|dixon[ _-]?w)(?![a-z0-9])",
    re.IGNORECASE,
)
_T2 = re.compile(r"(?<![a-z0-9])(t2w?|haste|ssfse|single[ _-]?shot|blade|propeller)(?![a-z0-9*])", re.IGNORECASE)
_T1 = re.compile(r"(?<![a-z0-9])(t1w?|vibe|lava|thrive|mprage|flash|fl[23]d|spgr)(?![a-z0-9])", re.IGNORECASE)


def sequence_of(frame: Frame) -> str:
    """Return one of the known sequence types, or an empty string; free text is never passed on.

    Tried in this order: CT by modality; a Dixon channel by ImageType; the last part of the series description (UK
    Biobank: ``..._in``, ``_opp``, ``_F``, ``_W``), then of the protocol name; T1 and T2 by words; echo and repetition
    time. T1 with fat suppression (scan options, words) is ``t1fs``.
    """
    if frame.modality == "CT":
        return "ct"
    channel = dixon_channel(frame)
    if channel:
        return channel
    text = f"{frame.description} {frame.protocol}"
    named = _last_part(frame.description) or _last_part(frame.protocol)
    if named in SEQUENCES and named not in ("t1", "t2"):
        return named
    weighting = named or _by_words(text) or _by_times(frame)
    if not weighting:
        return ""
    if _suppressed(frame, text):
        return canonical_sequence(f"{weighting}fs")
    return weighting


def dixon_channel(frame: Frame) -> str:
    """Return the Dixon channel that ImageType or the end of the series description names, or an empty string."""
    for value in frame.image_type[2:]:
        if value in _BY_IMAGE_TYPE:
            return _BY_IMAGE_TYPE[value]
    named = _last_part(frame.description)
    return named if named in DIXON else ""


def reason_to_refuse(frames: Sequence[Frame]) -> str | None:
    """Return why a stack is not imported (localizer, phase, projection, parameter map), or None."""
    first = frames[0]
    if first.component != "M":
        what = {"P": "phase", "R": "real-part", "I": "imaginary-part"}[first.component]
        return f"a {what} image; only magnitude images are imported"
    if "LOCALIZER" in first.image_type or _LOCALIZER.search(first.description):
        return "a localizer"
    if any(value in first.image_type for value in _PROJECTIONS):
        return "a projection, not a stack of slices"
    found = next((value for value in first.image_type[2:] if value in _MAPS), None)
    return None if found is None else f"a computed map ({found.lower().replace('_', ' ')}), not an image"


def _last_part(text: str) -> str:
    named = sequence_in_name(text)
    return named if named in SEQUENCES else ""


def _by_words(text: str) -> str:
    spaced = text.replace("_", " ")
    if _T2.search(spaced):
        return "t2"
    return "t1" if _T1.search(spaced) else ""


def _by_times(frame: Frame) -> str:
    """Derive the weighting from echo and repetition time where they are unambiguous."""
    echo, repetition = frame.echo_time_ms, frame.repetition_time_ms
    if echo is None or repetition is None or frame.modality != "MR":
        return ""
    if "GR" in frame.scan and "SE" not in frame.scan:
        spoiled = any(part in ("SP", "MTC") for part in frame.scan)
        return "t1" if spoiled and echo < 10 and repetition < 300 and (frame.flip_angle or 0) >= 8 else ""
    if echo >= 60 and repetition >= 1200:
        return "t2"
    return "t1" if echo <= 30 and repetition <= 1000 else ""


def _suppressed(frame: Frame, text: str) -> bool:
    options = ("FS", "FATSAT", "FAT_SAT", "FAT-SAT", "SPAIR", "SPIR")
    return (
        frame.fat_suppressed
        or any(part.upper() in options for part in frame.scan)
        or bool(_FAT_SUPPRESSED.search(text.replace("_", " ")))
    )
