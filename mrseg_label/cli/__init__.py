"""The command ``mrseg-label``, one module a command group.

Each module has a ``register(app)``. What is heavy is imported inside the commands, so that ``--help``
answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from mrseg_label.cli import (
    annotation,
    backup,
    cases,
    demo,
    doctor,
    export,
    import_,
    models,
    rounds,
    serving,
    users,
    workspace,
)
from mrseg_label.errors import MrsegError

app = typer.Typer(
    name="mrseg-label",
    help="Annotation server for whole-body MR segmentation: pre-segment, correct in 3D Slicer, retrain, repeat.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for part in (
    demo,
    workspace,
    serving,
    users,
    import_,
    cases,
    annotation,
    rounds,
    models,
    export,
    backup,
    doctor,
):
    part.register(app)


@app.callback(invoke_without_command=True)
def _version(
    version: bool = typer.Option(False, "--version", help="Print the version and end.", is_eager=True),
) -> None:
    if version:
        import mrseg_label

        typer.echo(mrseg_label.__version__)
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command; exit code 0 done, 1 failed, 2 wrong usage or settings."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="mrseg-label")
    except MrsegError as error:
        typer.echo(f"mrseg-label: {error}", err=True)
        sys.exit(error.exit_code)
    sys.exit(0)
