"""Names of accounts for people whom an identity provider knows under names that an account cannot have.

A provider may call a person ``o'connor``, ``HOSPITAL\\müller`` or by 100 characters, or send no name at all. Such a
person gets an account under a name derived from it. What ties the account to the person is the provider's own
identifier of them, never a name.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

from anyascii import anyascii

from mrseg_label.accounts.service import MAX_NAME_LENGTH, account_name
from mrseg_label.errors import InvalidInput

MAX_PROVIDER_NAME = 255  # characters of the provider's name that are kept, to be shown
_QUOTES = re.compile(r"['\"`´’]")
_BLANKS = re.compile(r"\s+")
_OTHERS = re.compile(r"[^a-z0-9._@+-]+")
_ENDS = "._@+-"


def printable(text: object) -> str:
    """Return what can be stored and shown of a provider's name: printable characters of a text, in one line."""
    if not isinstance(text, str):
        return ""
    shown = "".join(" " if character.isspace() else character for character in unicodedata.normalize("NFC", text))
    kept = "".join(character for character in shown if character.isprintable())
    return " ".join(kept.split())[:MAX_PROVIDER_NAME].strip()


def derived_names(provider_name: str, issuer: str, subject: str) -> Iterator[str]:
    """Yield names for the account of a person, the first of which is free should be taken.

    A name that an account can have stays as it is. Of others, letters of other scripts are transliterated, the domain
    in front is left out, blanks become dots, and what an account's name cannot have becomes a hyphen. Then come the
    same names with 2, 3, ... at their end. Without any usable character the name is made of the provider's identifier
    of the person.
    """
    with suppress(InvalidInput):
        yield account_name(provider_name)
    name = provider_name.rstrip("\\").rpartition("\\")[2]
    name = _QUOTES.sub("", anyascii(unicodedata.normalize("NFKC", name)).lower())
    name = _OTHERS.sub("-", _BLANKS.sub(".", name)).strip(_ENDS)[:MAX_NAME_LENGTH].rstrip(_ENDS)
    if not name:
        digest = hashlib.sha256("\n".join((issuer, subject)).encode()).hexdigest()
        name = f"user-{digest[:8]}"
    with suppress(InvalidInput):  # it may be a reserved name
        yield account_name(name)
    for number in count(2):
        ending = f"-{number}"
        yield name[: MAX_NAME_LENGTH - len(ending)].rstrip(_ENDS) + ending
