"""Fixtures of the tests of sign-in."""

from __future__ import annotations

from tests.support.signed_in import person

__all__ = ["person"]
