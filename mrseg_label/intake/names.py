"""Names that files and tables give: file names without suffix, participant codes, names of stations."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from mrseg_label.errors import InvalidInput
from mrseg_label.imaging.formats import SUFFIXES
from mrseg_label.text import readable

MAX_NAME_LENGTH = 255


def strip_suffix(name: str) -> str:
    """Remove the image suffix of a file name; dots, blanks and umlauts before it stay."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def clean_code(text: str) -> str:
    """Normalise a participant code: composed Unicode (macOS writes names decomposed), no outer blanks.

    Bytes of a file name that are not UTF-8 are read as :func:`mrseg_label.text.readable` does.

    Raises
    ------
    InvalidInput
        Empty, longer than 255 characters, or with control characters.
    """
    text = readable(text)
    code = unicodedata.normalize("NFC", text).strip()
    if not code or len(code) > MAX_NAME_LENGTH or not code.isprintable():
        raise InvalidInput(
            f"{text[:80]!r} cannot be used as a participant code: a code has 1 to {MAX_NAME_LENGTH} printable characters"
        )
    return code


def check_name(text: str) -> str:
    """Return the name of a session, station or sequence if it can be stored.

    Raises
    ------
    InvalidInput
        Longer than 255 characters, or with control characters.
    """
    text = readable(text)
    if len(text) > MAX_NAME_LENGTH or not text.isprintable():
        raise InvalidInput(
            f"{text[:80]!r} cannot be used as a session, station or sequence: such a name has at most "
            f"{MAX_NAME_LENGTH} printable characters"
        )
    return text


def codes_from_path(path: Path, first: str) -> Iterator[str]:
    """Yield codes for a file that is a participant of its own: ``first``, then with more and more folders before it."""
    yield first
    parts = [*path.parts[1:-1], strip_suffix(path.name)]
    for count in range(1, len(parts) + 1):
        code = clean_code("/".join(parts[-count:]))
        if len(code) > len(first):
            yield code
    yield clean_code("/".join(path.parts[1:]))
