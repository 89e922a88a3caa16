"""``agreement`` and ``suspicious``: how far readers agree, and which masks somebody should look at."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from mrseg_label.cli.common import (
    HERE,
    NO_LIMIT,
    CursorOption,
    JsonOption,
    LimitOption,
    WorkspaceOption,
    opened,
    print_json,
    print_line,
    print_page,
    print_rest,
    print_table,
    progress_bar,
    rows_of,
)
from mrseg_label.cli.completion import ACCOUNTS


def agreement(
    reader: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only pairs of readings that this one is of.", autocompletion=ACCOUNTS),
    ] = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show how far independent readings of the same cases agree: DSC, NSD and HD95 by structure, by pair of readers, by case."""
    from mrseg_label.reports.agreement import read_agreement

    with progress_bar("comparing", as_json), opened(folder) as workspace:
        document = read_agreement(workspace, reader)
    if as_json:
        print_json(document)
        return
    if document.not_measured:
        print_line(f"{document.not_measured} more pairs of readings are measured by a worker soon.")
    if not document.cases:
        print_line(
            "No case has two independent readings yet. Assign a second one: mrseg-label cases assign --purpose second_read --reader NAME"
        )
        return
    print_table(
        ("readers", "cases", "mean DSC", "same draft"),
        [(f"{one.first}, {one.second}", one.cases, one.mean_dsc, one.same_draft) for one in document.readers]
        + [("all", document.overall.cases, document.overall.mean_dsc, document.overall.same_draft)],
    )  # fmt: skip
    print_table(
        ("structure", "cases", "DSC", "SD", "NSD", "SD", "HD95, mm", "SD, mm", "infinite"),
        [
            (name, one.cases, one.dsc, one.dsc_sd, one.nsd, one.nsd_sd, one.hd95_mm, one.hd95_sd_mm, one.hd95_infinite)
            for name, one in document.overall.structures.items()
        ],
    )
    print_table(
        ("examination", "first", "by", "second", "by", "mean DSC"),
        [
            (one.examination, one.first, one.first_reader, one.second, one.second_reader, one.mean_dsc)
            for one in document.cases
        ],
    )
    print_line(document.rule)


def suspicious(
    kind: Annotated[
        Literal["doubt", "position", "volume", "empty", "stray", "neighbour", "model", "edits", "unchanged"] | None,
        typer.Option(help="Only masks with such a reason."),
    ] = None,
    limit: LimitOption = None,
    cursor: CursorOption = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List annotations and drafts that somebody should look at, each with the reasons, the most suspicious first."""
    from mrseg_label.catalog.queries.suspicions import SuspicionKind
    from mrseg_label.reports.suspicious import read_suspicious

    wanted = SuspicionKind(kind) if kind else None
    with opened(folder) as workspace:
        page = read_suspicious(workspace.catalog, rows_of(limit, as_json), cursor, wanted)
        total = len(read_suspicious(workspace.catalog, NO_LIMIT, kind=wanted).items) if page.next and not as_json else 0
    if as_json:
        print_page(page.items, page.next)
        return
    rows = [
        (f"{item.score:.2f}", item.mask, item.id, item.examination, item.participant, item.station, item.author, one.kind, one.structure, one.text)
        for item in page.items
        for one in item.reasons
    ]  # fmt: skip
    print_table(
        ("score", "mask", "id", "examination", "participant", "station", "by", "reason", "structure", "what"), rows
    )
    print_rest(page, total, is_first=cursor is None)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("agreement")(agreement)
    app.command("suspicious")(suspicious)
