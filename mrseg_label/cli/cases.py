"""``cases``: who has which, and cases that readers ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mrseg_label.cli.common import HERE, JsonOption, WorkspaceOption, opened, print_fields, print_json, say

if TYPE_CHECKING:
    from mrseg_label.catalog import Catalog
    from mrseg_label.workspace import Workspace

group = typer.Typer(help="Hand out on purpose, release, mark unusable.", no_args_is_help=True)
Examination = Annotated[str, typer.Argument(metavar="EXAMINATION", help="Id of an examination of the case.")]
ReaderName = Annotated[
    str, typer.Option("--reader", help="The reader's account; without sign-in the name in Slicer's settings.")
]


@group.command("take")
def take(
    reader: ReaderName,
    examination: Annotated[
        str | None,
        typer.Argument(
            metavar="[EXAMINATION]", help="Which case; for a second reading or a review it may be left out."
        ),
    ] = None,
    purpose: Annotated[
        Literal["correct", "second_read", "review"],
        typer.Option("--purpose", help="Correct it again, read it independently, or look at what waits for a review."),
    ] = "correct",
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Reserve a case for a reader, who gets it with the next sample in Slicer."""
    from mrseg_label.api.documents.annotations import HandedOutOut
    from mrseg_label.api.reading import read_acquisition_id
    from mrseg_label.worklist.asking import Purpose, ask_for

    with opened(workspace) as (found, catalog):
        acquisition = None if examination is None else read_acquisition_id(catalog, examination)
        client, user = _as_leases_have_it(found, catalog, reader)
        case = ask_for(found, catalog, purpose=Purpose(purpose), client=client, user=user, acquisition_id=acquisition)
    document = HandedOutOut.of(case)
    if as_json:
        print_json(document)
        return
    print_fields(
        [
            ("examination", document.examination),
            ("reserved for", reader),
            ("until", document.until),
            ("begins with", document.revision or "the draft"),
            ("sent back", document.comment or None),
        ]
    )


@group.command("release")
def release(
    examination: Examination, reader: ReaderName, workspace: WorkspaceOption = HERE, as_json: JsonOption = False
) -> None:
    """Take a case from a reader who will not submit it."""
    from mrseg_label.api.reading import read_acquisition_id, read_examination
    from mrseg_label.worklist import service

    with opened(workspace) as (found, catalog):
        acquisition = read_acquisition_id(catalog, examination)
        client, user = _as_leases_have_it(found, catalog, reader)
        service.give_back(catalog, acquisition_id=acquisition, client=client, user=user)
        document = read_examination(catalog, examination)
    if as_json:
        print_json(document)
    else:
        say(f"{examination} goes to whoever asks next")


@group.command("unusable")
def unusable(
    examination: Examination,
    reason: Annotated[str, typer.Option("--reason", help="Why it cannot be used.")],
    reader: Annotated[str, typer.Option("--reader", help="Who says so.", show_default="local")] = "local",
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Take a case out of queue and count; its submissions stay, and `include` takes it back."""
    from mrseg_label.api.reading import read_acquisition_id, read_examination
    from mrseg_label.worklist import service

    with opened(workspace) as (_, catalog):
        acquisition = read_acquisition_id(catalog, examination)
        service.mark_unusable(catalog, acquisition_id=acquisition, reason=reason, actor=reader)
        document = read_examination(catalog, examination)
    if as_json:
        print_json(document)
    else:
        say(f"{examination} is marked unusable")


def _as_leases_have_it(found: Workspace, catalog: Catalog, reader: str) -> tuple[str, str | None]:
    """Client and user of a reader; with sign-in there must be such an account, or nobody would get the case."""
    if found.settings.auth == "off":
        return reader, None
    from mrseg_label.accounts import service as accounts

    with catalog.read() as session:
        name = accounts.get(session, accounts.account_name(reader)).name
    return name, name


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="cases")
