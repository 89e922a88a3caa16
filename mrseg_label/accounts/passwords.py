"""Passwords and other secrets: made, checked, and kept as hashes only.

References
----------
NIST SP 800-63B, Digital Identity Guidelines: length instead of rules of composition. https://pages.nist.gov/800-63-4/
RFC 9106, Argon2. https://www.rfc-editor.org/rfc/rfc9106
"""

from __future__ import annotations

import hashlib
import secrets
from functools import cache

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from mrseg_label.errors import InvalidInput
from mrseg_label.ids import ALPHABET

MIN_LENGTH = 12
MAX_LENGTH = 256  # hashing longer ones would only cost time
_GROUPS, _GROUP = 5, 5  # of an app password: 125 random bits


def hash_password(password: str, name: str) -> str:
    """The argon2id hash of a new password.

    Raises
    ------
    InvalidInput
        It is too short, too long or too easily guessed.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InvalidInput(
            f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters, this one {len(password)}; several words are a good one"
        )
    folded = password.casefold()
    if len(folded.replace(name.casefold(), "")) < MIN_LENGTH // 2 or len(set(folded)) < 5:
        raise InvalidInput("this password is easily guessed: take one of several words that are not the name")
    return _hasher().hash(password)


def verify(password: str, stored: str | None) -> bool:
    """Whether a password is the one that was hashed; takes as long where there is none."""
    if len(password) > MAX_LENGTH:
        return False
    if stored is None:
        _hasher().verify(password, _nobody())
        return False
    return _hasher().verify(password, stored)


def new_app_password() -> str:
    """A password that is read once and typed into Slicer."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))


def new_secret() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is stored of a random secret: it cannot be guessed, so that a plain hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


@cache
def _hasher() -> PasswordHash:
    return PasswordHash((Argon2Hasher(),))


@cache
def _nobody() -> str:
    return _hasher().hash(new_secret())
