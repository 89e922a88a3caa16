"""``export``: the annotated data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mrseg_label.cli.common import HERE, JsonOption, WorkspaceOption, opened, print_json, progress_bar, say

if TYPE_CHECKING:
    from mrseg_label.rounds.export import Exported


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write to; made if it is not there.")],
    form: Annotated[
        Literal["nnunet", "nifti"], typer.Option("--format", help="nnU-Net raw data set, or files with a table.")
    ],
    primary_only: Annotated[
        bool, typer.Option("--primary-only", help="Only the channel that readers open, not the others on its grid.")
    ] = False,
    filled: Annotated[
        bool, typer.Option("--filled", help="Fill masks from drafts where no reader judged (nnunet always does).")
    ] = False,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write the annotated data set: every annotated case with the mask that counts."""
    from mrseg_label.rounds.export import ExportFormat, export_dataset

    with opened(workspace) as found, progress_bar("exporting", quiet=as_json) as progress:
        done = export_dataset(
            found,
            folder,
            ExportFormat(form),
            primary_only=primary_only,
            filled=filled,
            progress=progress,
        )
    if as_json:
        print_json(_document(done))
    else:
        say(
            f"wrote {done.acquisitions} annotated cases ({done.images} images) of {done.participants} participants, "
            f"{done.held_out_participants} of them held out, to {done.folder}"
        )


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("export")(export)


def _document(done: Exported) -> dict[str, object]:
    return {
        "format": str(done.form),
        "folder": str(done.folder),
        "acquisitions": done.acquisitions,
        "images": done.images,
        "participants": done.participants,
        "held_out_participants": done.held_out_participants,
    }
