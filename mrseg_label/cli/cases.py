"""``cases``: assign a case to a reader, return it to the queue, mark it unusable; a reader's own work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mrseg_label.cli.common import (
    HERE,
    LOCAL,
    CursorOption,
    JsonOption,
    LimitOption,
    WorkspaceOption,
    deprecated_command,
    opened,
    print_fields,
    print_json,
    print_line,
    print_rest,
    print_table,
    rows_of,
)
from mrseg_label.cli.completion import ACCOUNTS, EXAMINATIONS

if TYPE_CHECKING:
    from mrseg_label.catalog.opening import OpenedWorkspace
    from mrseg_label.catalog.reader import Reader

group = typer.Typer(help="Assign cases to readers, return them to the queue, mark them unusable.", no_args_is_help=True)
Examination = Annotated[
    str, typer.Argument(metavar="EXAMINATION", help="Id of an examination of the case.", autocompletion=EXAMINATIONS)
]
ReaderName = Annotated[
    str,
    typer.Option(
        "--reader",
        metavar="NAME",
        help="Account of the reader; without sign-in the user name in Slicer.",
        autocompletion=ACCOUNTS,
    ),
]


@group.command("assign")
@deprecated_command(group, "take", use="cases assign")
def assign(
    reader: ReaderName,
    examination: Annotated[
        str | None,
        typer.Argument(
            metavar="EXAMINATION",
            help="Id of an examination of the case; for a second reading or a review any case by default.",
            autocompletion=EXAMINATIONS,
        ),
    ] = None,
    purpose: Annotated[
        Literal["correct", "second_read", "review"],
        typer.Option("--purpose", help="Correct the case (again), read it independently, or review its annotation."),
    ] = "correct",
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Assign a case to a reader, who gets it with the next sample in Slicer."""
    from mrseg_label.reports.cases import read_acquisition_id
    from mrseg_label.reports.documents.annotations import AssignmentOut
    from mrseg_label.worklist.requests import Purpose, request_case

    with opened(folder) as workspace:
        acquisition = None if examination is None else read_acquisition_id(workspace.catalog, examination)
        case = request_case(workspace, _reader_named(workspace, reader), Purpose(purpose), acquisition)
    document = AssignmentOut.of(case)
    if as_json:
        print_json(document)
        return
    print_fields(
        [
            ("examination", document.examination),
            ("assigned to", reader),
            ("until", document.until),
            ("starts from", document.annotation or "the draft"),
            ("sent back", document.comment or None),
            ("reason", document.reason or None),
        ]
    )


@group.command("return")
@deprecated_command(group, "release", use="cases return")
def return_to_queue(
    examination: Examination, reader: ReaderName, folder: WorkspaceOption = HERE, as_json: JsonOption = False
) -> None:
    """Return a reader's case to the queue without an annotation."""
    from mrseg_label.reports.cases import read_acquisition_id, read_examination
    from mrseg_label.worklist import service

    with opened(folder) as workspace:
        acquisition = read_acquisition_id(workspace.catalog, examination)
        service.return_to_queue(workspace.catalog, _reader_named(workspace, reader), acquisition)
        document = read_examination(workspace.catalog, examination)
    if as_json:
        print_json(document)
    else:
        print_line(f"The case of {examination} was returned to the queue.")


@group.command("unusable")
def unusable(
    examination: Examination,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why the case cannot be used.")],
    reader: Annotated[
        str, typer.Option("--reader", metavar="NAME", help="Name to record with the decision.", show_default=LOCAL)
    ] = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Mark a case as unusable: it is no longer assigned or counted. Its annotations stay; `include` undoes it."""
    from mrseg_label.catalog.reader import Reader
    from mrseg_label.reports.cases import read_acquisition_id, read_examination
    from mrseg_label.worklist import service

    with opened(folder) as workspace:
        acquisition = read_acquisition_id(workspace.catalog, examination)
        service.mark_unusable(workspace.catalog, Reader(reader), acquisition, reason)
        document = read_examination(workspace.catalog, examination)
    if as_json:
        print_json(document)
    else:
        print_line(
            f"The case of {examination} is marked as unusable. Undo this with: mrseg-label include {examination}"
        )


@group.command("mine")
def mine(
    reader: ReaderName,
    limit: LimitOption = None,
    cursor: CursorOption = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show a reader's own work: open cases, what came back with which comment, and what is finished, newest first."""
    from mrseg_label.reports.mine import read_mine

    with opened(folder) as workspace:
        document = read_mine(workspace, _reader_named(workspace, reader), rows_of(limit, as_json), cursor)
    if as_json:
        print_json(document)
        return
    print_table(
        ("open", "participant", "station", "purpose", "opened", "until", "sent back because"),
        [
            (one.examination, one.participant, one.station, one.purpose, one.opened, one.until, one.comment)
            for one in document.open
        ],
    )
    if document.sent_back:
        print_table(
            ("came back", "participant", "station", "by", "rejected", "comment"),
            [
                (one.examination, one.participant, one.station, one.reviewer, one.rejected, one.comment)
                for one in document.sent_back
            ],
        )
    print_table(
        ("finished", "annotation", "submitted", "state", "minutes"),
        [
            (one.examination, one.id, one.created, one.state, None if one.seconds is None else one.seconds / 60)
            for one in document.finished.items
        ],
    )
    print_rest(document.finished)
    if document.agreement is not None and document.agreement.mean_dsc is not None:
        mean, cases = document.agreement.mean_dsc, document.agreement.cases
        print_line(
            f"Agreement with other readers: mean DSC {mean:.3f} over {cases} {'case' if cases == 1 else 'cases'}."
        )


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="cases")


def _reader_named(workspace: OpenedWorkspace, name: str) -> Reader:
    """Return the reader of that name; with sign-in it must be an account, or the case would reach nobody."""
    from mrseg_label.catalog.reader import Reader

    if workspace.settings.auth == "off":
        return Reader(name)
    from mrseg_label.accounts import service as accounts

    with workspace.catalog.read() as session:
        return Reader.signed_in(accounts.get(session, accounts.account_name(name)).name)
