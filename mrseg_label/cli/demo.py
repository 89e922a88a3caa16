"""``demo``: the whole loop on sample data."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mrseg_label.cli.common import JsonOption, interruptible
from mrseg_label.simulation.listener import DemoListener

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mrseg_label.simulation.server import Server

_DEFAULT_WORKSPACE = Path("mrseg-demo")
_PIPE_WIDTH = 160  # in a pipe nothing is cut to the width of a terminal that is not there
SLICER_PORT = 8000  # where Slicer's module looks by default


def demo(
    folder: Annotated[
        Path,
        typer.Option(
            "--workspace",
            metavar="DIR",
            help="New or empty folder for the demo's workspace, or that of a demo to go on with.",
        ),
    ] = _DEFAULT_WORKSPACE,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Number of training rounds.")] = 2,
    round_size: Annotated[int, typer.Option(min=2, max=100, help="Number of corrected cases a round.")] = 8,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the report to this file.")] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Keep the server running afterwards, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the whole loop on sample data: simulated radiologists correct drafts, and the model learns from them."""
    from rich.console import Console

    from mrseg_label.errors import ConfigurationError
    from mrseg_label.paths import quoted
    from mrseg_label.simulation.demo import DemoOptions, run_demo

    if report is not None and not report.absolute().parent.is_dir():
        raise ConfigurationError(
            f"--report {report}: the folder {report.absolute().parent} does not exist; create it first"
        )
    console = Console(stderr=as_json)
    options = DemoOptions(folder, rounds=rounds, round_size=round_size, port=_slicer_port() if serve else None)

    def finish(server: Server, result: dict[str, Any]) -> None:
        listener.close()
        text = json.dumps(result, indent=2) + "\n"
        if report is not None:
            report.write_text(text, encoding="utf-8")
        if as_json:
            typer.echo(text, nl=False)
        _print_result(console, result, options.reports)
        if serve:
            _keep_serving(console, server)

    listener = ConsoleListener(console)
    signal.signal(signal.SIGTERM, _exit_on_signal)
    again = f"mrseg-label demo --workspace {quoted(folder)} --rounds {rounds} --round-size {round_size}"
    kept = f"What was done is kept in {folder.absolute()}. Go on with: {again}"
    with interruptible(kept), listener:
        run_demo(options, listener, finish)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("demo")(demo)


def _exit_on_signal(number: int, _: object) -> None:
    """Exit in good order, and stop the server and everything else that was started."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would leave what the first began to end
    raise SystemExit(128 + number)


class ConsoleListener(DemoListener):
    """Show a progress bar for the present phase, and a line for each phase that has ended."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            disable=console.stderr or not console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=None, note="", visible=False)
        self._title = ""

    def __enter__(self) -> ConsoleListener:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the progress bar."""
        self._progress.stop()

    def phase(self, title: str, total: float | None = None) -> None:
        self._end_phase()
        self._title = title
        self._task = self._progress.add_task(title, total=total, note="")

    def advance(self, done: float, note: str = "", total: float | None = None) -> None:
        self._progress.update(self._task, completed=done, total=total)
        if note:
            self._progress.update(self._task, note=note)

    def round_progress(self, number: int, state: str, progress: Mapping[str, Any]) -> None:  # noqa: ARG002 - of Watcher
        epoch, epochs = progress.get("epoch"), progress.get("epochs")
        if epochs:
            self._progress.update(self._task, completed=epoch, total=epochs, note=f"{state}: epoch {epoch} of {epochs}")
        else:
            self._progress.update(self._task, note=str(progress.get("stage") or state))

    def row(self, row: Mapping[str, Any]) -> None:
        name = "bootstrap" if row["round"] == 0 else f"round {row['round']}"
        self._progress.console.print(
            f"  [green]{name}[/]: mean DSC of the drafts [bold]{row['mean_dsc']:.2f}[/], "
            f"[bold]{row['edited_voxels_per_case']:,}[/] edited voxels per case"
        )

    def note(self, text: str) -> None:
        self._progress.console.print(text)

    def _end_phase(self) -> None:
        if self._title:
            task = next(task for task in self._progress.tasks if task.id == self._task)
            self._progress.remove_task(self._task)
            self._progress.console.print(f"[dim]{self._title}: {task.elapsed or 0:.0f} s[/]")
        else:
            self._progress.remove_task(self._task)


def result_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the demo's table: how good the drafts of each round's model were, and what correcting them cost."""
    from rich.table import Table

    table = Table(title="The drafts of each model", title_justify="left")
    for name in (
        "round",
        "model",
        "cases",
        "mean DSC",
        "held-out DSC",
        "edited voxels per case",
        "relative",
        "training, s",
        "readers, s",
    ):
        table.add_column(name, justify="left" if name in ("round", "model") else "right")
    first = rows[0]["edited_voxels_per_case"]
    for row in rows:
        held_out = row["heldout_dsc"]
        table.add_row(
            str(row["round"]),
            row["model_version"] + ("" if row["promoted"] else " (not promoted)"),
            str(row["cases"]),
            f"{row['mean_dsc']:.3f}",
            "" if held_out is None else f"{held_out:.3f} ({row['heldout_cases']} cases)",
            f"{row['edited_voxels_per_case']:,}",
            f"{row['edited_voxels_per_case'] / first:.0%}" if first else "",
            f"{row['training_seconds']:.0f}",
            f"{row['batch_seconds']:.0f}",
        )
    return table


def _print_result(console: Console, result: Mapping[str, Any], reports: Path) -> None:
    from rich.markup import escape

    table = result_table(result["rounds"])
    if not console.is_terminal:
        from rich.console import Console

        console = Console(stderr=console.stderr, width=max(console.width, _PIPE_WIDTH))
    console.print(table)
    console.print(f"Mean DSC: {result['rule']}.", soft_wrap=True)
    for note in result["notes"]:
        console.print(escape(note), soft_wrap=True)
    console.print(
        f"The demo took {result['seconds']:.0f} s. Report and pictures are in {escape(str(reports))}.", soft_wrap=True
    )


def _keep_serving(console: Console, server: Server) -> None:
    console.print(
        f"\nThe server runs at [bold]{server.url}[/] until Ctrl-C. In 3D Slicer, install the extension MONAILabel and open\n"
        f"the module MONAI Label, enter {server.url} as the server's address, connect, and press Next Sample."
    )
    try:
        server.wait()
    except KeyboardInterrupt:
        console.print("Stopping the server.")


def _slicer_port() -> int | None:
    """Return the port where Slicer looks by default, or None (any free port) if it is taken."""
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", SLICER_PORT))
        except OSError:
            return None
    return SLICER_PORT
