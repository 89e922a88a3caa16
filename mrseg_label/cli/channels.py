"""``examinations compare``: compare the images of acquisitions with each other again, as an import does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mrseg_label.cli.common import (
    HERE,
    LOCAL,
    JsonOption,
    WorkspaceOption,
    interruptible,
    opened,
    print_json,
    print_line,
    progress_bar,
)
from mrseg_label.cli.lists import ParticipantOption, examinations

if TYPE_CHECKING:
    from mrseg_label.intake.comparison import ComparedChannels


@examinations.command("compare")
def compare(
    participant: ParticipantOption = None,
    station: Annotated[str | None, typer.Option(metavar="NAME", help="Only acquisitions of this station.")] = None,
    after: Annotated[
        str,
        typer.Option(metavar="ACQUISITION", help="Go on behind this acquisition; a command that was stopped names it."),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be suspected, and change nothing.")
    ] = False,
    author: Annotated[str, typer.Option(help="Name to record with the change.", show_default="local")] = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Look for misregistered channels and exchanged fat and water among stored images, as an import does; exit code 1 if a file is damaged.

    What is found is suspected, and gets no propagated mask until it is decided. Annotations and decisions stay as they are.
    """
    from mrseg_label.catalog.queries.channels import ChannelFilter
    from mrseg_label.intake.comparison import compare_channels

    found: list[ComparedChannels] = []  # the acquisitions of which there is something to say
    acquisitions = images = 0
    behind = after

    def kept() -> str:
        more = f" and --after {behind}" if behind else ""
        return f"What was found is kept (mrseg-label doubts --kind channel). Go on with the same command{more}."

    with (
        interruptible(kept),
        opened(folder) as workspace,
        progress_bar("comparing", quiet=as_json) as progress,
    ):
        wanted = ChannelFilter(participant, station, after)
        for one in compare_channels(workspace, wanted, actor=author, dry_run=dry_run, progress=progress):
            acquisitions, images, behind = acquisitions + 1, images + one.compared, one.acquisition
            if one.suspicions or one.left or one.unreadable:
                found.append(one)
    if as_json:
        print_json({"acquisitions": acquisitions, "compared": images, **_document(found)})
    else:
        _print(found, acquisitions, images, dry_run)
    if any(one.unreadable for one in found):
        raise typer.Exit(1)


def _document(found: Sequence[ComparedChannels]) -> dict[str, Any]:
    return {
        "suspected": [
            {"acquisition": one.acquisition, "participant": one.participant, "station": one.station, **vars(suspicion)}
            for one in found
            for suspicion in one.suspicions
        ],
        "left": [identifier for one in found for identifier in one.left],
        "notes": [note for one in found for note in one.notes],
        "unreadable": [
            {"examination": identifier, "reason": reason} for one in found for identifier, reason in one.unreadable
        ],
    }


def _print(found: Sequence[ComparedChannels], acquisitions: int, images: int, dry_run: bool) -> None:
    for one in found:
        where = ", ".join(part for part in (f"participant {one.participant}", one.station) if part)
        for suspicion in one.suspicions:
            print_line(f"{suspicion.examination} ({where}, {suspicion.sequence}): {suspicion.text}")
        for note in one.notes:
            print_line(f"{one.acquisition}: {note}")
        for identifier, reason in one.unreadable:
            print_line(f"not compared: {identifier}: {reason}")
    suspected = sum(len(one.suspicions) for one in found)
    left = sum(len(one.left) for one in found)
    verb = "would be suspected" if dry_run else "suspected"
    print_line(
        f"{acquisitions:,} acquisitions: {images:,} images compared, {suspected:,} {verb}, {left:,} images left that are "
        "suspected or decided already"
    )
    if suspected and not dry_run:
        print_line("Look at them, and decide: mrseg-label doubts --kind channel")
