"""``backup`` and ``restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mrseg_label.cli.common import HERE, JsonOption, WorkspaceOption, opened, print_json, progress_bar, say


def backup(
    file: Annotated[Path, typer.Argument(help="Tar file to write.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write the whole workspace to one file; the server may go on meanwhile."""
    from mrseg_label.maintenance import backup as service

    with opened(workspace) as found, progress_bar("packing", quiet=as_json) as progress:
        packed = service.backup(found, file, progress)
    if as_json:
        print_json({"file": str(packed.file), "files": packed.files, "bytes": packed.bytes})
    else:
        say(f"wrote {packed.files} files to {packed.file} ({packed.bytes / 1e6:.1f} MB)")


def restore(
    file: Annotated[Path, typer.Argument(help="Tar file that backup wrote.")],
    workspace: Annotated[Path, typer.Option("--workspace", help="A new or empty folder.")] = HERE,
    as_json: JsonOption = False,
) -> None:
    """Unpack a backup into a new or empty folder and check every file in it."""
    from mrseg_label.maintenance import backup as service

    with progress_bar("checking", quiet=as_json) as progress:
        packed = service.restore(file, workspace, progress)
    if as_json:
        print_json({"workspace": str(workspace), "checked": packed.files})
    else:
        say(f"restored to {workspace}; {packed.files} stored files and models are whole")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("backup")(backup)
    app.command("restore")(restore)
