"""``evaluate``: measure predictions against references."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrseg_label.cli.common import (
    HERE,
    JsonOption,
    WorkspaceOption,
    interruptible,
    print_json,
    print_line,
    print_table,
    progress_bar,
)
from mrseg_label.errors import InvalidInput

if TYPE_CHECKING:
    from mrseg_label.evaluation.folders import Evaluated
    from mrseg_label.evaluation.tables import Table

SpacingOption = Annotated[
    tuple[float, float, float] | None,
    typer.Option(
        "--spacing",
        metavar="X Y Z",
        help="Resample both masks first, mm: left to right, back to front, bottom to top. The paper has 1.5 1.5 3.",
    ),
]


def evaluate(
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTIONS", help="Folder of masks, or one mask (.nii.gz, .nii, .nrrd, .mha, .seg.nrrd)."
        ),
    ],
    reference: Annotated[
        Path,
        typer.Option(
            "--reference",
            metavar="DIR",
            help="Folder of reference masks, paired with the predictions by their names; or one mask.",
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Structures to measure: a label scheme (TSV) or nnU-Net's dataset.json.",
            show_default="the workspace's, else MRSegmentator's 40",
        ),
    ] = None,
    prediction_labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Names of the label ids of the predictions.",
            show_default="dataset.json in their folder, else --labels",
        ),
    ] = None,
    reference_labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Names of the label ids of the references.",
            show_default="dataset.json in their folder, else --labels",
        ),
    ] = None,
    spacing: SpacingOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Table to write, one row for each structure of each case; report reads it. An evaluation that was cut off goes on.",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Name of what made the predictions.", show_default="the name of their folder"
        ),
    ] = "",
    data_set: Annotated[
        str,
        typer.Option(
            "--data-set",
            metavar="NAME",
            help="Name of the data set.",
            show_default="the name of the folder of references",
        ),
    ] = "",
    pattern: Annotated[
        str | None,
        typer.Option(
            help="Pattern of the paths of references: '{participant}/{station}_{sequence}.nii.gz'; also * for any text."
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Table with the columns participant, sex, age.")] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Number of processes.", show_default="as many as cores, 8 at most"),
    ] = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Measure predictions against references: DSC, HD95, NSD and volumes of every structure; exit code 1 if any case was refused."""
    from mrseg_label.evaluation.folders import evaluate_folders
    from mrseg_label.evaluation.journal import Journal
    from mrseg_label.evaluation.measurements import write_table
    from mrseg_label.evaluation.pairs import Naming
    from mrseg_label.evaluation.schemes import find_scheme

    naming = Naming(model or predictions.resolve().name, data_set or reference.resolve().name, pattern, csv)
    if output is not None and not output.absolute().parent.is_dir():
        raise InvalidInput(f"{output}: its folder does not exist; create it first")
    journal = Journal(output.with_name(f"{output.name}.partial")) if output is not None else None
    kept = (
        f"What is finished is kept beside {output}; run the same command again to go on."
        if journal
        else "Nothing was kept; with --output CSV an evaluation can go on."
    )
    with interruptible(kept), progress_bar("evaluating", as_json) as progress:
        evaluated = evaluate_folders(
            predictions,
            reference,
            find_scheme(labels, folder),
            naming,
            prediction_labels=prediction_labels or labels,
            reference_labels=reference_labels or labels,
            spacing_mm=spacing,
            processes=processes,
            journal=journal,
            progress=progress,
        )
    if output is not None and journal is not None:
        write_table(evaluated.table, output)
        journal.remove()
    _show(evaluated, output, as_json)


def report(
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to; created if it does not exist.")],
    cases: Annotated[
        list[Path] | None,
        typer.Option(metavar="CSV", help="Table that evaluate wrote; several are models or data sets side by side."),
    ] = None,
    forms: Annotated[str, typer.Option("--format", help="Forms to write, separated by commas.")] = "html,md,csv,latex",
    title: Annotated[str, typer.Option(help="Title of the report.")] = "Evaluation",
    as_json: JsonOption = False,
) -> None:
    """Write the tables and figures of a paper: composition, quality by sequence and structure, models side by side, age, sex."""
    from mrseg_label.evaluation.measurements import read_tables
    from mrseg_label.reports.study.document import build_study
    from mrseg_label.reports.study.writing import forms_of, write_study

    wanted = forms_of(forms)
    with progress_bar("drawing", as_json):
        study = build_study(read_tables(cases or []), title=title)
        written = write_study(study, target, wanted)
    if as_json:
        print_json({"files": [str(path) for path in written], "summary": list(study.summary)})
        return
    for sentence in study.summary:
        print_line(sentence)
    print_line(f"Wrote {len(study.tables)} tables and {len(study.figures)} figures: {written[0]}")


def print_cells(table: Table) -> None:
    """Print a table of a study."""
    print_table([column.heading for column in table.columns], table.cells, f"{table.number}: {table.title}")


def _show(evaluated: Evaluated, output: Path | None, as_json: bool) -> None:
    from mrseg_label.evaluation.descriptions import by_sequence, by_structure
    from mrseg_label.reports.evaluation import describe

    if as_json:
        print_json(describe(evaluated))
    elif len(evaluated.table):
        for model in evaluated.table["model"].unique():
            print_cells(by_structure(evaluated.table, model))
        sequences = by_sequence(evaluated.table)
        print_cells(sequences)
        for note in (*sequences.notes, *evaluated.notes):
            print_line(note)
        if output is not None:
            print_line(f"Wrote {output}. Tables and figures of it: mrseg-label report OUT --cases {output}")
    for one in evaluated.refused:
        typer.echo(f"refused: {one.source}: {one.reason}", err=True)
    if evaluated.refused:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("evaluate")(evaluate)
    app.command("report")(report)
