"""``cases``: assign a case to a reader, return it to the queue, mark it unusable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mrseg_label.cli.common import HERE, JsonOption, WorkspaceOption, opened, print_fields, print_json, say

if TYPE_CHECKING:
    from mrseg_label.catalog.opening import OpenedWorkspace
    from mrseg_label.catalog.reader import Reader

group = typer.Typer(help="Assign cases to readers, return them to the queue, mark them unusable.", no_args_is_help=True)
Examination = Annotated[str, typer.Argument(metavar="EXAMINATION", help="Id of an examination of the case.")]
ReaderName = Annotated[
    str, typer.Option("--reader", help="The reader's account; without sign-in the name in Slicer's settings.")
]


@group.command("assign")
@group.command("take", hidden=True, deprecated=True)
def assign(
    reader: ReaderName,
    examination: Annotated[
        str | None,
        typer.Argument(metavar="[EXAMINATION]", help="Which case; optional for a second reading or a review."),
    ] = None,
    purpose: Annotated[
        Literal["correct", "second_read", "review"],
        typer.Option("--purpose", help="Correct it again, read it independently, or review an annotation."),
    ] = "correct",
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Reserve a case for a reader, who gets it with the next sample in Slicer."""
    from mrseg_label.reports.cases import read_acquisition_id
    from mrseg_label.reports.documents.annotations import AssignmentOut
    from mrseg_label.worklist.requests import Purpose, request_case

    with opened(workspace) as found:
        acquisition = None if examination is None else read_acquisition_id(found.catalog, examination)
        case = request_case(found, _reader_named(found, reader), Purpose(purpose), acquisition)
    document = AssignmentOut.of(case)
    if as_json:
        print_json(document)
        return
    print_fields(
        [
            ("examination", document.examination),
            ("reserved for", reader),
            ("until", document.until),
            ("starts from", document.annotation or "the pre-segmentation"),
            ("sent back", document.comment or None),
        ]
    )


@group.command("return")
@group.command("release", hidden=True, deprecated=True)
def return_to_queue(
    examination: Examination, reader: ReaderName, workspace: WorkspaceOption = HERE, as_json: JsonOption = False
) -> None:
    """Return a reader's case to the queue without an annotation."""
    from mrseg_label.reports.cases import read_acquisition_id, read_examination
    from mrseg_label.worklist import service

    with opened(workspace) as found:
        acquisition = read_acquisition_id(found.catalog, examination)
        service.return_to_queue(found.catalog, _reader_named(found, reader), acquisition)
        document = read_examination(found.catalog, examination)
    if as_json:
        print_json(document)
    else:
        say(f"{examination} was returned to the queue")


@group.command("unusable")
def unusable(
    examination: Examination,
    reason: Annotated[str, typer.Option("--reason", help="Why it cannot be used.")],
    reader: Annotated[str, typer.Option("--reader", help="Who marks it.", show_default="local")] = "local",
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Take a case out of queue and count; its annotations stay, and `include` brings it back."""
    from mrseg_label.catalog.reader import Reader
    from mrseg_label.reports.cases import read_acquisition_id, read_examination
    from mrseg_label.worklist import service

    with opened(workspace) as found:
        acquisition = read_acquisition_id(found.catalog, examination)
        service.mark_unusable(found.catalog, Reader(reader), acquisition, reason)
        document = read_examination(found.catalog, examination)
    if as_json:
        print_json(document)
    else:
        say(f"{examination} is marked unusable")


def _reader_named(workspace: OpenedWorkspace, name: str) -> Reader:
    """The reader of that name; with sign-in there must be such an account, or nobody would get the case."""
    from mrseg_label.catalog.reader import Reader

    if workspace.settings.auth == "off":
        return Reader(name)
    from mrseg_label.accounts import service as accounts

    with workspace.catalog.read() as session:
        return Reader.signed_in(accounts.get(session, accounts.account_name(name)).name)


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="cases")
