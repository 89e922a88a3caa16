"""``annotations``: the masks that readers submitted, their review, and two readings compared."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mrseg_label.cli.common import (
    HERE,
    LOCAL,
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
from mrseg_label.cli.completion import ACCOUNTS, ANNOTATIONS, EXAMINATIONS

if TYPE_CHECKING:
    from mrseg_label.catalog import Catalog
    from mrseg_label.reports.documents.annotations import AnnotationOut
from mrseg_label.scoring import MIN_REFERENCE_VOXELS

group = typer.Typer(help="List, review, compare, withdraw and restore annotations.", no_args_is_help=True)
Id = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the annotation, from `annotations list`.", autocompletion=ANNOTATIONS)
]
ReaderOption = Annotated[
    str,
    typer.Option(
        "--reader",
        metavar="NAME",
        help="Name to record with the decision.",
        show_default=LOCAL,
        autocompletion=ACCOUNTS,
    ),
]
CommentOption = Annotated[str, typer.Option("--comment", metavar="TEXT", help="Reason, kept with the decision.")]


@group.command("list")
def list_annotations(
    examination: Annotated[
        str | None,
        typer.Argument(
            metavar="EXAMINATION",
            help="Only annotations of this examination and its other channels.",
            autocompletion=EXAMINATIONS,
        ),
    ] = None,
    state: Annotated[
        Literal["submitted", "accepted", "rejected"] | None,
        typer.Option("--state", help="Only annotations in this state; submitted means awaiting review."),
    ] = None,
    author: Annotated[
        str | None,
        typer.Option("--author", metavar="NAME", help="Only annotations by this reader.", autocompletion=ACCOUNTS),
    ] = None,
    limit: LimitOption = None,
    cursor: CursorOption = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List annotations, newest first."""
    from mrseg_label.catalog.types import AnnotationState
    from mrseg_label.reports.cases import read_annotations, read_annotations_of

    wanted, rows = AnnotationState(state) if state else None, rows_of(limit, as_json)
    with opened(folder) as workspace:
        if examination is None:
            page = read_annotations(workspace.catalog, wanted, author, rows, cursor)
        else:
            page = read_annotations_of(workspace.catalog, examination, rows, cursor, author, wanted)
    columns = ("annotation", "examination", "number", "state", "author", "submitted", "draft by", "edited voxels")
    print_list(page, as_json, columns, _row)


def _row(item: AnnotationOut) -> tuple[object, ...]:
    return (
        item.id,
        item.examination,
        item.number,
        _state(item),
        item.author,
        item.created,
        item.model_version,
        (item.effort or {}).get("edited_voxels"),
    )


@group.command("show")
def show(annotation: Id, folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Show an annotation: its structures, notes from decoding, and reviews."""
    _decide_and_print(folder, annotation, as_json)


@group.command("accept")
def accept(
    annotation: Id,
    reader: ReaderOption = LOCAL,
    comment: CommentOption = "",
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Accept an annotation as its reviewer: from now on it is the mask of the case."""
    from mrseg_label.annotation import review

    _decide_and_print(folder, annotation, as_json, partial(review.accept, reviewer=reader, comment=comment))


@group.command("reject")
def reject(
    annotation: Id,
    comment: Annotated[
        str, typer.Option("--comment", metavar="TEXT", help="What to change; the author sees it with the mask.")
    ],
    reader: ReaderOption = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Reject an annotation as its reviewer: the author's next case is this one, with this mask."""
    from mrseg_label.annotation import review

    _decide_and_print(folder, annotation, as_json, partial(review.reject, reviewer=reader, comment=comment))


@group.command("send-back")
def send_back(
    annotation: Id,
    comment: Annotated[
        str, typer.Option("--comment", metavar="TEXT", help="What to look at; the reader sees it with the mask.")
    ],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="NAME", help="Who corrects it; by default its author.", autocompletion=ACCOUNTS),
    ] = None,
    reader: ReaderOption = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Send an annotation back, accepted or not: it no longer counts, and a reader's next case is this one, with this mask."""
    from mrseg_label.annotation import review
    from mrseg_label.reports.cases import read_annotation

    with opened(folder) as workspace:
        review.send_back(workspace, annotation, actor=reader, comment=comment, reader=to)
        document = read_annotation(workspace.catalog, annotation)
    _print(document, as_json)


@group.command("withdraw")
def withdraw(
    annotation: Id,
    reader: ReaderOption = LOCAL,
    comment: CommentOption = "",
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Withdraw an annotation: the one before it counts again. Nothing is deleted."""
    from mrseg_label.annotation import review

    _decide_and_print(folder, annotation, as_json, partial(review.withdraw, actor=reader, comment=comment))


@group.command("restore")
def restore(
    annotation: Id, reader: ReaderOption = LOCAL, folder: WorkspaceOption = HERE, as_json: JsonOption = False
) -> None:
    """Restore the mask of an earlier annotation, as a new annotation of its case."""
    from mrseg_label.annotation import review
    from mrseg_label.reports.cases import read_annotation

    with opened(folder) as workspace:
        restored = review.restore(workspace, annotation, actor=reader)
        document = read_annotation(workspace.catalog, restored.annotation_id)
    _print(document, as_json)


@group.command("compare")
def compare(
    first: Id,
    second: Annotated[
        str,
        typer.Argument(metavar="OTHER", help="Id of another annotation of the same case.", autocompletion=ANNOTATIONS),
    ],
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Compare two annotations of one case: DSC, NSD and HD95 of every structure annotated in both."""
    from mrseg_label.reports.cases import read_readings

    with progress_bar("comparing", as_json), opened(folder) as workspace:
        document = read_readings(workspace, first, second)
    if as_json:
        print_json(document)
        return
    print_table(
        ("structure", "DSC", "NSD", "HD95, mm"),
        [
            (name, item.dsc, item.nsd, "infinite" if item.hd95_infinite else item.hd95_mm)
            for name, item in document.structures.items()
        ],
    )
    if document.mean_dsc is not None:
        print_line(
            f"mean DSC {document.mean_dsc:.3f} of {document.mean_structures} structures, those of which a reader drew at "
            f"least {MIN_REFERENCE_VOXELS} voxels"
        )


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="annotations")


def _decide_and_print(
    folder: Path, annotation: str, as_json: bool, decide: Callable[[Catalog, str], None] | None = None
) -> None:
    """Record a decision about an annotation, if there is one, and print the annotation as it is then."""
    from mrseg_label.reports.cases import read_annotation

    with opened(folder) as workspace:
        if decide is not None:
            decide(workspace.catalog, annotation)
        document = read_annotation(workspace.catalog, annotation)
    _print(document, as_json)


def _print(document: AnnotationOut, as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    by_state: dict[str, list[str]] = {}
    for item in document.structures:
        by_state.setdefault(item.state, []).append(item.structure)
    print_fields(
        [
            ("annotation", document.id),
            ("examination", document.examination),
            ("number", document.number),
            ("state", _state(document)),
            ("author", document.author),
            ("submitted", document.created),
            ("draft by", document.model_version),
            ("seconds", document.seconds),
            ("edited voxels", (document.effort or {}).get("edited_voxels")),
            *((state.replace("_", " "), ", ".join(names)) for state, names in sorted(by_state.items())),
            *(
                (f"{review.verdict} by", f"{review.reviewer}: {review.comment or 'no comment'}")
                for review in document.reviews
            ),
            ("notes", document.report or None),
            *(("doubt", doubt["text"]) for doubt in document.report.get("doubts", ())),
        ]
    )


def _state(document: AnnotationOut) -> str:
    return f"{document.state}{'' if document.is_final else ', second reading'}"
