"""``doctor``: check the installation and the workspace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mrseg_label.cli.common import HERE, JsonOption, WorkspaceOption, interruptible, print_json, progress_bar

if TYPE_CHECKING:
    from mrseg_label.maintenance import checks

_COLORS = {"ok": "green", "warning": "yellow", "failed": "red"}


def doctor(
    folder: WorkspaceOption = HERE,
    verify: Annotated[bool, typer.Option("--verify", help="Recheck the digest of every stored file.")] = False,
    mend: Annotated[
        bool,
        typer.Option(
            "--mend",
            help="Close what others on this machine can read in the workspace, and correct wrong counts of cases.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check installation and workspace, and show how to fix what is missing; exit with 1 if a check fails."""
    from mrseg_label.maintenance import checks

    with (
        interruptible("Nothing was changed but what a check had mended. Run the same command again."),
        progress_bar("checking files" if verify else "checking", quiet=as_json) as progress,
    ):
        found = checks.check_workspace(folder, verify=verify, progress=progress, mend=mend)
        done = [*checks.check_installation(), *found]
    failed = any(check.state is checks.State.FAILED for check in done)
    if as_json:
        documents = [{"name": c.name, "state": str(c.state), "detail": c.detail, "advice": c.advice} for c in done]
        print_json({"ok": not failed, "checks": documents})
    else:
        _print(done)
    if failed:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("doctor")(doctor)


def _print(done: Sequence[checks.Check]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    for check in done:
        console.print(
            f"[{_COLORS[check.state]}]{check.state:>7}[/] [bold]{check.name}[/] {escape(check.detail)}", soft_wrap=True
        )
        if check.advice:
            console.print(f"        {escape(check.advice)}", soft_wrap=True)
