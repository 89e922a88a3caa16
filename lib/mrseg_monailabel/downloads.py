"""A stored file as a route sends it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Download:
    """A stored file and the name under which the client gets it.

    Attributes
    ----------
    path : in the workspace; read only.
    name : file name for the client, with suffix.
    digest : SHA-256 of the file.
    """

    path: Path
    name: str
    digest: str

    @property
    def media_type(self) -> str:
        """The type of the file; never a Content-Encoding, since Slicer wants a compressed file as it is."""
        return "application/gzip" if self.name.endswith(".gz") else "application/octet-stream"
