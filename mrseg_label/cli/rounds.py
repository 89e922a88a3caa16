"""``rounds``: training rounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from mrseg_label.cli.common import (
    HERE,
    CursorOption,
    JsonOption,
    LimitOption,
    WorkspaceOption,
    opened,
    print_fields,
    print_json,
    print_line,
    print_list,
    rows_of,
)
from mrseg_label.cli.comparisons import describe_comparison
from mrseg_label.cli.completion import ROUNDS
from mrseg_label.cli.round_text import fold_text, kind_text, model_text, outcome_text, step_text, training_text

if TYPE_CHECKING:
    from mrseg_label.reports.documents.rounds import RoundOut

group = typer.Typer(help="Start, follow, cancel and retry training rounds.", no_args_is_help=True)
Number = Annotated[
    int, typer.Argument(min=1, metavar="NUMBER", help="Number of the round, from `rounds list`.", autocompletion=ROUNDS)
]


@group.command("list")
def list_rounds(
    limit: LimitOption = None,
    cursor: CursorOption = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List all rounds, newest first."""
    from mrseg_label.reports.rounds import read_rounds

    with opened(folder) as workspace:
        page = read_rounds(workspace.catalog, rows_of(limit, as_json), cursor)
    columns = ("round", "state", "profile", "training", "held out", "model", "mean DSC", "of cases", "started", "finished")  # fmt: skip
    print_list(page, as_json, columns, _row)


def _row(item: RoundOut) -> tuple[object, ...]:
    return (
        item.number,
        item.state,
        item.profile,
        item.snapshot.training,
        item.snapshot.held_out,
        model_text(item.model_version, item.result.get("promoted")),
        item.result.get("mean_dsc"),
        item.result.get("held_out_cases"),
        item.started,
        item.finished,
    )


@group.command("show")
def show(number: Number, folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Show a round: its state, progress, snapshot and result."""
    from mrseg_label.reports.rounds import read_round

    with opened(folder) as workspace:
        document = read_round(workspace.catalog, number)
    if as_json:
        print_json(document)
        return
    snapshot = document.snapshot
    fields: list[tuple[str, object]] = [
        ("round", document.number),
        ("state", f"{document.state} (attempt {document.attempt})"),
        ("profile", kind_text(document)),
        ("training", training_text(document)),
        ("starts from", document.parent),
        ("snapshot", f"{snapshot.training} training cases, {snapshot.held_out} held-out cases; {snapshot.digest}"),
        ("started", document.started),
        ("finished", document.finished),
        *((f"progress: {key}", value) for key, value in document.progress.items()),
        *((f"fold {item.fold}", fold_text(item)) for item in document.folds),
        *((f"result: {key}", value) for key, value in document.result.items()),
        ("compared", describe_comparison(document.result.get("comparison"))),
        *((f"left out: {item.examination}", f"{item.role}: {item.reason}") for item in document.left_out),
        ("error", document.error),
    ]
    print_fields(fields)


@group.command("start")
def start(
    final: Annotated[
        bool,
        typer.Option("--final", help="Train the ensemble that a project ends with: five folds, cross-validated."),
    ] = False,
    include_held_out: Annotated[
        bool,
        typer.Option(
            "--include-held-out",
            help="With --final: train on the held-out participants too. The version cannot be compared with others then.",
        ),
    ] = False,
    pretrain: Annotated[
        bool,
        typer.Option(
            "--pretrain", help="Learn from drafts of cases that nobody corrected; the next round starts from it."
        ),
    ] = False,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Start a round on everything that is annotated now."""
    from mrseg_label.reports.rounds import read_round
    from mrseg_label.rounds import service

    with opened(folder) as workspace:
        document = read_round(
            workspace.catalog,
            service.start(workspace, final=final, include_held_out=include_held_out, pretrain=pretrain),
        )
    if as_json:
        print_json(document)
    else:
        print_line(f"Round {document.number} is queued. Follow it with: mrseg-label rounds follow {document.number}")


@group.command("follow")
def follow(
    number: Annotated[
        int | None,
        typer.Argument(
            min=1,
            metavar="[NUMBER]",
            help="Number of the round.",
            show_default="the round in progress, else the newest",
        ),
    ] = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Follow a round until it has ended; exit with 1 if it failed or was cancelled. Ctrl-C leaves the round running."""
    from mrseg_label.reports.rounds import follow_round, read_followed_round

    with opened(folder) as workspace:
        document = read_followed_round(workspace.catalog, number)
        try:
            document = _show_progress(follow_round(workspace.catalog, document.number), document)
        except KeyboardInterrupt:
            again = f"mrseg-label rounds follow {document.number}"
            typer.echo(f"Stopped following; round {document.number} goes on. Follow it again with: {again}", err=True)
            raise typer.Exit(130) from None
    if as_json:
        print_json(document)
    else:
        print_line(outcome_text(document))
    if document.state != "done":
        raise typer.Exit(1)


@group.command("cancel")
def cancel(number: Number, folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Cancel a round."""
    from mrseg_label.reports.rounds import read_round
    from mrseg_label.rounds import service

    with opened(folder) as workspace:
        service.cancel(workspace, number)
        document = read_round(workspace.catalog, number)
    if as_json:
        print_json(document)
    elif document.finished:
        print_line(f"Round {number} is {document.state}.")
    else:
        print_line(f"Round {number} will be cancelled as soon as its processes have ended.")


@group.command("retry")
def retry(number: Number, folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Retry a failed or cancelled round, with its snapshot and from its last checkpoint."""
    from mrseg_label.reports.rounds import read_round
    from mrseg_label.rounds import service

    with opened(folder) as workspace:
        service.retry(workspace, number)
        document = read_round(workspace.catalog, number)
    if as_json:
        print_json(document)
    else:
        print_line(f"Round {number} is queued again (attempt {document.attempt}).")


@group.command("log")
def log(
    number: Number,
    fold: Annotated[int | None, typer.Option(min=0, metavar="K", help="Only the log of this fold.")] = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Print the log of a round's training, or the end of a long one."""
    from mrseg_label.reports.rounds import read_log
    from mrseg_label.rounds import service

    with opened(folder) as workspace:
        text = read_log(workspace, number, fold)
    if as_json:
        print_json({"round": number, "file": str(service.log_path(workspace, number)), "log": text})
    else:
        typer.echo(text, nl=False)


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="rounds")


def _show_progress(changes: Iterable[RoundOut], document: RoundOut) -> RoundOut:
    """Show a round on standard error: a bar on a terminal, elsewhere a line for each step. Returns its last state."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    step = ""
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(step, total=1.0)
        for document in changes:
            before, step = step, step_text(document)
            bar.update(task, description=step, completed=document.progress.get("fraction") or 0.0)
            if not console.is_terminal and step != before:
                typer.echo(step, err=True)
    return document
