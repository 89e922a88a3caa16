"""Identifiers are ours; what a client sends is checked here before anything else sees it."""

from __future__ import annotations

import hashlib
import re
import secrets

from mrseg_label.errors import InvalidInput

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing that is misread
_ID = re.compile(r"[a-z]{1,4}-[0-9a-hjkmnp-tv-z]{16}")
_TICKET = re.compile(r"[A-Za-z0-9_-]{32}")
MAX_ALIAS_LENGTH = 200


def new_id(prefix: str) -> str:
    """A fresh identifier such as ``ex-0k3v9q2m7d1c8z5t`` (80 random bits)."""
    return f"{prefix}-" + "".join(secrets.choice(ALPHABET) for _ in range(16))


def derived_id(prefix: str, *parts: str) -> str:
    """The identifier that always belongs to these parts (80 bits of their SHA-256)."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return f"{prefix}-" + "".join(ALPHABET[byte & 31] for byte in digest[:16])


def new_ticket() -> str:
    """An unguessable ticket of more than 128 bits."""
    return secrets.token_urlsafe(24)


def is_ticket(text: str) -> bool:
    """Whether the text has the form of a ticket."""
    return _TICKET.fullmatch(text) is not None


def is_id(text: str) -> bool:
    """Whether the text has the form of one of our identifiers."""
    return _ID.fullmatch(text) is not None


def check_alias(text: str) -> str:
    """Return a client's own name for an image if it is safe to keep and show.

    Raises
    ------
    InvalidInput
        Empty, longer than 200 characters, with control characters or with ``/``, ``\\`` or ``..``.
    """
    if not text.strip() or len(text) > MAX_ALIAS_LENGTH:
        raise InvalidInput(f"the name of an image has 1 to {MAX_ALIAS_LENGTH} characters; this one has {len(text)}")
    if any(not character.isprintable() for character in text) or "/" in text or "\\" in text or ".." in text:
        raise InvalidInput(
            f"the name {text!r} has control characters, a slash, a backslash or '..'; rename the image and send it again"
        )
    return text
