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
    from mrseg_label.exports.service import Exported


def export(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder to write to: new, empty, or one with an earlier export to bring up to date."
        ),
    ],
    form: Annotated[
        Literal["nnunet", "nifti", "bids", "participants", "dicom-seg"],
        typer.Option(
            "--format",
            help="nnU-Net raw data set, NIfTI files with a table, BIDS derivatives, one folder a participant, or DICOM segmentations.",
        ),
    ],
    state: Annotated[
        Literal["accepted", "submitted"],
        typer.Option("--state", help="Accepted annotations alone, or of each case the newest, be it accepted or not."),
    ] = "accepted",
    participants: Annotated[
        list[str] | None,
        typer.Option("--participant", metavar="CODE", help="Of this participant alone; may be repeated."),
    ] = None,
    primary_only: Annotated[
        bool, typer.Option("--primary-only", help="Only the channel that readers open, not the others on its grid.")
    ] = False,
    filled: Annotated[
        bool, typer.Option("--filled", help="Fill structures that were not annotated from drafts (nnunet always does).")
    ] = False,
    whole_body: Annotated[
        bool,
        typer.Option("--whole-body", help="Compose the stations of each participant too (bids, participants)."),
    ] = False,
    match_intensities: Annotated[
        bool,
        typer.Option("--match-intensities", help="As --whole-body, with all stations equally bright; never CT."),
    ] = False,
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="Name of the data set, for its card.")] = "",
    originals: Annotated[
        list[Path] | None,
        typer.Option(
            "--originals",
            metavar="PATH",
            help="With dicom-seg: a folder or zip with the DICOM files that the images were imported from. Segmentations refer to them; may be repeated.",
        ),
    ] = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Export the annotated data set: every annotated case with its current mask, and the card of the data set."""
    from mrseg_label.exports.dataset import MaskChoice, Selection
    from mrseg_label.exports.service import NAME, Form, Options, export
    from mrseg_label.exports.whole_body import WholeBodies

    with (
        interruptible("What was written stays. The same command goes on from there."),
        opened(folder) as workspace,
        progress_bar("exporting", quiet=as_json) as progress,
    ):
        selection = Selection(MaskChoice(state), tuple(participants or ()), primary_only)
        bodies = WholeBodies(whole_body or match_intensities, match_intensities)
        options = Options(Form(form), selection, filled, name.strip() or NAME, bodies, tuple(originals or ()))
        exported = export(workspace, target, options, progress)
    if as_json:
        print_json(_document(exported))
    else:
        card = exported.card
        print_line(
            f"Exported {card['acquisitions']} annotated cases ({card['examinations']} images, of which "
            f"{card['examinations_with_propagated_mask']} have the mask of another channel) of {card['participants']} participants, "
            f"{card['participants_held_out']} of them held out, to {exported.folder}: {exported.written} files written, "
            f"{exported.unchanged} unchanged, {exported.removed} removed."
        )


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("export")(export)


def _document(exported: Exported) -> dict[str, object]:
    card = exported.card
    # Data sets to train on, and plain files with a table, have the images that carry a mask alone.
    left_out = card["examinations_without_mask"] if exported.form in ("nnunet", "nifti") else 0
    return {
        "format": str(exported.form),
        "folder": str(exported.folder),
        "acquisitions": card["acquisitions"],
        "images": card["examinations"] - left_out,
        "left_out": left_out,
        "annotated": card["examinations_annotated"],
        "propagated": card["examinations_with_propagated_mask"],
        "participants": card["participants"],
        "held_out_participants": card["participants_held_out"],
        "version": card["version"],
        "files_written": exported.written,
        "files_unchanged": exported.unchanged,
        "files_removed": exported.removed,
    }
