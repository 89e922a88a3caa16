"""``rounds``: retraining rounds."""

from __future__ import annotations

from typing import Annotated

import typer

from mrseg_label.cli.common import (
    HERE,
    JsonOption,
    WorkspaceOption,
    opened,
    print_fields,
    print_json,
    print_page,
    print_table,
    say,
)

group = typer.Typer(help="Retraining rounds.", no_args_is_help=True)
Number = Annotated[int, typer.Argument(min=1, help="Number of the round.")]
_ALL = 1_000_000


@group.command("list")
def list_rounds(workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """All rounds, newest first."""
    from mrseg_label.reports.rounds import read_rounds

    with opened(workspace) as work:
        rounds = read_rounds(work.catalog, _ALL).items
    if as_json:
        print_page(rounds)
        return
    columns = ("round", "state", "profile", "training", "held out", "model", "mean DSC", "began", "ended")
    rows = [
        (
            found.number,
            found.state,
            found.profile,
            found.snapshot.training,
            found.snapshot.held_out,
            _model(found.model_version, found.result.get("promoted")),
            found.result.get("mean_dsc"),
            found.started,
            found.finished,
        )
        for found in rounds
    ]
    print_table(columns, rows)


@group.command("show")
def show(number: Number, workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """One round: state, progress, snapshot, result."""
    from mrseg_label.reports.rounds import read_round

    with opened(workspace) as work:
        found = read_round(work.catalog, number)
    if as_json:
        print_json(found)
        return
    fields: list[tuple[str, object]] = [
        ("round", found.number),
        ("state", f"{found.state} (attempt {found.attempt})"),
        ("profile", f"{found.profile}{', all folds' if found.final else ''}"),
        ("starts from", found.parent),
        (
            "snapshot",
            f"{found.snapshot.training} cases to train on, {found.snapshot.held_out} held out; {found.snapshot.digest}",
        ),
        ("began", found.started),
        ("ended", found.finished),
        *((f"progress: {key}", value) for key, value in found.progress.items()),
        *((f"result: {key}", value) for key, value in found.result.items()),
        ("error", found.error),
    ]
    print_fields(fields)


@group.command("start")
def start(
    final: Annotated[
        bool, typer.Option("--final", help="All folds of the profile: the last round of a project.")
    ] = False,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Start a round on all that is annotated."""
    from mrseg_label.reports.rounds import read_round
    from mrseg_label.rounds import service

    with opened(workspace) as work:
        made = read_round(work.catalog, service.start(work, final=final))
    if as_json:
        print_json(made)
    else:
        say(f"round {made.number} waits for a worker; see mrseg-label rounds show {made.number}")


@group.command("cancel")
def cancel(number: Number, workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Ask for the end of a round."""
    from mrseg_label.reports.rounds import read_round
    from mrseg_label.rounds import service

    with opened(workspace) as work:
        service.cancel(work, number)
        now = read_round(work.catalog, number)
    if as_json:
        print_json(now)
    else:
        say(
            f"round {number} is {now.state}"
            if now.finished
            else f"round {number} ends as soon as its processes are dead"
        )


@group.command("retry")
def retry(number: Number, workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Take a failed or cancelled round up again."""
    from mrseg_label.reports.rounds import read_round
    from mrseg_label.rounds import service

    with opened(workspace) as work:
        service.retry(work, number)
        now = read_round(work.catalog, number)
    if as_json:
        print_json(now)
    else:
        say(f"round {number} waits for a worker (attempt {now.attempt})")


@group.command("log")
def log(number: Number, workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """What the training of a round wrote, the end of it if it is long."""
    from mrseg_label.reports.rounds import read_log, read_round
    from mrseg_label.rounds import service

    with opened(workspace) as work:
        read_round(work.catalog, number)
        text = read_log(work, number)
    if as_json:
        print_json({"round": number, "file": str(service.log_path(work, number)), "log": text})
    else:
        typer.echo(text, nl=False)


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="rounds")


def _model(version: str | None, promoted: object) -> str | None:
    return f"{version} (not promoted)" if version and promoted is False else version
