"""Sequence type of a DICOM frame, from its attributes and from the descriptions that users of the scanner wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mrseg_label.imaging.dicom import Frame
from mrseg_label.imaging.fat_suppression import is_fat_suppressed
from mrseg_label.intake.dicom.dixon import DIXON, channel_by_echo, channel_in_text, is_map, names_both_phases
from mrseg_label.intake.sequences import SEQUENCES, canonical_sequence, sequence_in_name

# Values of ImageType and FrameType (Siemens, Philips, GE, and the enhanced classes' own).
_IMAGE_TYPES = {
    "in": ("IN_PHASE", "IN PHASE", "INPHASE", "IP", "IN"),
    "opp": ("OPP_PHASE", "OUT_PHASE", "OUT_OF_PHASE", "OPPOSED_PHASE", "OP", "OPP", "OUT"),
    "fat": ("FAT", "F"),
    "water": ("WATER", "W"),
}
_BY_IMAGE_TYPE = {value: name for name, values in _IMAGE_TYPES.items() for value in values}
_MAPS = (
    *(
        "FAT_FRACTION",
        "FATFRACTION",
        "FAT_FRAC",
        "PDFF",
        "FF",
        "WATER_FRACTION",
        "T2_STAR",
        "T2STAR",
        "R2_STAR",
        "R2STAR",
    ),
    *("B0", "FIELD_MAP", "ADC", "T1_MAP", "T2_MAP", "PERFUSION"),
)
_LOCALIZER = re.compile(
    r"(?<![a-z])(localizer|localiser|scout|survey|topogram|scanogram|3[ -]?plane|loc)(?![a-z])", re.IGNORECASE
)
_PROJECTIONS = ("PROJECTION IMAGE", "MIP", "MINIP", "CSA MIP")
_T2 = re.compile(r"(?<![a-z0-9])(t2w?|haste|ssfse|single[ _-]?shot|blade|propeller)(?![a-z0-9*])", re.IGNORECASE)
_T1 = re.compile(r"(?<![a-z0-9])(t1w?|vibe|lava|thrive|mprage|flash|fl[23]d|spgr)(?![a-z0-9])", re.IGNORECASE)


def sequence_of(frame: Frame) -> str:
    """Return one of the known sequence types, or an empty string; free text is never passed on.

    Tried in this order: CT by modality; a Dixon channel (:func:`dixon_channel`); the last part of the series
    description, then of the protocol name; T1 and T2 by words; echo and repetition time. T1 with fat suppression (scan
    options, words) is ``t1fs``.
    """
    if frame.modality == "CT":
        return "ct"
    channel = dixon_channel(frame)
    if channel:
        return channel
    text = f"{frame.description} {frame.protocol}"
    named = next((name for name in map(_last_part, (frame.description, frame.protocol)) if name), "")
    if named and named not in ("t1", "t2"):
        return named
    weighting = named or _by_words(text) or _by_times(frame)
    if not weighting:
        return ""
    if _suppressed(frame, text):
        return canonical_sequence(f"{weighting}fs")
    return weighting


def dixon_channel(frame: Frame) -> str:
    """Return the Dixon channel that ImageType, else the series description or the protocol name tells, or an empty string.

    Where both phases are named together (``t1_fl2d_opp-in``), the echo time tells which of them an image is.
    """
    for value in frame.image_type[2:]:
        if value in _BY_IMAGE_TYPE:
            return _BY_IMAGE_TYPE[value]
    channel = channel_in_text(frame.description) or channel_in_text(frame.protocol)
    if not channel and names_both_phases(f"{frame.description} | {frame.protocol}"):
        channel = channel_by_echo(frame.echo_time_ms, frame.field_tesla)
    return channel


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
    if "MOSAIC" in first.image_type:
        return "a mosaic: each file shows all slices of a volume side by side; convert the series to NIfTI, for example with dcm2niix"
    found = next((value for value in first.image_type[2:] if value in _MAPS), None)
    if found is not None:
        return f"a computed map ({found.lower().replace('_', ' ')}), not an image"
    if not any(value in _BY_IMAGE_TYPE for value in first.image_type[2:]) and is_map(first.description):
        return "a computed map by its description (fat fraction, R2* or T2*), not an image"
    return None


def _last_part(text: str) -> str:
    named = sequence_in_name(text)
    return named if named in SEQUENCES and named not in DIXON else ""


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
    return frame.fat_suppressed or any(part.upper() in options for part in frame.scan) or is_fat_suppressed(text)
