"""``annotations``: submissions, their review, and two readings compared."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mrseg_label.cli.common import (
    HERE,
    JsonOption,
    WorkspaceOption,
    opened,
    print_fields,
    print_json,
    print_page,
    print_table,
    say,
)

if TYPE_CHECKING:
    from mrseg_label.catalog import Catalog
    from mrseg_label.reports.documents.annotations import AnnotationOut

group = typer.Typer(help="Submissions of readers, and their review.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the submission.")]
ReaderOption = Annotated[str, typer.Option("--reader", help="Who decides.", show_default="local")]
CommentOption = Annotated[str, typer.Option("--comment", help="Why.")]
_LOCAL = "local"
_ALL = 1_000_000


@group.command("list")
def list_annotations(
    examination: Annotated[str | None, typer.Argument(metavar="[EXAMINATION]", help="Only of this one.")] = None,
    state: Annotated[
        Literal["submitted", "accepted", "rejected"] | None,
        typer.Option("--state", help="submitted: those that wait for a second reader."),
    ] = None,
    author: Annotated[str | None, typer.Option("--author", help="Only of this reader.")] = None,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Submissions, newest first."""
    from mrseg_label.catalog.types import AnnotationState
    from mrseg_label.reports.cases import read_annotations, read_annotations_of

    with opened(workspace) as work:
        if examination is None:
            found = read_annotations(work.catalog, AnnotationState(state) if state else None, author, _ALL).items
        else:
            found = [
                item
                for item in read_annotations_of(work.catalog, examination, _ALL).items
                if state in (None, item.state) and author in (None, item.author)
            ]
    if as_json:
        print_page(found)
        return
    columns = ("annotation", "examination", "number", "state", "author", "submitted", "draft by", "edited voxels")
    rows = [
        (
            item.id,
            item.examination,
            item.number,
            f"{item.state}{'' if item.is_final else ', further reading'}",
            item.author,
            item.created,
            item.model_version,
            (item.effort or {}).get("edited_voxels"),
        )
        for item in found
    ]
    print_table(columns, rows)


@group.command("show")
def show(annotation: Id, workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """One submission: what its reader judged, what decoding noticed, what reviewers said."""
    _show(workspace, annotation, as_json)


@group.command("accept")
def accept(
    annotation: Id,
    reader: ReaderOption = _LOCAL,
    comment: CommentOption = "",
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Confirm a submission as a second reader: it counts from now on."""
    from mrseg_label.annotation import review

    _show(workspace, annotation, as_json, partial(review.accept, reviewer=reader, comment=comment))


@group.command("reject")
def reject(
    annotation: Id,
    comment: Annotated[str, typer.Option("--comment", help="What is to be changed; the author gets it with the mask.")],
    reader: ReaderOption = _LOCAL,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Send a submission back to its author, who is handed the case first, with this mask."""
    from mrseg_label.annotation import review

    _show(workspace, annotation, as_json, partial(review.reject, reviewer=reader, comment=comment))


@group.command("withdraw")
def withdraw(
    annotation: Id,
    reader: ReaderOption = _LOCAL,
    comment: CommentOption = "",
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Take a submission out of use; the one before it counts again. Nothing is deleted."""
    from mrseg_label.annotation import review

    _show(workspace, annotation, as_json, partial(review.withdraw, actor=reader, comment=comment))


@group.command("restore")
def restore(
    annotation: Id, reader: ReaderOption = _LOCAL, workspace: WorkspaceOption = HERE, as_json: JsonOption = False
) -> None:
    """Make a submission's mask the case's mask again, as a new one."""
    from mrseg_label.annotation import review
    from mrseg_label.reports.cases import read_annotation

    with opened(workspace) as work:
        made = review.restore(work, annotation, actor=reader)
        document = read_annotation(work.catalog, made.annotation_id)
    _print(document, as_json)


@group.command("compare")
def compare(
    first: Id,
    second: Annotated[str, typer.Argument(metavar="OTHER", help="Id of another submission for the same case.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Two readings of one case: DSC and HD95 of every structure that both readers judged."""
    from mrseg_label.reports.cases import read_readings

    with opened(workspace) as work:
        document = read_readings(work, first, second)
    if as_json:
        print_json(document)
        return
    print_table(
        ("structure", "DSC", "HD95, mm"),
        [(name, item.dsc, item.hd95_mm) for name, item in document.structures.items()],
    )
    if document.mean_dsc is not None:
        say(f"mean DSC {document.mean_dsc:.3f}")


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="annotations")


def _show(
    workspace: Path, annotation: str, as_json: bool, decide: Callable[[Catalog, str], None] | None = None
) -> None:
    """Decide on a submission, if there is anything to decide, and show it."""
    from mrseg_label.reports.cases import read_annotation

    with opened(workspace) as work:
        if decide is not None:
            decide(work.catalog, annotation)
        found = read_annotation(work.catalog, annotation)
    _print(found, as_json)


def _print(found: AnnotationOut, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    by_state: dict[str, list[str]] = {}
    for item in found.structures:
        by_state.setdefault(item.state, []).append(item.structure)
    print_fields(
        [
            ("annotation", found.id),
            ("examination", found.examination),
            ("number", found.number),
            ("state", f"{found.state}{'' if found.is_final else ', further reading'}"),
            ("author", found.author),
            ("submitted", found.created),
            ("draft by", found.model_version),
            ("seconds", found.seconds),
            ("edited voxels", (found.effort or {}).get("edited_voxels")),
            *((state.replace("_", " "), ", ".join(names)) for state, names in sorted(by_state.items())),
            *(
                (f"{described.verdict} by", f"{described.reviewer}: {described.comment or 'no comment'}")
                for described in found.reviews
            ),
            ("noticed", found.report or None),
        ]
    )
