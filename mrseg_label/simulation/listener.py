"""The progress of a demo, for a display to show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class DemoListener:
    """Receives the progress of a demo; this base class ignores it."""

    def phase(self, title: str, total: float | None = None) -> None:
        """Begin a phase, which counts up to ``total`` if that is known."""

    def advance(self, done: float, note: str = "", total: float | None = None) -> None:
        """Set the count of the current phase; ``note`` describes the item done last, ``total`` replaces the total."""

    def round_progress(self, number: int, state: str, progress: Mapping[str, Any]) -> None:
        """Show the state and progress of a round (stage, fold, epoch), as the server reports them."""

    def row(self, row: Mapping[str, Any]) -> None:
        """Show a new row of the final table."""

    def note(self, text: str) -> None:
        """Show a line of text."""
