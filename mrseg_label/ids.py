"""Make identifiers, and check those in requests before anything else uses them."""

from __future__ import annotations

import hashlib
import re
import secrets

from mrseg_label.errors import InvalidInput

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, without letters that are easily misread
_ID = re.compile(r"[a-z]{1,4}-[0-9a-hjkmnp-tv-z]{16}")
_TICKET = re.compile(r"[A-Za-z0-9_-]{32}")
MAX_ALIAS_LENGTH = 200


def new_id(prefix: str) -> str:
    """Make a new identifier such as ``ex-0k3v9q2m7d1c8z5t`` (80 random bits)."""
    return f"{prefix}-" + "".join(secrets.choice(ALPHABET) for _ in range(16))


def derived_id(prefix: str, *parts: str) -> str:
    """Derive an identifier that is always the same for the same parts (80 bits of their SHA-256)."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return f"{prefix}-" + "".join(ALPHABET[byte & 31] for byte in digest[:16])


def new_ticket() -> str:
    """Make a ticket that cannot be guessed (192 random bits)."""
    return secrets.token_urlsafe(24)


def is_ticket(text: str) -> bool:
    """Whether the text has the form of a ticket."""
    return _TICKET.fullmatch(text) is not None


def is_id(text: str) -> bool:
    """Whether the text has the form of one of our identifiers."""
    return _ID.fullmatch(text) is not None


def check_alias(text: str) -> str:
    """Return a client's own name for an image if it is safe to store and show.

    Raises
    ------
    InvalidInput
        The name is empty, longer than 200 characters, or has control characters, ``/``, ``\\`` or ``..``.
    """
    if not text.strip() or len(text) > MAX_ALIAS_LENGTH:
        raise InvalidInput(
            f"the name of an image has {len(text)} characters; give it a name of 1 to {MAX_ALIAS_LENGTH} characters"
        )
    if any(not character.isprintable() for character in text) or "/" in text or "\\" in text or ".." in text:
        raise InvalidInput(
            f"the name {text!r} has control characters, a slash, a backslash or '..'; rename the image and send it again"
        )
    return text
