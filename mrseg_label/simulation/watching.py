"""What a long run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Watcher:
    """Told of every step of a demo; this one shows nothing."""

    def phase(self, title: str, total: float | None = None) -> None:
        """A new phase begins; it counts up to ``total``, if that is known."""

    def advance(self, done: float, note: str = "", total: float | None = None) -> None:
        """The phase has come to ``done``; ``note`` says what was finished last, ``total`` what is known only now."""

    def round_progress(self, number: int, state: str, progress: Mapping[str, Any]) -> None:
        """A round's state and progress (stage, fold, epoch), as the server tells it."""

    def row(self, row: Mapping[str, Any]) -> None:
        """A row of the final table is known."""

    def note(self, text: str) -> None:
        """Something worth a line."""
