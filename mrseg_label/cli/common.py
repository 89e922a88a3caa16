"""What the commands share: options, an opened workspace, output."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from mrseg_label.catalog.opening import OpenedWorkspace
    from mrseg_label.reports.documents.base import Page
    from mrseg_label.reports.documents.effort import MeanOut

# A command's parameter is the folder; the value that `opened` makes of it is the workspace.
WorkspaceOption = Annotated[
    Path,
    typer.Option("--workspace", metavar="DIR", help="Folder of the workspace.", show_default="the current folder"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, nothing else.")]
HERE = Path()
LOCAL = (
    "local"  # actor at the command line: no account, since whoever can write the workspace can change everything anyway
)
NO_LIMIT = 1_000_000  # rows; what programs read is whole lists, not pages
_SHOWN = 50  # rows of a table, unless more are asked for
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", min=1, metavar="N", help="Number of rows.", show_default="50; all with --json"),
]
CursorOption = Annotated[
    str | None, typer.Option("--cursor", metavar="CURSOR", help="Begin behind the rows that were printed before.")
]
_PIPE_WIDTH = 1000  # in a pipe nothing is folded to the width of a terminal that is not there

Command = Callable[..., Any]
Item = TypeVar("Item", bound="BaseModel")


@contextmanager
def opened(folder: Path) -> Iterator[OpenedWorkspace]:
    """Open the workspace in a folder with its catalogue, and close it at the end."""
    from mrseg_label.catalog.opening import open_workspace

    workspace = open_workspace(folder)
    try:
        yield workspace
    finally:
        workspace.close()


@contextmanager
def interruptible(kept: str | Callable[[], str]) -> Iterator[None]:
    """On Ctrl-C say what was kept and how to go on, and exit with 130.

    Parameters
    ----------
    kept : whole sentences, or what makes them at that moment.
    """
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"mrseg-label: stopped by Ctrl-C. {kept if isinstance(kept, str) else kept()}", err=True)
        raise typer.Exit(130) from None


def deprecated_command(group: typer.Typer, name: str, *, use: str) -> Callable[[Command], Command]:
    """Keep an old name of a command: hidden from the help, with a warning on standard error that names the new one."""
    # Click takes a text here and adds it to its warning; Typer hands it on, but declares a bool.
    return group.command(name, hidden=True, deprecated=f"Use: mrseg-label {use}")  # type: ignore[arg-type]


def print_json(document: BaseModel | dict[str, Any]) -> None:
    """Print one JSON document on standard output."""
    content = document if isinstance(document, dict) else document.model_dump(mode="json")
    typer.echo(json.dumps(content, ensure_ascii=False, indent=2))


def rows_of(limit: int | None, as_json: bool) -> int:
    """Return how many rows a list prints."""
    return limit or (NO_LIMIT if as_json else _SHOWN)


def print_page(documents: Sequence[BaseModel], cursor: str | None = None) -> None:
    """Print a list in the form of the REST interface; ``cursor`` is that of the next page, if there is one."""
    print_json({"items": [document.model_dump(mode="json") for document in documents], "next": cursor})


def print_rest(page: Page[Any], total: int | None = None, *, is_first: bool = False) -> None:
    """Print below a table that it leaves rows out, and how to get them.

    Parameters
    ----------
    total : rows of the whole list; None where they are not counted.
    is_first : whether the table began with the first of them.
    """
    if page.next is None:
        return
    left_out = f"{total - len(page.items):,} more" if is_first and total is not None else "more"
    print_line(f"... and {left_out}. All of them: --limit {total or NO_LIMIT}; the next: --cursor {page.next}")


def print_list(
    page: Page[Item], as_json: bool, columns: Sequence[str], row: Callable[[Item], Sequence[object]]
) -> None:
    """Print a page of a list: as one JSON document, or as a table and how to get the rest."""
    if as_json:
        print_page(page.items, page.next)
        return
    print_table(columns, [row(item) for item in page.items])
    print_rest(page)


def print_line(text: str) -> None:
    """Print a line for people on standard output."""
    typer.echo(text)


@contextmanager
def progress_bar(title: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error; yields a function that takes how much is done and how much there is.

    Until that is called for the first time the bar only shows that work goes on. There is none where standard error is no
    terminal.

    Parameters
    ----------
    quiet : show nothing, as with ``--json``.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"))
    times = (TimeElapsedColumn(), TextColumn("{task.fields[left]}"), TimeRemainingColumn(compact=True))
    with Progress(*columns, *times, console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task: TaskID = bar.add_task(title, total=None, count="", left="")

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, count=f"{done:,} of {total:,}", left="left:")

        yield show


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print a table on standard output, columns of numbers aligned to the right."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    filled = [list(row) for row in rows]
    table = Table(title=title, title_justify="left")
    for index, name in enumerate(columns):
        numeric = any(isinstance(row[index], int | float) for row in filled)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in filled:
        table.add_row(*(escape(_cell(value)) for value in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    console.print(table)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one a line, without those that have no value; of nested values only the plain ones."""
    shown = [(name, _cell(value)) for name, value in fields if value is not None]
    width = max((len(name) for name, _ in shown), default=0)
    for name, text in shown:
        typer.echo(f"{name:<{width}}  {text}")


def mean_text(found: MeanOut, digits: int, factor: float = 1.0, unit: str = "") -> str:
    """A mean with its interval in brackets."""
    if found.mean is None:
        return "not measured"
    text = f"{found.mean * factor:,.{digits}f}{unit}"
    if found.low is not None and found.high is not None:
        text += f" ({found.low * factor:,.{digits}f} to {found.high * factor:,.{digits}f})"
    return text


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3f}"
        case int():
            return f"{value:,}"
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M")
        case dict():
            plain = {name: entry for name, entry in value.items() if not isinstance(entry, dict | list)}
            return ", ".join(f"{name} {_cell(entry)}" for name, entry in plain.items())
        case list():
            return f"{len(value)} entries"
    return str(value)
