"""The command ``mrseg-label``, one module for each group of commands.

Each module has a ``register(app)``. Heavy imports stand inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from mrseg_label.cli import (
    annotation,
    backup,
    blind_readings,
    cases,
    channels,  # noqa: F401 - adds a command to the group of lists
    demo,
    doctor,
    doubts,
    effort,
    evaluation,
    examination_actions,  # noqa: F401 - adds commands to the group of lists
    examinations,  # noqa: F401 - adds a command to the group of lists
    export,
    import_,
    jobs,
    learning_curve,
    lists,
    model_import,  # noqa: F401 - adds commands to the group of models
    models,
    notifications,
    overview,
    quality,
    retention,
    rounds,
    sending,  # noqa: F401 - adds a command to the group of annotations
    serving,
    users,
    workspace,
)
from mrseg_label.errors import MrsegError

app = typer.Typer(
    name="mrseg-label",
    help="Annotation server for whole-body MR segmentation: pre-segment, correct in 3D Slicer, retrain, repeat.",
    epilog="Start with: mrseg-label demo, or mrseg-label init DIR.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
# The panels of --help, in its order, and the modules whose commands they show.
_PANELS = {
    "Workspace": (workspace, overview, demo, doctor, backup, retention),
    "Data": (import_, lists, export),
    "Server and accounts": (serving, jobs, notifications, users),
    "Annotation": (cases, annotation, quality, doubts),
    "Training": (rounds, models),
    "Study": (evaluation, effort, learning_curve, blind_readings),
}
for panel, modules in _PANELS.items():
    part = typer.Typer()
    for module in modules:
        module.register(part)
    for command in part.registered_commands:
        command.rich_help_panel = panel
    for group in part.registered_groups:
        group.rich_help_panel = panel
    app.registered_commands += part.registered_commands
    app.registered_groups += part.registered_groups


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
) -> None:
    if version:
        import mrseg_label

        typer.echo(mrseg_label.__version__)
        raise typer.Exit
    from mrseg_label.private import access_of_this_process

    context.with_resource(access_of_this_process())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line.

    The exit code is 0 for done, 1 for failed, 2 for wrong usage or settings, 130 for ended by Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not end a command
            stream.reconfigure(errors="backslashreplace")
    try:
        app(args=None if arguments is None else list(arguments), prog_name="mrseg-label")
    except (MrsegError, OSError, MemoryError) as error:
        sys.exit(_report(error))
    sys.exit(0)


def _report(error: MrsegError | OSError | MemoryError) -> int:
    """Print an error as a sentence; returns the exit code."""
    from mrseg_label.failures import explain

    explained = explain(error) or error
    if isinstance(explained, OSError) and explained.filename is not None:
        text = f"{explained.strerror}: {explained.filename}"
    elif isinstance(explained, MrsegError):
        file = getattr(explained, "file", None)
        text = f"{explained} ({file})" if file else str(explained)
    else:
        raise error  # neither the user nor the machine can mend it: the traceback tells the programmer
    typer.echo(f"mrseg-label: {text}", err=True)
    return explained.exit_code if isinstance(explained, MrsegError) else 1
