"""Words by which scanners and their users mark fat suppression."""

from __future__ import annotations

import re

# "T1 FLASH fatsat", "t2_haste_fs", "PD SPAIR", "3D WE", "T1 water excitation"; "fat sep" is a Dixon scan and not one of them.
_WORDS = re.compile(
    r"(?<![a-z])(fs|fat[\s_.-]?sat\w*|fat[\s_.-]?sup\w*|spair|spir|stir|we|wats|water[\s_.-]?exc\w*|dixon[\s_.-]?w)(?![a-z0-9])",
    re.IGNORECASE,
)


def is_fat_suppressed(text: str) -> bool:
    """Whether the name of a sequence or a series has a word for fat suppression."""
    return _WORDS.search(text) is not None
