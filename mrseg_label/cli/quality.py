"""``agreement`` and ``suspicious``: how far readers agree, and which masks somebody should look at."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from mrseg_label.cli.common import (
    HERE,
    LOCAL,
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
        Literal["doubt", "position", "volume", "empty", "stray", "neighbour", "seam", "model", "edits", "unchanged"]
        | None,
        typer.Option(help="Only masks with such a reason."),
    ] = None,
    dismissed: Annotated[
        bool, typer.Option("--dismissed", help="Those that somebody looked at and found in order.")
    ] = False,
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
        page = read_suspicious(workspace.catalog, rows_of(limit, as_json), cursor, wanted, dismissed=dismissed)
        rest = page.next and not as_json
        everything = read_suspicious(workspace.catalog, NO_LIMIT, kind=wanted, dismissed=dismissed) if rest else page
        total = len(everything.items)
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
    for item in page.items:
        if item.dismissed is not None:
            print_line(f"{item.id} was dismissed by {item.dismissed.by}: {item.dismissed.reason}")
    print_rest(page, total, is_first=cursor is None)


def dismiss(
    mask: Annotated[str, typer.Argument(metavar="MASK", help="Id of an annotation or a draft, from `suspicious`.")],
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why it is in order.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="List a dismissed mask again.")] = False,
    reader: Annotated[
        str, typer.Option("--reader", metavar="NAME", help="Name to record with the decision.", show_default=LOCAL)
    ] = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Dismiss a suspicious mask that is in order. It is listed again if there is a new reason, or a new mask in its place."""
    from mrseg_label.annotation import dismissal
    from mrseg_label.reports.suspicious import read_suspicious_mask

    if undo == (reason is not None):
        raise typer.BadParameter("give --reason TEXT, or --undo")
    with opened(folder) as workspace:
        if undo:
            dismissal.restore(workspace.catalog, mask, actor=reader)
        else:
            dismissal.dismiss(workspace.catalog, mask, actor=reader, comment=reason or "")
        document = read_suspicious_mask(workspace.catalog, mask)
    if as_json:
        print_json(document)
    else:
        print_line(
            f"{mask} is listed again." if undo else f"{mask} was dismissed. Undo this with: dismiss {mask} --undo"
        )


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("agreement")(agreement)
    app.command("suspicious")(suspicious)
    app.command("dismiss")(dismiss)
