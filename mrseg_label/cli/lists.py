"""``examinations``, ``assignments`` and ``participants``: what a workspace holds."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from mrseg_label.cli.common import (
    HERE,
    LOCAL,
    CursorOption,
    JsonOption,
    LimitOption,
    WorkspaceOption,
    opened,
    print_json,
    print_line,
    print_page,
    print_rest,
    print_table,
    rows_of,
)
from mrseg_label.cli.completion import ACCOUNTS

examinations = typer.Typer(help="List the images of a workspace.", no_args_is_help=True)
assignments = typer.Typer(help="List who has which case.", no_args_is_help=True)
participants = typer.Typer(help="List participants.", no_args_is_help=True)
ParticipantOption = Annotated[
    str | None, typer.Option("--participant", metavar="CODE", help="Only those of this participant.")
]


@examinations.command("list")
def list_examinations(
    participant: ParticipantOption = None,
    station: Annotated[str | None, typer.Option(metavar="NAME", help="Only images of this station.")] = None,
    sequence: Annotated[str | None, typer.Option(metavar="NAME", help="Only images of this sequence.")] = None,
    state: Annotated[
        Literal["waiting", "assigned", "awaiting_review", "annotated", "excluded", "no_image"] | None,
        typer.Option(help="Only images whose case is in this state."),
    ] = None,
    swap: Annotated[
        Literal["suspected", "confirmed", "none"] | None,
        typer.Option(help="Only images in which fat and water may be, are, or are not exchanged."),
    ] = None,
    misregistration: Annotated[
        Literal["suspected", "confirmed", "none"] | None,
        typer.Option(
            help="Only images that may lie, do lie, or do not lie elsewhere than others of their acquisition."
        ),
    ] = None,
    priority: Annotated[
        Literal["high", "normal", "low"] | None, typer.Option(help="Only images whose case has this priority.")
    ] = None,
    sort: Annotated[
        Literal["stored", "-stored", "station", "-station", "sequence", "-sequence"],
        typer.Option(help="By what to sort; with - in front the other way round."),
    ] = "-stored",
    limit: LimitOption = None,
    cursor: CursorOption = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List images, newest first unless sorted otherwise, with the state of their case."""
    from mrseg_label.catalog.channel_types import Misregistration
    from mrseg_label.catalog.queries.examinations import ExaminationFilter
    from mrseg_label.catalog.types import CaseState, Priority, SwapState
    from mrseg_label.reports.examinations import count_examinations, parse_sort, read_examinations

    wanted = ExaminationFilter(
        station,
        sequence,
        state=CaseState(state) if state else None,
        participant=participant,
        swap=SwapState(swap) if swap else None,
        misregistration=Misregistration(misregistration) if misregistration else None,
        priority=Priority(priority) if priority else None,
    )
    with opened(folder) as workspace:
        page = read_examinations(workspace.catalog, wanted, rows_of(limit, as_json), cursor, sort=parse_sort(sort))
        total = count_examinations(workspace.catalog, wanted) if page.next and not as_json else 0
    if as_json:
        print_page(page.items, page.next)
        return
    columns = (
        "examination",
        "participant",
        "station",
        "sequence",
        "opened",
        "state",
        "priority",
        "voxels",
        "spacing, mm",
        "imported",
    )
    rows = [
        (
            item.id,
            item.participant,
            item.station,
            item.sequence,
            item.primary,
            item.state.replace("_", " "),
            item.priority,
            " x ".join(map(str, item.shape)),
            " x ".join(f"{value:.4g}" for value in item.spacing_mm),
            item.created,
        )
        for item in page.items
    ]
    print_table(columns, rows)
    print_rest(page, total, is_first=cursor is None)


@assignments.command("list")
def list_assignments(
    reader: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Only those of this account; without sign-in, of this user name in Slicer.",
            autocompletion=ACCOUNTS,
        ),
    ] = None,
    participant: ParticipantOption = None,
    state: Annotated[
        Literal["open", "submitted", "returned", "expired", "all"],
        typer.Option(help="Cases that readers have now, or assignments that ended in this way."),
    ] = "open",
    limit: LimitOption = None,
    cursor: CursorOption = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List assignments, newest first: by default the cases that readers have now."""
    from mrseg_label.catalog.queries.assignments import AssignmentFilter
    from mrseg_label.catalog.types import AssignmentOutcome
    from mrseg_label.reports.worklist import count_assignments, read_assignments

    outcome = AssignmentOutcome(state) if state not in ("open", "all") else None
    wanted = AssignmentFilter(reader, participant, True if state == "open" else None, outcome)
    with opened(folder) as workspace:
        page = read_assignments(workspace.catalog, wanted, rows_of(limit, as_json), cursor)
        total = count_assignments(workspace.catalog, wanted) if page.next and not as_json else 0
    if as_json:
        print_page(page.items, page.next)
        return
    columns = (
        "reader",
        "examination",
        "participant",
        "station",
        "purpose",
        "state",
        "since",
        "until",
        "ended",
        "reason",
    )
    rows = [
        (
            item.reader,
            item.examination,
            item.participant,
            item.station,
            item.purpose.replace("_", " "),
            item.state,
            item.created,
            item.until,
            item.ended,
            item.reason,
        )
        for item in page.items
    ]
    print_table(columns, rows)
    print_rest(page, total, is_first=cursor is None)


@participants.command("list")
def list_participants(
    held_out: Annotated[
        bool | None, typer.Option("--held-out/--training", help="Only those that models are tested on, or trained on.")
    ] = None,
    excluded: Annotated[
        bool | None, typer.Option("--excluded/--included", help="Only those that are excluded, or that are not.")
    ] = None,
    incomplete: Annotated[
        bool | None, typer.Option("--incomplete/--complete", help="Only those whose sex or age is unknown, or known.")
    ] = None,
    evaluation_only: Annotated[
        bool | None,
        typer.Option("--evaluation-only/--in-study", help="Only those kept for evaluation only, or only the others."),
    ] = None,
    cohort: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of this cohort.")] = None,
    limit: LimitOption = None,
    cursor: CursorOption = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List participants by code, with what there is of each."""
    from mrseg_label.catalog.queries.participants import ParticipantFilter
    from mrseg_label.reports.worklist import count_participants, read_participants

    wanted = ParticipantFilter(held_out, excluded, incomplete, evaluation_only, cohort)
    with opened(folder) as workspace:
        page = read_participants(workspace.catalog, wanted, rows_of(limit, as_json), cursor)
        total = count_participants(workspace.catalog, wanted) if page.next and not as_json else 0
    if as_json:
        print_page(page.items, page.next)
        return
    columns = ("participant", "sex", "age", "held out", "cases", "annotated", "images", "cohort", "excluded")
    rows = [
        (
            item.code,
            item.sex,
            None if item.age is None else f"{item.age:g}",
            item.held_out,
            item.cases,
            item.annotated,
            item.examinations,
            item.cohort,
            "for evaluation only" if item.evaluation_only else item.excluded,
        )
        for item in page.items
    ]
    print_table(columns, rows)
    print_rest(page, total, is_first=cursor is None)


@participants.command("admit")
def admit_participants(
    codes: Annotated[list[str] | None, typer.Argument(metavar="[CODE...]", help="Codes of participants.")] = None,
    cohort: Annotated[
        str | None, typer.Option(metavar="NAME", help="All participants of this cohort, instead of named ones.")
    ] = None,
    author: Annotated[str, typer.Option(metavar="NAME", help="Name to record.", show_default=LOCAL)] = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Admit participants kept for evaluation only: readers get their cases and models learn from them from now on."""
    from mrseg_label.intake.cohorts import admit

    with opened(folder) as workspace:
        admitted = admit(workspace.catalog, codes or [], cohort, actor=author)
    if as_json:
        print_json({"admitted": admitted})
    else:
        print_line(
            f"Admitted {len(admitted):,} {'participant' if len(admitted) == 1 else 'participants'} to the study."
        )


def register(app: typer.Typer) -> None:
    """Add the groups to the application."""
    app.add_typer(examinations, name="examinations")
    app.add_typer(participants, name="participants")
    app.add_typer(assignments, name="assignments")
