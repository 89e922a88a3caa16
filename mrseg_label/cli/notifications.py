"""``notifications``: what needed attention, and a test of where it is sent."""

from __future__ import annotations

import typer

from mrseg_label.cli.common import (
    HERE,
    CursorOption,
    JsonOption,
    LimitOption,
    WorkspaceOption,
    opened,
    print_json,
    print_page,
    print_table,
    rows_of,
)

group = typer.Typer(help="List what needed attention, and test where it is sent.", no_args_is_help=True)


@group.command("list")
def list_notifications(
    limit: LimitOption = None, cursor: CursorOption = None, folder: WorkspaceOption = HERE, as_json: JsonOption = False
) -> None:
    """List notifications, newest first."""
    from mrseg_label.reports.notifications import read_notifications

    with opened(folder) as workspace:
        page = read_notifications(workspace.catalog, rows_of(limit, as_json), cursor)
    if as_json:
        print_page(page.items, page.next)
        return
    rows = [(item.created, item.kind.replace("_", " "), item.message, item.ended or "still") for item in page.items]
    print_table(("since", "kind", "message", "until"), rows)


@group.command("test")
def send_a_test(folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Send a test to NOTIFY_WEBHOOK and NOTIFY_EMAIL; exit with 1 if one of them does not take it."""
    from mrseg_label.config import load_settings
    from mrseg_label.notifications.sending import send_test

    found = send_test(load_settings(folder))
    if as_json:
        print_json({str(channel): {"sent": problem is None, "problem": problem} for channel, problem in found.items()})
    else:
        for channel, problem in found.items():
            typer.echo(f"{channel}: {'sent' if problem is None else f'not sent: {problem}'}", err=problem is not None)
    if any(problem is not None for problem in found.values()):
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="notifications")
