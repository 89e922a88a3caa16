"""``export``: the annotated data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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

if TYPE_CHECKING:
    from mrseg_label.rounds.export import ExportResult


def export(
    target: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write to; created if it does not exist.")],
    form: Annotated[
        Literal["nnunet", "nifti"], typer.Option("--format", help="nnU-Net raw data set, or NIfTI files with a table.")
    ],
    primary_only: Annotated[
        bool, typer.Option("--primary-only", help="Only the channel that readers open, not the others on its grid.")
    ] = False,
    filled: Annotated[
        bool, typer.Option("--filled", help="Fill structures that were not annotated from drafts (nnunet always does).")
    ] = False,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Export the annotated data set: every annotated case with its current mask."""
    from mrseg_label.rounds.export import ExportFormat, export_dataset

    with (
        interruptible("Nothing was exported, and the workspace is as it was. Run the same command again."),
        opened(folder) as workspace,
        progress_bar("exporting", quiet=as_json) as progress,
    ):
        exported = export_dataset(
            workspace,
            target,
            ExportFormat(form),
            primary_only=primary_only,
            filled=filled,
            progress=progress,
        )
    if as_json:
        print_json(_document(exported))
    else:
        print_line(
            f"Exported {exported.acquisitions} annotated cases ({exported.images} images) of {exported.participants} "
            f"participants, {exported.held_out_participants} of them held out, to {exported.folder}."
        )


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("export")(export)


def _document(exported: ExportResult) -> dict[str, object]:
    return {
        "format": str(exported.form),
        "folder": str(exported.folder),
        "acquisitions": exported.acquisitions,
        "images": exported.images,
        "participants": exported.participants,
        "held_out_participants": exported.held_out_participants,
    }
