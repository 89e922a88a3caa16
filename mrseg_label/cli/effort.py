"""``effort``: what readers changed in drafts."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mrseg_label.cli.common import (
    HERE,
    JsonOption,
    WorkspaceOption,
    mean_text,
    opened,
    print_json,
    print_line,
    print_table,
)
from mrseg_label.cli.completion import ACCOUNTS, ROUNDS, VERSIONS

if TYPE_CHECKING:
    from mrseg_label.reports.documents.effort import EffortGroupOut


class By(StrEnum):
    """By what effort is grouped; the catalogue's dimensions, which take a moment to load."""

    STRUCTURE = "structure"
    READER = "reader"
    ROUND = "round"
    MODEL_VERSION = "model_version"
    STATION = "station"
    SEQUENCE = "sequence"


_NAMES = {"model_version": "drafts of"}


def effort(
    by: Annotated[
        list[By] | None,
        typer.Option("--by", help="Group by this; may be given up to three times.", show_default="round"),
    ] = None,
    structure: Annotated[str | None, typer.Option(metavar="NAME", help="Only this structure.")] = None,
    reader: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only of this reader.", autocompletion=ACCOUNTS)
    ] = None,
    round_number: Annotated[
        int | None,
        typer.Option(
            "--round", min=0, help="Only drafts of this round's model; 0: the first drafts.", autocompletion=ROUNDS
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Only drafts of this model version.", autocompletion=VERSIONS),
    ] = None,
    station: Annotated[str | None, typer.Option(help="Only cases of this station.")] = None,
    sequence: Annotated[str | None, typer.Option(help="Only cases of this sequence.")] = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show what readers changed in drafts, in how much time: by round, reader, station, sequence, model version or structure."""
    from mrseg_label.catalog.queries.effort import Dimension, EffortFilter
    from mrseg_label.reports.effort import read_effort_by

    wanted = EffortFilter(structure, reader, round_number, model, station, sequence)
    with opened(folder) as workspace:
        document = read_effort_by(workspace, [Dimension(one) for one in by or [By.ROUND]], wanted)
    if as_json:
        print_json(document)
        return
    if not document.groups:
        print_line("No draft was corrected yet, or none of those that are wanted.")
        return
    keys = [_NAMES.get(one, one) for one in document.by]
    print_table(
        (
            *keys,
            "cases",
            "propagated to",
            "people",
            "unchanged",
            "ml changed",
            "edits",
            "surface changed",
            "minutes",
            "DSC of draft",
        ),
        [
            (
                *_key(one),
                one.cases,
                f"{one.propagated_images:,} images" if one.propagated_images else "–",
                one.participants,
                one.unchanged_cases,
                mean_text(one.edited_ml, 1),
                mean_text(one.edits, 1),
                mean_text(one.surface_changed, 1, 100, " %"),
                mean_text(one.seconds, 1, 1 / 60),
                mean_text(one.dsc, 3),
            )
            for one in document.groups
        ],
    )
    print_table(
        (*keys, "untouched", "corrected", "drawn", "removed", "absent", "outside", "forgotten", "not judged"),
        [
            (
                *_key(one),
                *(
                    getattr(one.outcomes, name)
                    for name in ("untouched", "corrected", "drawn", "removed", "absent", "outside_field_of_view", "forgotten",
                                 "not_judged")
                ),
            )
            for one in document.groups
        ],
        title="Structures of the drafts, each case counted",
    )  # fmt: skip
    if document.not_measured:
        print_line(f"{document.not_measured} annotations of an earlier version are measured anew by a worker.")
    print_line(
        f"Means a case, which counts once however many images its mask was propagated to; in brackets: {document.interval}."
    )


def _key(group: EffortGroupOut) -> list[object]:
    return ["none" if value is None else value for value in group.group.values()]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("effort")(effort)
