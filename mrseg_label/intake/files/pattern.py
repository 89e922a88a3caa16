"""Patterns of paths, such as ``{participant}/{station}_{sequence}.nii.gz``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.formats import SUFFIXES
from mrseg_label.intake.files.discover import FoundFile
from mrseg_label.intake.names import strip_suffix
from mrseg_label.text import readable

FIELDS = ("participant", "session", "station", "sequence")
_PART = re.compile(r"\{(\w*)\}|(\*)")


@dataclass(frozen=True)
class Pattern:
    """A pattern of paths; ``*`` matches anything within a name, everything else matches itself.

    Raises
    ------
    InvalidInput
        An unknown or repeated field, a stray brace, or no participant.
    """

    text: str

    def __post_init__(self) -> None:
        names = [name for name, star in _PART.findall(self.text) if not star]
        unknown = [name for name in names if name not in FIELDS]
        leftover = _PART.sub("", self.text)
        if unknown or len(set(names)) != len(names) or "{" in leftover or "}" in leftover:
            wrong = f"unknown field {', '.join(unknown)}; " if unknown else ""
            known = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise InvalidInput(f"invalid pattern {self.text!r}: {wrong}the fields are {known}, each at most once")
        if "participant" not in names:
            raise InvalidInput(f"invalid pattern {self.text!r}: it must contain {{participant}}")

    @cached_property
    def _with_suffix(self) -> bool:
        return self.text.lower().endswith(SUFFIXES)

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        expression, position = "", 0
        for match in _PART.finditer(self.text):
            expression += re.escape(self.text[position : match.start()])
            expression += "[^/]*" if match[2] else f"(?P<{match[1]}>[^/]+)"
            position = match.end()
        return re.compile(expression + re.escape(self.text[position:]))

    def match(self, found: FoundFile) -> dict[str, str] | None:
        """Return the fields of a path, or None where it does not match.

        The path below the imported folder must match as a whole; where that has fewer folders than the
        pattern (a subfolder or a single file was imported), the folders above are included.
        """
        depth = self.text.count("/") + 1
        relative: PurePosixPath | Path = found.relative
        if len(relative.parts) < depth:
            relative = PurePosixPath(*found.path.parts[-depth:])
        text = relative.as_posix()
        if not self._with_suffix:
            text = strip_suffix(text)
        # The bytes as they are, so that a mask is found by them; else the text that the pattern's own umlauts mean.
        matched = self._expression.fullmatch(text) or self._expression.fullmatch(readable(text))
        return None if matched is None else matched.groupdict()
