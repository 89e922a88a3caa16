"""``backup`` and ``restore``."""

from __future__ import annotations

from dataclasses import asdict
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
    print_table,
    progress_bar,
)


def backup(
    target: Annotated[
        Path,
        typer.Argument(metavar="FILE|DIR", help="Tar file to write, or an existing folder for incremental backups."),
    ],
    folder: WorkspaceOption = HERE,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="DIR is a folder of backups, also if it does not exist yet.")
    ] = False,
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, metavar="N", help="With a folder: keep the newest N backups.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Only list the backups in DIR.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Back up the whole workspace while the server may run: to one file, or into a folder, where a file is stored once."""
    from mrseg_label.maintenance import backup as service

    if show:
        _show(target, as_json)
        return
    into_folder = incremental or keep is not None or target.is_dir()
    if into_folder and target.is_file():
        raise typer.BadParameter(f"{target} is a file; name a folder", param_hint="FILE|DIR")
    with (
        interruptible("No backup was written, and earlier ones are as they were. Run the same command again."),
        opened(folder) as workspace,
        progress_bar("packing", quiet=as_json) as progress,
    ):
        if not into_folder:
            packed = service.backup(workspace, target, progress)
        else:
            added = service.add_backup(workspace, target, keep, progress)
    if not into_folder:
        if as_json:
            print_json({"file": str(packed.file), "files": packed.files, "bytes": packed.bytes})
        else:
            print_line(f"Wrote {packed.files:,} files to {packed.file} ({packed.bytes / 1e6:.1f} MB).")
        return
    made = added.summary
    if as_json:
        new = {"written": added.written, "written_bytes": added.written_bytes, "removed": list(added.removed)}
        print_json({"backup": str(target / made.name), "files": made.files, "bytes": made.bytes, **new})
        return
    print_line(
        f"Made the backup {target / made.name} of {made.files:,} files ({made.bytes / 1e6:.1f} MB); {added.written:,} of "
        f"them were new ({added.written_bytes / 1e6:.1f} MB)."
    )
    if added.removed:
        print_line(f"Removed {len(added.removed)} older: {', '.join(added.removed)}.")


def _show(folder: Path, as_json: bool) -> None:
    from mrseg_label.maintenance.backup_folder import BackupFolder

    found = BackupFolder.open(folder).backups()
    if as_json:
        print_json({"items": [asdict(one) for one in found], "next": None})
        return
    rows = [(one.name, one.made, one.version, one.files, f"{one.bytes / 1e6:,.1f} MB") for one in found]
    print_table(("backup", "made", "version", "files", "size"), rows)


def restore(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|DIR", help="Tar file that `backup` wrote, a folder of backups (the newest), or one of them."
        ),
    ],
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
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="URL",
            help="Empty PostgreSQL database for the rows, or `sqlite` for a file in the workspace.",
            show_default="as the settings in the backup say",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into a new or empty folder, verify every file in it, and delete whoever was deleted since."""
    from mrseg_label.maintenance import restoring as service

    with (
        interruptible("Nothing was restored. Run the same command again."),
        progress_bar("restoring", quiet=as_json) as progress,
    ):
        restored = service.restore(source, folder, progress, deletions, database)
    if as_json:
        print_json(
            {
                "workspace": str(folder),
                "checked": restored.files,
                "deleted_participants": restored.deleted,
                "database": restored.database,
            }
        )
        return
    print_line(f"Restored to {folder}; verified {restored.files:,} stored files and models.")
    print_line(f"The database is {restored.database}.")
    if restored.deleted:
        print_line(f"{restored.deleted:,} participants who were deleted after the backup were deleted again.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("backup")(backup)
    app.command("restore")(restore)
