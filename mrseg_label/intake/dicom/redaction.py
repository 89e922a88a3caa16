"""Remove what identifies patients from paths and messages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cached_property

from mrseg_label.imaging.dicom import Patient
from mrseg_label.imaging.dicom.patient import identifies
from mrseg_label.text import readable

HIDDEN = "***"
# Files are often named by the UID of their slice.
_UID = re.compile(r"(?<!\d)[0-2](?:\.\d+){5,}(?!\d)")
_SEPARATORS = r"[\s^=,_.-]+"
_SPELT = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "å": "aa", "æ": "ae"}
_PAIRS = {pair: [letter for letter, spelt in _SPELT.items() if spelt == pair] for pair in _SPELT.values()}


class Redaction:
    """Removes what identifies patients from texts; call it with a text.

    Parameters
    ----------
    patients : patients in the files of an export.
    stated : participant codes that were stated; they stay, although the files may contain them.
    """

    def __init__(self, patients: Iterable[Patient], stated: Iterable[str] = ()) -> None:
        self._texts = {text for patient in patients for text in patient.identifiers}
        self._stated = set(stated)

    @cached_property
    def _expression(self) -> re.Pattern[str] | None:
        texts = set(self._texts)
        for text in self._texts:  # DOE^JOHN becomes DOE_JOHN, JOHN DOE or DOEJOHN in names of folders
            words = [word for word in re.split(_SEPARATORS, text) if word]
            if 1 < len(words) < 6:
                texts |= {"".join(words), "".join(reversed(words))}
                texts.add(" ".join(words))
            if len(text) == 8 and text.isdigit():  # a date, which is also written with dashes or dots
                texts |= {f"{text[:4]}-{text[4:6]}-{text[6:]}", f"{text[6:]}.{text[4:6]}.{text[:4]}"}
        texts = {text for text in texts if identifies(text) and text not in self._stated}
        if not texts:
            return None
        choices: dict[bool, list[str]] = {True: [], False: []}
        for text in sorted(texts, key=len, reverse=True):
            pattern = _SEPARATORS.join(map(_spellings_of, re.split(_SEPARATORS, text)))
            choices[len(text) >= 6 and text.isdigit()].append(pattern)
        # A long number is also found next to letters (MR20240131).
        bounded = [rf"(?<!\d)(?:{'|'.join(choices[True])})(?!\d)"] if choices[True] else []
        bounded += [rf"(?<![^\W_])(?:{'|'.join(choices[False])})(?![^\W_])"] if choices[False] else []
        return re.compile("|".join(bounded), re.IGNORECASE)

    def __call__(self, text: str) -> str:
        """Return the text, readable, without what identifies a patient."""
        text = _UID.sub(HIDDEN, readable(text))  # a name in a foreign encoding is a name too
        return text if self._expression is None else self._expression.sub(HIDDEN, text)


def _spellings_of(text: str) -> str:
    """Build an expression for a word with umlauts and accents composed, decomposed (macOS), spelt out or left out."""
    text, pattern, position = unicodedata.normalize("NFC", text).lower(), "", 0
    while position < len(text):
        pair, letter = text[position : position + 2], text[position]
        letters = _PAIRS.get(pair, [letter])
        variants = {pair} if pair in _PAIRS else set()
        for one in letters:
            parts = unicodedata.normalize("NFD", one)
            variants |= {one, parts, parts[0], _SPELT.get(one, one)}
        pattern += (
            f"(?:{'|'.join(map(re.escape, sorted(variants, key=len, reverse=True)))})"
            if len(variants) > 1
            else re.escape(letter)
        )
        position += len(pair) if pair in _PAIRS else 1
    return pattern
