"""``overview``: what the dashboard's first page shows."""

from __future__ import annotations

import typer

from mrseg_label.cli.common import HERE, JsonOption, WorkspaceOption, opened, print_json, print_line, print_table


def overview(folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Show what needs attention, what is annotated, who works on what, and how effort falls from model to model."""
    from mrseg_label.reports.overview import read_overview

    with opened(folder) as workspace:
        document = read_overview(workspace)
    if as_json:
        print_json(document)
        return
    progress, people = document.progress, document.participants
    for item in document.attention:
        print_line(f"Needs attention: {item.message}")
    print_line(
        f"{progress.annotated_since_round} of {progress.round_size} cases to the next round; {progress.annotated_total} annotated, of "
        f"{people.annotated} of {people.total} participants; current model: {document.current_model.version}"
    )
    print_table(
        ("station", "sequence", "cases", "annotated"),
        [(one.station, one.sequence, one.cases, one.annotated) for one in document.coverage],
    )
    if document.assignments:
        print_table(
            ("reader", "examination", "participant", "station", "purpose", "until"),
            [
                (one.reader, one.examination, one.participant, one.station, one.purpose.replace("_", " "), one.until)
                for one in document.assignments
            ],
        )
    if document.running:
        print_table(
            ("running", "on", "machine", "since"),
            [
                (one.kind.replace("_", " "), " ".join(map(str, one.subject.values())), one.machine, one.started)
                for one in document.running
            ],
        )
    print_table(
        ("drafts of", "round", "held-out DSC", "cases corrected", "unchanged", "ml changed a case", "minutes a case"),
        [
            (
                one.effort.model_version,
                one.effort.round,
                one.learning.held_out.mean_dsc,
                one.effort.cases,
                one.effort.unchanged_cases,
                one.effort.edited_ml_per_case,
                None if one.effort.seconds_per_case is None else one.effort.seconds_per_case / 60,
            )
            for one in document.performance
        ],
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("overview")(overview)
