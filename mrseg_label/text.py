"""Names and tables that are not UTF-8 (old Windows shares, archives and spreadsheets), and lists in messages."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable

# A byte of a file name that is not UTF-8, as Python represents it.
_FOREIGN_BYTES = re.compile("[\udc80-\udcff]+")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
_NOT_IN_KEYS = re.compile(r"[^a-z0-9.+-]+")
_MAX_KEY_LENGTH = 64
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def readable(text: str) -> str:
    r"""Return a file name as text that can be printed and stored.

    Bytes that are not UTF-8 are read as Windows-1252; one that is undefined there becomes its code (``\x81``). The
    result is for people and for participant codes; it does not open the file.
    """
    if text.isascii():
        return text
    text = _FOREIGN_BYTES.sub(lambda match: _decode(match[0].encode("utf-8", "surrogateescape")), text)
    return _LONE_SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def listed(items: Iterable[object], shown: int) -> str:
    """Join items with commas; where they are more than ``shown``, say how many are left out."""
    texts = [str(item) for item in items]
    left_out = len(texts) - shown
    return ", ".join(texts[:shown]) + (f" and {left_out:,} more" if left_out > 0 else "")


def decode_text(data: bytes) -> str:
    """Decode the content of a table: UTF-8, UTF-16 with its mark (spreadsheets), otherwise Windows-1252.

    Raises
    ------
    UnicodeDecodeError
        It begins as UTF-16 and is not.
    """
    if data.startswith(_UTF_16):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _decode(data)


def is_foreign(data: bytes) -> bool:
    """Whether :func:`decode_text` reads this as Windows-1252."""
    return not data.isascii() and not data.startswith(_UTF_16) and decode_text(data) == _decode(data)


def _decode(data: bytes) -> str:
    return data.decode("cp1252", "backslashreplace")


def duration(seconds: float) -> str:
    """Write a duration in its two largest units, such as ``1 h 37 min``."""
    whole = round(seconds)
    days, hours, minutes, rest = whole // 86_400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next((index for index, (count, _) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2] if count) or "0 s"


def tidy(name: str) -> str:
    """Bring a name into the form in which equal names are equal: composed characters, single blanks."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def key_of(name: str, otherwise: str) -> str:
    """Make a key of letters, digits and ``_ . + -`` from a name; ``otherwise`` from one without a Latin letter or digit."""
    if _KEY.fullmatch(name):
        return name
    plain = unicodedata.normalize("NFKD", name.replace("œ", "oe").replace("Œ", "oe")).casefold()
    bare = "".join(character for character in plain if not unicodedata.combining(character))
    return _NOT_IN_KEYS.sub("_", bare).strip("_.+-")[:_MAX_KEY_LENGTH].rstrip("_.+-") or otherwise
