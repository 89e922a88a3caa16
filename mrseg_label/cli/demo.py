"""``mrseg-label demo``: the whole loop on sample data."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mrseg_label.simulation.watching import Watcher

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mrseg_label.simulation.server import Server

_DEFAULT_WORKSPACE = Path("mrseg-demo")
_WIDE = 160


def demo(
    workspace: Annotated[
        Path, typer.Option(help="Folder for the demo's workspace, new or empty.")
    ] = _DEFAULT_WORKSPACE,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds that train.")] = 2,
    round_size: Annotated[int, typer.Option(min=2, max=100, help="Corrections that start a round.")] = 8,
    report: Annotated[Path | None, typer.Option(help="File for the report, JSON.")] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Keep the server running afterwards, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Make a cohort, serve it, let simulated radiologists correct drafts over HTTP, and see the model learn."""
    from rich.console import Console

    from mrseg_label.errors import ConfigurationError
    from mrseg_label.simulation.demo import DemoOptions, run_demo

    if report is not None and not report.absolute().parent.is_dir():
        raise ConfigurationError(f"the folder of --report {report} does not exist; make it first")
    console = Console(stderr=as_json)
    options = DemoOptions(workspace, rounds=rounds, round_size=round_size, port=_usual_port() if serve else None)

    def finish(server: Server, result: dict[str, Any]) -> None:
        watcher.close()
        text = json.dumps(result, indent=2) + "\n"
        if report is not None:
            report.write_text(text, encoding="utf-8")
        if as_json:
            typer.echo(text, nl=False)
        _print_result(console, result, options.reports)
        if serve:
            _keep_serving(console, server)

    watcher = ConsoleWatcher(console)
    signal.signal(signal.SIGTERM, _leave)
    with watcher:
        run_demo(options, watcher, finish)


def _leave(number: int, _: object) -> None:
    """End in order, with the server and everything else that was started."""
    raise SystemExit(128 + number)


def register(app: typer.Typer) -> None:
    """Add the command ``demo`` to the application."""
    app.command("demo")(demo)


class ConsoleWatcher(Watcher):
    """Progress bars and a line for each phase that has ended."""

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
        )
        self._task = self._progress.add_task("starting", total=None, note="", visible=False)
        self._title = ""

    def __enter__(self) -> ConsoleWatcher:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the progress bar away."""
        self._progress.stop()

    def phase(self, title: str, total: float | None = None) -> None:
        self._end_phase()
        self._title = title
        self._task = self._progress.add_task(title, total=total, note="")

    def advance(self, done: float, note: str = "", total: float | None = None) -> None:
        self._progress.update(self._task, completed=done, total=total)
        if note:
            self._progress.update(self._task, note=note)

    def round_progress(self, number: int, state: str, progress: Mapping[str, Any]) -> None:
        epoch, epochs = progress.get("epoch"), progress.get("epochs")
        if epochs:
            self._progress.update(self._task, completed=epoch, total=epochs, note=f"{state}: epoch {epoch} of {epochs}")
        else:
            self._progress.update(self._task, note=str(progress.get("stage") or state))

    def row(self, row: Mapping[str, Any]) -> None:
        name = "bootstrap" if row["round"] == 0 else f"round {row['round']}"
        self._progress.console.print(
            f"  [green]{name}[/]: mean DSC of the drafts [bold]{row['mean_dsc']:.2f}[/], "
            f"[bold]{row['edited_voxels_per_case']:,}[/] voxels edited a case"
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
    """The demo's table: what the model of each round gave to the readers."""
    from rich.table import Table

    table = Table(title="What the drafts of each model were worth", title_justify="left")
    for name in (
        "round",
        "model",
        "cases",
        "mean DSC",
        "held-out DSC",
        "edited voxels a case",
        "of the first",
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
            "" if held_out is None else f"{held_out:.3f}",
            f"{row['edited_voxels_per_case']:,}",
            f"{row['edited_voxels_per_case'] / first:.0%}" if first else "",
            f"{row['training_seconds']:.0f}",
            f"{row['batch_seconds']:.0f}",
        )
    return table


def _print_result(console: Console, result: Mapping[str, Any], reports: Path) -> None:
    from rich.markup import escape

    table = result_table(result["rounds"])
    if not console.is_terminal:  # in a pipe nothing is cut to the width of a terminal that is not there
        from rich.console import Console

        console = Console(stderr=console.stderr, width=max(console.width, _WIDE))
    console.print(table)
    for note in result["notes"]:
        console.print(escape(note), soft_wrap=True)
    console.print(
        f"{result['seconds']:.0f} s in all; pictures and report lie in {escape(str(reports))}", soft_wrap=True
    )


def _keep_serving(console: Console, server: Server) -> None:
    console.print(
        f"\nThe server is at [bold]{server.url}[/] until Ctrl-C. In 3D Slicer: install the extension MONAILabel, open the module\n"
        f"MONAI Label, enter {server.url} as the server's address, connect, and press Next Sample."
    )
    try:
        server.wait()
    except KeyboardInterrupt:
        console.print("stopping the server")


def _usual_port() -> int | None:
    """Port 8000, where Slicer looks first, if nobody listens there."""
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8000))
        except OSError:
            return None
    return 8000
