"""What an evaluation has finished, so that the next one goes on where it was cut off."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mrseg_label.evaluation.values import Found, Measured


@dataclass(frozen=True)
class Journal:
    """A file with one line for each finished case, with the key of everything that its numbers depend on.

    A line that was cut off is left out, and its case measured again.
    """

    path: Path

    def read(self) -> dict[str, list[Measured]]:
        """Read the measurements by their keys."""
        if not self.path.is_file():
            return {}
        finished = {}
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
                finished[str(entry["key"])] = [_measured(one) for one in entry["measured"]]
            except (ValueError, KeyError, TypeError):
                continue
        return finished

    def add(self, key: str, measured: list[Measured]) -> None:
        """Append a finished case."""
        line = json.dumps({"key": key, "measured": [asdict(one) for one in measured]})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def remove(self) -> None:
        """Delete the file, once everything is in the table."""
        self.path.unlink(missing_ok=True)


def _measured(entry: Mapping[str, Any]) -> Measured:
    return Measured(**{**entry, "found": Found(entry["found"])})
