"""A stored file as a route sends it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StoredFile:
    """A file of the workspace, read only, under the name that the client sees."""

    path: Path
    name: str
    digest: str

    @property
    def media_type(self) -> str:
        """Never with Content-Encoding: Slicer wants the compressed file as it is."""
        return "application/gzip" if self.name.endswith(".gz") else "application/octet-stream"
