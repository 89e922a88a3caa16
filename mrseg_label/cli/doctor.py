"""``doctor``: is the installation whole?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mrseg_label.cli.common import HERE, JsonOption, WorkspaceOption, print_json, progress_bar

if TYPE_CHECKING:
    from mrseg_label.maintenance import checks


def doctor(
    workspace: WorkspaceOption = HERE,
    verify: Annotated[bool, typer.Option("--verify", help="Recheck every stored digest.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the installation and say how to mend what is missing; exit code 1 if anything failed."""
    from mrseg_label.maintenance import checks

    with progress_bar("checking files", quiet=as_json or not verify) as progress:
        found = [*checks.check_installation(), *checks.check_workspace(workspace, verify=verify, progress=progress)]
    failed = [check for check in found if check.state is checks.State.FAILED]
    if as_json:
        documents = [{"name": c.name, "state": str(c.state), "detail": c.detail, "advice": c.advice} for c in found]
        print_json({"ok": not failed, "checks": documents})
    else:
        _print(found)
    if failed:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("doctor")(doctor)


def _print(found: list[checks.Check]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    colors = {"ok": "green", "warning": "yellow", "failed": "red"}
    for check in found:
        console.print(
            f"[{colors[check.state]}]{check.state:>7}[/] [bold]{check.name}[/] {escape(check.detail)}", soft_wrap=True
        )
        if check.advice:
            console.print(f"        {escape(check.advice)}", soft_wrap=True)
