"""The German National Cohort (NAKO): a folder for each sequence, in it one zip or one folder for each participant.

    NAKO-707_MRT/3D_GRE_TRA_W/100012_30_3D_GRE_TRA_W.zip
    NAKO-707_MRT/3D_GRE_TRA_opp_COMPOSED/100012_30/...

The number before the underscore is the participant's, by which the tables of the cohort know sex and age; the one behind it
is that of the examination.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from mrseg_label.intake.sequences import canonical_sequence

_PERSON = re.compile(r"(\d{6})_(\d{2})(?!\d)")
_CHANNEL = re.compile(r"3D_GRE_TRA_(?:bh_)?(in|opp|F|W)(?![a-z])", re.IGNORECASE)
_SEQUENCE = re.compile(r"3D_GRE_TRA|T2_HASTE_TRA|T1_3D_SAG|MULTIECHO_VIBE|PDFS_SPC_COR|SAG_T2_SPINE", re.IGNORECASE)


def parse_path(path: PurePath) -> dict[str, str]:
    """Return participant, session and sequence that a path of NAKO states; empty where it is no such path."""
    for place, part in enumerate(path.parts):
        person = _PERSON.match(part)
        around = [*path.parts[max(0, place - 2) : place], *path.parts[place : place + 3]]
        if person and any(_SEQUENCE.search(other) for other in around):
            return {"participant": person[1], "session": person[2], "sequence": _sequence_of(around)}
    return {}


def _sequence_of(names: Sequence[str]) -> str:
    """The Dixon channel or the T2 sequence that one of some names states; empty where none does."""
    channel = next((match[1] for name in names if (match := _CHANNEL.search(name))), "")
    if channel:
        return canonical_sequence(channel)
    return "t2" if any("T2_HASTE" in name.upper() for name in names) else ""
