"""``annotations send``: annotations as DICOM segmentations, back to the archive."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from mrseg_label.cli.annotation import group
from mrseg_label.cli.archive import DescriptionOption, ListOption, ModalityOption, StudyDateOption, query_of
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
from mrseg_label.errors import Unavailable


@group.command("send")
def send(
    dicomweb: Annotated[
        str | None, typer.Option(metavar="URL", help="The archive over DICOMweb; DICOMWEB_URL by default.")
    ] = None,
    date: StudyDateOption = None,
    modality: ModalityOption = None,
    description: DescriptionOption = None,
    listed: ListOption = None,
    state: Annotated[
        Literal["accepted", "submitted"],
        typer.Option("--state", help="Accepted annotations alone, or of each case the newest, be it accepted or not."),
    ] = "accepted",
    participants: Annotated[
        list[str] | None,
        typer.Option("--participant", metavar="CODE", help="Of this participant alone; may be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Store annotations as DICOM segmentations in the archive that their images came from; exit code 1 if any was refused."""
    from mrseg_label.dicomweb import DicomwebServer
    from mrseg_label.exports.dataset import MaskChoice, Selection
    from mrseg_label.exports.sending import send_annotations

    query = query_of(date, modality, description, listed)
    with (
        interruptible("What was sent stays in the archive. The same command goes on from there."),
        opened(folder) as workspace,
        progress_bar("studies", quiet=as_json) as progress,
    ):
        server = DicomwebServer(workspace.settings, dicomweb)
        selection = Selection(MaskChoice(state), tuple(participants or ()))
        report = send_annotations(workspace, server, query, selection, dry_run=dry_run, progress=progress)
    if as_json:
        refused = [{"annotation": annotation, "reason": reason} for annotation, reason in report.refused]
        print_json({"sent": report.sent, "present": report.present, "refused": refused, "stopped": report.stopped})
    else:
        for annotation, reason in report.refused:
            print_line(f"refused {annotation}: {reason}")
        verb = "would be sent" if dry_run else "sent"
        print_line(
            f"{len(report.sent)} annotations {verb} to {server.name}, {len(report.present)} are there already, "
            f"{len(report.refused)} refused"
        )
    if report.stopped:
        raise Unavailable(report.stopped)
    if report.refused:
        raise typer.Exit(1)
