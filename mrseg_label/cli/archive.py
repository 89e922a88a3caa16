"""``import --dicomweb``: list and import studies of an archive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrseg_label.cli.common import interruptible, opened, print_json, print_line, print_table, progress_bar
from mrseg_label.errors import InvalidInput

if TYPE_CHECKING:
    from mrseg_label.dicomweb import DicomwebServer, Query
    from mrseg_label.intake.dicomweb import ListedStudy
    from mrseg_label.intake.options import ImportOptions, ImportReport

# What chooses series of an archive, to fetch from it and to send to it.
StudyDateOption = Annotated[
    str | None, typer.Option(help="Of studies in the archive: 2025-03-01, or 2025-01-01..2025-06-30.")
]
ModalityOption = Annotated[
    str | None, typer.Option(help="Of series in the archive, separated by commas; MR,CT by default.")
]
DescriptionOption = Annotated[
    str | None,
    typer.Option(help="Text in the description of the study or the series; with * a pattern of all of it."),
]
ListOption = Annotated[
    Path | None,
    typer.Option("--list", help="File with a study or series UID or an accession number on each line."),
]

_SHOWN = 20


def query_of(date: str | None, modality: str | None, description: str | None, listed: Path | None) -> Query:
    """Make a query of the options of a command."""
    from mrseg_label.dicomweb.query import parse_query, read_list

    try:
        return parse_query(date or "", modality or "", description or "", read_list(listed) if listed else ())
    except InvalidInput as error:
        raise typer.BadParameter(str(error)) from error


def import_from_archive(
    workspace: Path, url: str | None, query: Query, options: ImportOptions, *, as_json: bool
) -> tuple[ImportReport, str] | None:
    """Import the studies of a query; with ``--dry-run`` list them instead and return None.

    Returns
    -------
    The report, and why the archive could not be asked any further.
    """
    from mrseg_label.dicomweb import DicomwebServer
    from mrseg_label.intake.dicomweb import check_archive_options, import_studies, list_studies
    from mrseg_label.maintenance.sweep import remove_dead_scratch

    try:
        check_archive_options(options)
    except InvalidInput as error:
        raise typer.BadParameter(str(error)) from error
    kept = "The studies that were imported by then are kept. Run the same command again to go on: it leaves them out."
    with (
        interruptible("Nothing was to be stored." if options.dry_run else kept),
        opened(workspace) as opened_workspace,
        progress_bar("studies", quiet=as_json) as progress,
    ):
        server = DicomwebServer(opened_workspace.settings, url)
        if options.dry_run:
            studies = list(list_studies(opened_workspace, server, query))
        else:
            remove_dead_scratch(opened_workspace)
            outcome = import_studies(opened_workspace, server, query, options, progress)
            return outcome.report, outcome.stopped
    _print_studies(server, studies, as_json=as_json)
    return None


def _print_studies(server: DicomwebServer, studies: list[ListedStudy], *, as_json: bool) -> None:
    if as_json:
        print_json({"studies": [one.to_json() for one in studies]})
        return
    rows = [
        (
            one.study.day,
            one.study.description,
            len(one.series),
            sum(series.instances or 0 for series in one.series),
            "imported" if one.known else "to fetch",
            one.study.uid,
        )
        for one in studies[:_SHOWN]
    ]
    if rows:
        print_table(("date", "study", "series", "instances", "state", "UID"), rows)
    if len(studies) > _SHOWN:
        print_line(f"... and {len(studies) - _SHOWN} more (--json lists all)")
    new = [one for one in studies if not one.known]
    count = sum(len(one.series) for one in new)
    print_line(f"{server.name} has {len(studies)} such studies; {len(new)} would be fetched, with {count} series")
