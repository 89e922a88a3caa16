"""What stands in the catalogue for a person and for what could name one.

A participant who is not named by whoever imports gets a code that follows from the patient's id and a key
of the workspace (HMAC-SHA256): the same person has the same code in every import, and without the key
nobody can try ids until a code comes out. The key lies in the workspace and in its backups; keep both as
you would keep a list of patients.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterable
from functools import cached_property

from mrseg_label.imaging.dicom import Patient

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
HIDDEN = "***"
# Files are often called by the UID of their slice, which is no part of what tells people apart.
_UID = re.compile(r"(?<!\d)[0-2](?:\.\d+){5,}(?!\d)")
_SEPARATORS = r"[\s^=,_.-]+"
_SPELT = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "å": "aa", "æ": "ae"}
_PAIRS = {pair: [letter for letter, spelt in _SPELT.items() if spelt == pair] for pair in _SPELT.values()}


class Pseudonyms:
    """Codes by the key of a workspace."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def participant(self, person: Patient) -> str:
        """Code of a person."""
        return f"P-{self.token('person', person.key, length=12)}"

    def token(self, *parts: str, length: int = 10) -> str:
        """What stands for a UID or another text that could be looked up."""
        digest = hmac.new(self._key, "\0".join(parts).encode(), hashlib.sha256).digest()
        return "".join(_ALPHABET[byte & 31] for byte in digest[:length])


class Redaction:
    """Takes what names a person out of paths and messages.

    Parameters
    ----------
    people : who stands in the files of an import.
    stated : codes that the importing person chose, which may stay although a file has them too.
    """

    def __init__(self, people: Iterable[Patient], stated: Iterable[str] = ()) -> None:
        self._texts = {text for person in people for text in person.identifiers}
        self._stated = set(stated)

    @cached_property
    def _expression(self) -> re.Pattern[str] | None:
        texts = set(self._texts)
        for text in self._texts:  # DOE^JOHN is written DOE_JOHN, JOHN DOE or DOEJOHN in names of folders
            words = [word for word in re.split(_SEPARATORS, text) if word]
            if 1 < len(words) < 6:
                texts |= {"".join(words), "".join(reversed(words))}
                texts.add(" ".join(words))
            if len(text) == 8 and text.isdigit():  # a date, which people write in their own ways
                texts |= {f"{text[:4]}-{text[4:6]}-{text[6:]}", f"{text[6:]}.{text[4:6]}.{text[:4]}"}
        texts = {text for text in texts if len(text) >= 3 and text not in self._stated}
        if not texts:
            return None
        choices: dict[bool, list[str]] = {True: [], False: []}
        for text in sorted(texts, key=len, reverse=True):
            pattern = _SEPARATORS.join(map(_however_written, re.split(_SEPARATORS, text)))
            choices[len(text) >= 6 and text.isdigit()].append(pattern)
        # A long number is found beside letters too (MR20240131).
        bounded = [rf"(?<!\d)(?:{'|'.join(choices[True])})(?!\d)"] if choices[True] else []
        bounded += [rf"(?<![^\W_])(?:{'|'.join(choices[False])})(?![^\W_])"] if choices[False] else []
        return re.compile("|".join(bounded), re.IGNORECASE)

    def __call__(self, text: str) -> str:
        """The text without what names a person."""
        text = _UID.sub(HIDDEN, text)
        return text if self._expression is None else self._expression.sub(HIDDEN, text)


def _however_written(text: str) -> str:
    """An expression for a word with its umlauts and accents composed, decomposed (macOS), spelt out or left out."""
    text, pattern, position = unicodedata.normalize("NFC", text).lower(), "", 0
    while position < len(text):
        pair, letter = text[position : position + 2], text[position]
        letters = _PAIRS.get(pair, [letter])
        ways = {pair} if pair in _PAIRS else set()
        for one in letters:
            parts = unicodedata.normalize("NFD", one)
            ways |= {one, parts, parts[0], _SPELT.get(one, one)}
        pattern += (
            f"(?:{'|'.join(map(re.escape, sorted(ways, key=len, reverse=True)))})"
            if len(ways) > 1
            else re.escape(letter)
        )
        position += len(pair) if pair in _PAIRS else 1
    return pattern
