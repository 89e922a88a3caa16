"""Names of sequence types, and which channel of an acquisition is pre-segmented and opened."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Canonical name to the spellings of people and scanners, without case, blanks, dots, dashes and underscores.
_SPELLINGS = {
    "in": ("in", "ip", "inphase", "dixonin"),
    "opp": ("opp", "op", "oop", "opposed", "opposedphase", "outphase", "outofphase", "dixonopp"),
    "fat": ("fat", "f", "fatonly", "dixonf", "dixonfat"),
    "water": ("water", "w", "wateronly", "dixonw", "dixonwater"),
    "t1": ("t1", "t1w"),
    "t2": ("t2", "t2w"),
    "t1fs": ("t1fs", "t1wfs", "t1fatsat", "t1wfatsat", "t1fatsaturated", "t1fatsuppressed"),
    "ct": ("ct",),
}
_BY_SPELLING = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings}
SEQUENCES = tuple(_SPELLINGS)

# The bootstrap pre-segments MR inverted to look like CT, which works where fat is bright: in-phase first, water late.
# (The authors of the paper pre-segmented water images, with models trained on them: primary_sequences=("water", ...).)
PRIMARY_SEQUENCES = ("in", "t1", "opp", "t2", "water", "t1fs", "ct", "fat")


def canonical_sequence(text: str) -> str:
    """Normalise the name of a sequence type, such as ``"F"`` to ``"fat"``; an unknown name is only stripped."""
    return _BY_SPELLING.get(re.sub(r"[\s._-]+", "", text).casefold(), text.strip())


def sequence_in_name(stem: str) -> str:
    """Return the sequence type that a file name ends with, or an empty string if its last words name none."""
    words = [word for word in re.split(r"[\s._-]+", stem) if word]
    for count in (2, 1):
        spelling = "".join(words[-count:]).casefold()
        if len(words) >= count and spelling in _BY_SPELLING:
            return _BY_SPELLING[spelling]
    return ""


def most_preferred(sequences: Sequence[str], preference: Sequence[str] = PRIMARY_SEQUENCES) -> int:
    """Return the index of the sequence to pre-segment: the first of ``preference`` that is present, else 0."""
    rank = {canonical_sequence(name): position for position, name in enumerate(preference)}
    return min(range(len(sequences)), key=lambda index: (rank.get(sequences[index], len(rank)), index))
