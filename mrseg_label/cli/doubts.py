"""``doubts``: masks that the audit of sides and directions doubts, and images that the import suspects."""

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
    print_page,
    print_rest,
    print_table,
    rows_of,
)


def doubts(
    kind: Annotated[
        Literal["draft", "annotation", "channel"] | None,
        typer.Option(help="Only drafts, only annotations, or only images that get no mask propagated."),
    ] = None,
    limit: LimitOption = None,
    cursor: CursorOption = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List masks whose left and right, head and foot or front and back are doubtful, and suspected images, newest first."""
    from mrseg_label.catalog.queries.doubts import MaskKind
    from mrseg_label.reports.doubts import read_doubts

    with opened(folder) as workspace:
        wanted = MaskKind(kind) if kind else None
        page = read_doubts(workspace.catalog, rows_of(limit, as_json), cursor, wanted)
        total = len(read_doubts(workspace.catalog, NO_LIMIT, kind=wanted).items) if page.next and not as_json else 0
    if as_json:
        print_page(page.items, page.next)
        return
    columns = ("kind", "id", "participant", "station", "by", "created", "doubt")
    rows = [
        (item.kind, item.id, item.participant, item.station, item.author, item.created, doubt.text)
        for item in page.items
        for doubt in item.doubts
    ]
    print_table(columns, rows)
    print_rest(page, total, is_first=cursor is None)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doubts")(doubts)
