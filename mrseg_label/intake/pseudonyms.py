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
from collections.abc import Iterable
from functools import cached_property

from mrseg_label.imaging.dicom import Person

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
HIDDEN = "***"
# Files are often called by the UID of their slice, which is no part of what tells people apart.
_UID = re.compile(r"(?<!\d)[0-2](?:\.\d+){5,}(?!\d)")


class Pseudonyms:
    """Codes by the key of a workspace."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def participant(self, person: Person) -> str:
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

    def __init__(self, people: Iterable[Person], stated: Iterable[str] = ()) -> None:
        self._texts = {text for person in people for text in person.identifiers}
        self._stated = set(stated)

    @cached_property
    def _expression(self) -> re.Pattern[str] | None:
        texts = set(self._texts)
        for text in self._texts:  # DOE^JOHN is written DOE_JOHN, JOHN DOE or DOEJOHN in names of folders
            words = [word for word in re.split(r"[\s^=,_.-]+", text) if word]
            if 1 < len(words) < 6:
                texts |= {"".join(words), "".join(reversed(words))}
                texts.add(" ".join(words))
        texts = {text for text in texts if len(text) >= 3 and text not in self._stated}
        if not texts:
            return None
        longest_first = sorted(texts, key=len, reverse=True)
        choice = "|".join(r"[\s^=,_.-]+".join(map(re.escape, re.split(r"[\s^=,_.-]+", text))) for text in longest_first)
        return re.compile(rf"(?<![^\W_])(?:{choice})(?![^\W_])", re.IGNORECASE)

    def __call__(self, text: str) -> str:
        """The text without what names a person."""
        text = _UID.sub(HIDDEN, text)
        return text if self._expression is None else self._expression.sub(HIDDEN, text)
