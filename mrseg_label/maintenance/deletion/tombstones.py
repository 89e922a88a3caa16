"""The list of who was deleted, as a file: it names nobody, and a restored backup is compared with it.

It lies in the workspace and beside the backups that were made of it. Entries are salted hashes
(:mod:`mrseg_label.catalog.queries.deleted`), so the lists of several workspaces can be one file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import audit, deleted
from mrseg_label.catalog.tables import DeletedParticipant
from mrseg_label.errors import InvalidInput
from mrseg_label.files import write_durably

FILE = "deleted-participants.json"
BACKUP = "backup"  # the action in the audit trail that says where backups are


@dataclass(frozen=True)
class Entry:
    """Somebody who was deleted.

    Attributes
    ----------
    participant : hash of the id that they had; empty if they were on a list but never here.
    code : hash of their code; empty once they may be imported again.
    """

    salt: str
    participant: str
    code: str


def read_entries(path: Path) -> list[Entry]:
    """Read the list in a file, or in the folder of a workspace or of backups.

    Raises
    ------
    InvalidInput
        It cannot be read.
    """
    file = path / FILE if path.is_dir() else path
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return [Entry(str(one["salt"]), str(one["participant"]), str(one["code"])) for one in content["deleted"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"{file} cannot be read as the list of deleted participants that `participants delete` writes: {error}"
        ) from error


def write_lists(workspace: OpenedWorkspace) -> tuple[list[str], list[str]]:
    """Write the list into the workspace and beside its backups.

    Returns
    -------
    written : folders of backups that have the list now.
    missed : folders of backups where it could not be written.
    """
    with workspace.catalog.read() as session:
        entries = [Entry(row.salt, row.participant_hash, row.code_hash) for row in deleted.all_rows(session)]
        folders = sorted({str(Path(event.subject).parent) for event in audit.page(session, 10_000, actions=[BACKUP])})
    if not entries:
        return [], []
    _write(workspace.root / FILE, entries)
    written, missed = [], []
    for folder in folders:
        try:
            _write(Path(folder) / FILE, [*entries, *_present(Path(folder))])
            written.append(folder)
        except OSError:
            missed.append(folder)
    return written, missed


def add_entries(workspace: OpenedWorkspace, entries: Iterable[Entry]) -> None:
    """Remember people who were deleted elsewhere, so that they are not imported again."""
    with workspace.catalog.begin() as session:
        for entry in entries:
            deleted.add(
                session,
                DeletedParticipant(
                    salt=entry.salt, participant_hash=entry.participant, code_hash=entry.code, models=[]
                ),
            )


def _present(folder: Path) -> list[Entry]:
    return read_entries(folder) if (folder / FILE).is_file() else []


def _write(file: Path, entries: Iterable[Entry]) -> None:
    listed = [asdict(entry) for entry in dict.fromkeys(entries)]
    write_durably(file, json.dumps({"deleted": listed}, indent=1).encode())
