"""``models``: model versions."""

from __future__ import annotations

from pathlib import Path
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
    print_table,
    progress_bar,
    rows_of,
)
from mrseg_label.cli.completion import VERSIONS
from mrseg_label.cli.model_text import model_fields
from mrseg_label.scoring import MEAN_OF_CASES

if TYPE_CHECKING:
    from mrseg_label.reports.documents.models import ModelOut

group = typer.Typer(help="List, compare, promote, export and import model versions.", no_args_is_help=True)
Version = Annotated[
    str, typer.Argument(metavar="VERSION", help="Name of the version, from `models list`.", autocompletion=VERSIONS)
]


@group.command("list")
def list_models(
    limit: LimitOption = None,
    cursor: CursorOption = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List all versions, newest first."""
    from mrseg_label.reports.models import read_models

    with opened(folder) as workspace:
        page = read_models(workspace.catalog, rows_of(limit, as_json), cursor)
    columns = ("version", "status", "round", "parent", "mean DSC", "held-out cases", "created", "promoted")
    print_list(page, as_json, columns, _row)
    if not as_json:
        print_line(f"Mean DSC: {MEAN_OF_CASES}.")
        print_line(
            "The versions may have been evaluated on different cases; to compare two, use: mrseg-label models compare"
        )


def _row(item: ModelOut) -> tuple[object, ...]:
    mean, cases = item.metrics.get("mean_dsc"), item.metrics.get("held_out_cases")
    return item.version, item.status, item.round, item.parent, mean, cases, item.created, item.promoted


@group.command("show")
def show(version: Version, folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Show a version: its lineage, digests and DSC per structure."""
    from mrseg_label.reports.models import read_model_detail

    with opened(folder) as workspace:
        document = read_model_detail(workspace, version)
    if as_json:
        print_json(document)
        return
    print_fields(model_fields(document))


@group.command("compare")
def compare(
    first: Version,
    second: Annotated[str, typer.Argument(metavar="OTHER", help="Name of another version.", autocompletion=VERSIONS)],
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions on the held-out cases that both were evaluated on."""
    from mrseg_label.reports.comparison import read_comparison

    with progress_bar("comparing", as_json), opened(folder) as workspace:
        document = read_comparison(workspace, first, second)
    if as_json:
        print_json(document)
        return
    rows: list[tuple[object, ...]] = [
        ("mean", document.cases, *document.mean_dsc, _difference(*document.mean_dsc)),
    ]
    rows += [
        (name, document.structure_cases[name], *values, _difference(*values))
        for name, values in document.structures.items()
    ]
    print_table(
        ("DSC", "cases", first, second, "difference"),
        rows,
        title=f"{document.cases} held-out cases that both were evaluated on",
    )
    print_table(
        ("structures of the group", "participants", "difference", "low", "high", "p"),
        [
            (name, found.participants, found.mean, found.low, found.high, found.p)
            for name, found in [
                ("all", document.difference),
                *([("all, corrected", document.corrected)] if document.draft_advantage else []),
                *document.groups.items(),
            ]
        ],
        title=f"Difference over participants with its {document.interval}",
    )
    if document.draft_advantage:
        print_line(
            f"The labels began as drafts, which favours {first if document.draft_advantage > 0 else second} by about "
            f"{abs(document.draft_advantage):.3f} DSC; 'all, corrected' is without that."
        )
    if not document.corrected.clear:
        print_line(
            "Uncertain: noise could be the reason of this difference, or there are too few participants to tell."
        )
    if document.drafted_by_these:
        print_line(
            f"{document.drafted_by_these} of the labels were corrected from drafts by one of the two, which favours it."
        )
    if document.false_positives:
        print_table(
            ("structures that are not there", first, second),
            [(name, *cases) for name, cases in document.false_positives.items()],
            title="Cases with false positives",
        )
        if document.false_positive_ml.mean is not None:
            print_line(f"False positives: {document.false_positive_ml.mean:+.1f} ml in a case.")
    print_line(f"Mean DSC: {document.rule}.")


@group.command("promote")
def promote(version: Version, folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Promote a version: from now on it makes the drafts."""
    from mrseg_label.registry import service
    from mrseg_label.reports.documents.models import ModelOut

    with opened(folder) as workspace:
        document = ModelOut.of(service.promote(workspace, version))
    if as_json:
        print_json(document)
    else:
        print_line(f"{version} now makes the drafts.")


@group.command("rollback")
def rollback(folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Roll back to the version that was current before this one."""
    from mrseg_label.registry import service
    from mrseg_label.reports.documents.models import ModelOut

    with opened(folder) as workspace:
        document = ModelOut.of(service.rollback(workspace))
    if as_json:
        print_json(document)
    else:
        print_line(f"{document.version} makes the drafts again.")


@group.command("export")
def export(
    version: Version,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Zip file to write; nnUNetv2_install_pretrained_model_from_zip installs it."
        ),
    ],
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Export a version to a zip file."""
    from mrseg_label.registry import service

    with progress_bar("exporting", as_json), opened(folder) as workspace:
        written = service.export(workspace, version, file)
    size = written.stat().st_size
    if as_json:
        print_json({"version": version, "file": str(written), "bytes": size})
    else:
        print_line(f"Wrote {version} to {written} ({size / 1e6:.1f} MB).")


@group.command("card")
def card(version: Version, folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Show the card of the data set that a version was trained on."""
    from mrseg_label.reports.models import read_card

    with opened(folder) as workspace:
        document = read_card(workspace.catalog, version)
    if as_json:
        print_json(document)
    else:
        typer.echo(document.text, nl=False)


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="models")


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else second - first
