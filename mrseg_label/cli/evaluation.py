"""``evaluate``: measure predictions against references."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrseg_label.cli.common import (
    HERE,
    JsonOption,
    WorkspaceOption,
    interruptible,
    opened,
    print_json,
    print_line,
    print_table,
    progress_bar,
)
from mrseg_label.cli.completion import VERSIONS
from mrseg_label.errors import InvalidInput

if TYPE_CHECKING:
    from mrseg_label.catalog.opening import OpenedWorkspace
    from mrseg_label.evaluation.folders import Evaluated
    from mrseg_label.evaluation.tables import Table
    from mrseg_label.intake.options import Refused

SpacingOption = Annotated[
    tuple[float, float, float] | None,
    typer.Option(
        "--spacing",
        metavar="X Y Z",
        help="Resample both masks first, mm: left to right, back to front, bottom to top. The paper has 1.5 1.5 3.",
    ),
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="V",
        help="Model version of the workspace; repeat it to put several side by side. With PREDICTIONS: the name of what made them.",
        autocompletion=VERSIONS,
    ),
]
CohortOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Only participants of this cohort.",
        show_default="held-out cases and all cohorts for evaluation only",
    ),
]
_KEPT = "What the models made and what was measured is kept in the workspace; run the same command again to go on."


def evaluate(
    predictions: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PREDICTIONS]",
            help="Folder of masks, or one mask (.nii.gz, .nii, .nrrd, .mha, .seg.nrrd).",
            show_default=False,
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            metavar="DIR",
            help="Folder of reference masks, paired with the predictions by their names; or one mask.",
        ),
    ] = None,
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
    model: ModelsOption = None,
    cohort: CohortOption = None,
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
    """Measure masks against references, or model versions on held-out cases; exit code 1 if any case was refused."""
    if output is not None and not output.absolute().parent.is_dir():
        raise InvalidInput(f"{output}: its folder does not exist; create it first")
    if predictions is None:
        if reference is not None or not model:
            raise typer.BadParameter("give PREDICTIONS and --reference, or the --model of a workspace")
        _show(_evaluate_versions(folder, model, cohort, spacing, output, as_json), output, as_json)
        return
    if reference is None or cohort is not None or len(model or ()) > 1:
        raise typer.BadParameter(
            "PREDICTIONS need a --reference and one --model at most, which names them; --cohort is of a workspace"
        )
    from mrseg_label.evaluation.folders import evaluate_folders
    from mrseg_label.evaluation.journal import Journal
    from mrseg_label.evaluation.measurements import write_table
    from mrseg_label.evaluation.pairs import Naming
    from mrseg_label.evaluation.schemes import find_scheme

    naming = Naming(
        model[0] if model else predictions.resolve().name, data_set or reference.resolve().name, pattern, csv
    )
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
    model: ModelsOption = None,
    cohort: CohortOption = None,
    spacing: SpacingOption = None,
    forms: Annotated[str, typer.Option("--format", help="Forms to write, separated by commas.")] = "html,md,csv,latex",
    title: Annotated[str, typer.Option(help="Title of the report.")] = "Evaluation",
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write the tables and figures of a paper, of model versions of a workspace (by default the current one) or of tables of cases."""
    from mrseg_label.evaluation.measurements import read_tables
    from mrseg_label.reports.study.document import build_study
    from mrseg_label.reports.study.writing import forms_of, write_study

    wanted = forms_of(forms)
    refused: Sequence[Refused] = ()
    if cases and (model or cohort or spacing):
        raise typer.BadParameter(
            "--model, --cohort and --spacing are of a workspace; give them to evaluate, or leave out --cases"
        )
    if cases:
        with progress_bar("drawing", as_json):
            study = build_study(read_tables(cases), title=title)
    else:
        from mrseg_label.reports.study.workspace import report_versions

        with interruptible(_KEPT), opened(folder) as workspace, progress_bar("evaluating", as_json) as progress:
            study, refused = report_versions(
                workspace,
                model or [_current(workspace)],
                title=title,
                cohort=cohort,
                spacing_mm=spacing,
                progress=progress,
            )
    written = write_study(study, target, wanted)
    if as_json:
        print_json(
            {
                "files": [str(path) for path in written],
                "summary": list(study.summary),
                "refused": [vars(one) for one in refused],
            }
        )
    else:
        for sentence in study.summary:
            print_line(sentence)
        print_line(f"Wrote {len(study.tables)} tables and {len(study.figures)} figures: {written[0]}")
    _refuse(refused)


def _evaluate_versions(
    folder: Path,
    versions: list[str],
    cohort: str | None,
    spacing: tuple[float, float, float] | None,
    output: Path | None,
    as_json: bool,
) -> Evaluated:
    from mrseg_label.evaluation.measurements import write_table
    from mrseg_label.evaluation.versions import evaluate_versions

    with interruptible(_KEPT), opened(folder) as workspace, progress_bar("evaluating", as_json) as progress:
        evaluated, _ = evaluate_versions(workspace, versions, cohort=cohort, spacing_mm=spacing, progress=progress)
    if output is not None:
        write_table(evaluated.table, output)
    return evaluated


def _current(workspace: OpenedWorkspace) -> str:
    from mrseg_label.reports.models import read_current_model

    return read_current_model(workspace.catalog).version


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
    _refuse(evaluated.refused)


def _refuse(refused: Sequence[Refused]) -> None:
    """Say which cases were refused; the command has failed if any was."""
    for one in refused:
        typer.echo(f"refused: {one.source}: {one.reason}", err=True)
    if refused:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("evaluate")(evaluate)
    app.command("report")(report)
