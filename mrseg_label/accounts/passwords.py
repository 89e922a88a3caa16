"""Passwords and other secrets: created, verified, and stored only as hashes.

References
----------
NIST SP 800-63B, Digital Identity Guidelines: length instead of composition rules. https://pages.nist.gov/800-63-4/
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
_GROUPS, _GROUP_LENGTH = 5, 5  # of an app password: 125 random bits


def hash_password(password: str, name: str) -> str:
    """Return the argon2id hash of a new password.

    Raises
    ------
    InvalidInput
        The password is too short, too long or easily guessed.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InvalidInput(
            f"the password has {len(password)} characters; it must have {MIN_LENGTH} to {MAX_LENGTH}, for example several words"
        )
    folded = password.casefold()
    if len(folded.replace(name.casefold(), "")) < MIN_LENGTH // 2 or len(set(folded)) < 5:
        raise InvalidInput("the password is easily guessed; choose several words other than the account's name")
    return _hasher().hash(password)


def verify(password: str, stored: str | None) -> bool:
    """Whether a password matches a stored hash; without a hash it takes as long, so that time does not tell."""
    if len(password) > MAX_LENGTH:
        return False
    if stored is None:
        _hasher().verify(password, _dummy_hash())
        return False
    return _hasher().verify(password, stored)


def new_app_password() -> str:
    """Return a random password that is easy to type."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS))


def new_secret() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Return what is stored of a random secret: a plain hash is enough, since the secret cannot be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


@cache
def _hasher() -> PasswordHash:
    return PasswordHash((Argon2Hasher(),))


@cache
def _dummy_hash() -> str:
    return _hasher().hash(new_secret())
