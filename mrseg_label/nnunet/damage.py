"""Find files of our own that were damaged, by the SHA-256 that they were written with, and put them aside.

What is derived from images and annotations can be made again, so a file of it that is empty, cut off or altered (a
power failure, a full disk) must not end every later attempt. It is renamed, so that it can be looked at, and never read
again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mrseg_label.files import sha256_of, write_atomically

log = logging.getLogger("mrseg_label.nnunet")
DIGESTS_FILE = "files.sha256.json"
_SUFFIX = ".damaged"


def put_aside(path: Path, reason: str, folder: Path | None = None) -> Path:
    """Rename a damaged file and return its new path, beside it or in ``folder``; the log names it."""
    folder = folder or path.parent
    folder.mkdir(parents=True, exist_ok=True)
    target, number = folder / (path.name + _SUFFIX), 1
    while target.exists():
        number += 1
        target = folder / f"{path.name}{_SUFFIX}{number}"
    path.rename(target)
    log.warning("%s is damaged (%s): it is put aside as %s and made again", path, reason, target)
    return target


def write_digests(folder: Path, target: Path, files: Iterable[str]) -> None:
    """Write the SHA-256 of files of a folder, by their names relative to it."""
    digests = {name: sha256_of(folder / name) for name in files}
    write_atomically(target, json.dumps(digests, indent=1).encode())


def damaged_files(folder: Path, digests: Path) -> list[str] | None:
    """Names of the files that are missing or differ from their digests; None if the digests cannot be read."""
    expected = read_json(digests)
    if not isinstance(expected, dict):
        return None
    return [
        name for name, digest in expected.items() if not (folder / name).is_file() or sha256_of(folder / name) != digest
    ]


def why_unreadable(checkpoint: Path) -> str | None:
    """Why a checkpoint of nnU-Net cannot be read, or None if it can. Loading runs code in it: trusted files only."""
    import torch

    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=False)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - pickle and zip raise anything where a file is cut off
        return f"{type(error).__name__}: {str(error)[:200]}"
    return None if isinstance(content, dict) and "network_weights" in content else "it holds no weights"


def read_json(path: Path) -> Any:
    """Read a JSON file; None where it is missing or cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def usable_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object of our own; a file that holds none is put aside, and None returned."""
    content = read_json(path)
    if isinstance(content, dict) and content:
        return content
    if path.exists():
        put_aside(path, "it holds no JSON object")
    return None
