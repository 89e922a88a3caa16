"""``mrseg-label import``: images into the catalogue."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mrseg_label.intake.options import ImportReport

_SHOWN = 20


def import_images(
    paths: Annotated[list[Path], typer.Argument(help="Images (.nii.gz, .nii, .nrrd, .mha) or folders of them.")],
    workspace: Annotated[Path, typer.Option(help="The workspace.", show_default="the current folder")] = Path(),
    participant: Annotated[str | None, typer.Option(help="Code of the participant whose images these all are.")] = None,
    pattern: Annotated[
        str | None,
        typer.Option(help="Where the names stand in a path: '{participant}/{station}_{sequence}.nii.gz'; also {session}, and * for anything."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="Table with the columns participant, sex, age; by default participants.csv or .tsv of an imported folder."),
    ] = None,
    orientation: Annotated[
        str | None, typer.Option(help="Where the axes point in files that do not say it, for example LPS.")
    ] = None,
    primary: Annotated[
        str | None, typer.Option(help="Sequence of a group to draft on and to open, best first: 'water,in'.")
    ] = None,
    reference: Annotated[bool, typer.Option("--reference", help="Refer to files where they lie instead of copying them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen and store nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Bring images into the catalogue; exit code 1 if any was refused."""
    from mrseg_label.catalog.opening import open_workspace
    from mrseg_label.intake.options import ImportOptions
    from mrseg_label.intake.sequences import PRIMARY_SEQUENCES
    from mrseg_label.intake.service import check_options, import_paths

    preferred = tuple(name.strip() for name in (primary or "").split(",") if name.strip())
    options = ImportOptions(
        pattern=pattern,
        participant=participant,
        csv=csv,
        orientation=orientation,
        reference=reference,
        dry_run=dry_run,
        primary_sequences=(*preferred, *PRIMARY_SEQUENCES),
    )
    check_options(options)
    opened, catalog = open_workspace(workspace)
    try:
        report = _with_progress(lambda progress: import_paths(opened, catalog, paths, options, progress), quiet=as_json)
    finally:
        catalog.close()
    if as_json:
        typer.echo(json.dumps(report.to_json(), ensure_ascii=False, indent=2))
    else:
        _print(report)
    if report.refused:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the command ``import`` to the application."""
    app.command("import")(import_images)


def _with_progress(work: Callable[[Callable[[int, int], None]], ImportReport], quiet: bool) -> ImportReport:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("importing", total=None)
        return work(lambda done, total: bar.update(task, completed=done, total=total))


def _print(report: ImportReport) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if report.accepted:
        table = Table("examination", "participant", "station", "sequence", "voxels", "spacing, mm", "axes")
        for entry in report.accepted[:_SHOWN]:
            geometry = entry.geometry
            table.add_row(
                entry.id,
                escape(entry.participant),
                escape(entry.station),
                escape(entry.sequence),
                " x ".join(map(str, geometry.shape)),
                " x ".join(f"{value:.4g}" for value in geometry.spacing_mm),
                geometry.axcodes,
            )
        console.print(table)
        if len(report.accepted) > _SHOWN:
            console.print(f"... and {len(report.accepted) - _SHOWN} more")
    for entry in report.accepted:
        for warning in entry.warnings:
            console.print(f"[yellow]{escape(entry.source)}[/]: {escape(warning)}", soft_wrap=True)
    for refusal in report.refused:
        console.print(f"[red]refused[/] {escape(refusal.source)}: {escape(refusal.reason)}", soft_wrap=True)
    verb = "would be accepted" if report.dry_run else "accepted"
    console.print(f"{len(report.accepted)} {verb}, {len(report.refused)} refused, {report.unchanged} unchanged")
