"""``backup`` and ``restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mrseg_label.cli.common import (
    HERE,
    JsonOption,
    WorkspaceOption,
    interruptible,
    opened,
    print_json,
    print_line,
    progress_bar,
)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Tar file to write.")],
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Back up the whole workspace to one file; the server may run meanwhile."""
    from mrseg_label.maintenance import backup as service

    with (
        interruptible("No backup was written, and the workspace is as it was. Run the same command again."),
        opened(folder) as workspace,
        progress_bar("packing", quiet=as_json) as progress,
    ):
        packed = service.backup(workspace, file, progress)
    if as_json:
        print_json({"file": str(packed.file), "files": packed.files, "bytes": packed.bytes})
    else:
        print_line(f"Wrote {packed.files:,} files to {packed.file} ({packed.bytes / 1e6:.1f} MB).")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Tar file that `backup` wrote.")],
    folder: Annotated[
        Path,
        typer.Option("--workspace", metavar="DIR", help="A new or empty folder.", show_default="the current folder"),
    ] = HERE,
    deletions: Annotated[
        Path | None,
        typer.Option(
            "--deletions",
            metavar="PATH",
            help="List of participants deleted since, or a workspace with it; one beside the backup is used anyway.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into a new or empty folder, verify every file in it, and delete whoever was deleted since."""
    from mrseg_label.maintenance import backup as service

    with (
        interruptible("Nothing was restored. Run the same command again."),
        progress_bar("restoring", quiet=as_json) as progress,
    ):
        packed = service.restore(file, folder, progress, deletions)
    if as_json:
        print_json({"workspace": str(folder), "checked": packed.files, "deleted_participants": packed.deleted})
    else:
        print_line(f"Restored to {folder}; verified {packed.files:,} stored files and models.")
        if packed.deleted:
            print_line(f"{packed.deleted:,} participants who were deleted after the backup were deleted again.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("backup")(backup)
    app.command("restore")(restore)
