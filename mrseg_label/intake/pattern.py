"""Where participant, station and sequence stand in a path: ``{participant}/{station}_{sequence}.nii.gz``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.formats import SUFFIXES
from mrseg_label.intake.discover import Found, strip_suffix

FIELDS = ("participant", "session", "station", "sequence")
_PART = re.compile(r"\{(\w*)\}|(\*)")


@dataclass(frozen=True)
class Pattern:
    """A pattern of paths; ``*`` stands for anything within a name, everything else for itself."""

    text: str

    def __post_init__(self) -> None:
        names = [name for name, star in _PART.findall(self.text) if not star]
        unknown = [name for name in names if name not in FIELDS]
        leftover = _PART.sub("", self.text)
        if unknown or len(set(names)) != len(names) or "{" in leftover or "}" in leftover:
            wrong = f"unknown: {', '.join(unknown)}" if unknown else "each at most once"
            known = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise InvalidInput(f"the pattern {self.text!r} cannot be used: its fields are {known} ({wrong})")
        if "participant" not in names:
            raise InvalidInput(f"the pattern {self.text!r} needs {{participant}}: who was examined")

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

    def match(self, found: Found) -> dict[str, str] | None:
        """The fields of a path, or None where it does not fit.

        The path below the imported folder must fit as a whole; where that has fewer folders than the
        pattern (a subfolder or a file was given), the folders above count.
        """
        depth = self.text.count("/") + 1
        relative: PurePosixPath | Path = found.relative
        if len(relative.parts) < depth:
            relative = PurePosixPath(*found.path.parts[-depth:])
        text = relative.as_posix()
        if not self._with_suffix:
            text = strip_suffix(text)
        fitted = self._expression.fullmatch(text)
        return None if fitted is None else fitted.groupdict()
