"""``examinations show`` and ``edit``: what is known of an image, and how to correct what an import wrote wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mrseg_label.cli.common import (
    HERE,
    LOCAL,
    JsonOption,
    WorkspaceOption,
    opened,
    print_fields,
    print_json,
    print_line,
)
from mrseg_label.cli.completion import EXAMINATIONS
from mrseg_label.cli.lists import examinations

if TYPE_CHECKING:
    from mrseg_label.reports.documents.drafts import ExaminationDetail

Value = str | None


@examinations.command("show")
def show(
    examination: Annotated[
        str, typer.Argument(metavar="EXAMINATION", help="Id of an examination.", autocompletion=EXAMINATIONS)
    ],
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show an image: its case, and where the draft of it comes from."""
    from mrseg_label.reports.cases import read_examination

    with opened(folder) as workspace:
        document = read_examination(workspace.catalog, examination)
    if as_json:
        print_json(document)
        return
    fields: list[tuple[str, object]] = [
        ("examination", document.id),
        ("participant", document.participant),
        ("station", document.station),
        ("sequence", document.sequence),
        ("state", document.state.replace("_", " ")),
        ("mask", document.labelled),
        ("fat and water exchanged", document.swap),
        ("misregistered", document.misregistration),
        ("masks propagated", None if document.propagation == "on" else "no: propagation is off for its acquisition"),
        ("excluded", document.excluded),
        ("for evaluation only", "yes" if document.evaluation_only else None),
        ("grid", " x ".join(map(str, document.shape))),
        ("spacing, mm", " x ".join(f"{value:.4g}" for value in document.spacing_mm)),
        ("axes", document.axcodes),
        ("source", document.source),
        ("imported", document.created),
        *(("warning", text) for text in document.warnings),
        *_draft_fields(document),
    ]
    print_fields(fields)


def _draft_fields(document: ExaminationDetail) -> list[tuple[str, object]]:
    draft, aside = document.draft, document.draft_put_aside
    failed: list[tuple[str, object]] = []
    if aside is not None:
        failed = [("draft put aside", f"{aside.reason} (tried again with: mrseg-label jobs retry {aside.job})")]
    if draft is None:
        return [("draft", "none has been made"), *failed]
    reasons = draft.details.get("mixture", {}).get("reasons", {})
    return [
        ("draft", f"{draft.id} by {draft.model_version} ({draft.source}), {draft.created:%Y-%m-%d %H:%M} UTC"),
        *failed,
        *(("made with less", text) for text in draft.details.get("sparing", [])),
        ("mixture", draft.mixture),
        *(
            (
                f"mixture: {name}",
                f"{draft.structures[name]}: {reason['saved']:.0%} less to correct than with {draft.model_version}, over "
                f"{reason['participants']} participants ({reason['cases']})",
            )
            for name, reason in reasons.items()
            if name in draft.structures
        ),
        *(("clean-up", change["text"]) for change in draft.details.get("clean_up", {}).get("changes", ())),
        *(("doubt", doubt["text"]) for doubt in draft.details.get("doubts", ())),
    ]


@examinations.command("edit")
def edit(
    ids: Annotated[list[str], typer.Argument(metavar="EXAMINATION...", help="Ids of examinations.")],
    participant: Annotated[
        Value, typer.Option(metavar="CODE", help="Participant; one who does not exist is added.")
    ] = None,
    session: Annotated[Value, typer.Option(metavar="NAME", help="Session; '' for none.")] = None,
    station: Annotated[Value, typer.Option(metavar="NAME", help="Station; '' for none.")] = None,
    sequence: Annotated[Value, typer.Option(metavar="NAME", help="Sequence type, such as in, T1 or water.")] = None,
    swap: Annotated[
        Value,
        typer.Option(metavar="confirmed|none", help="Whether fat and water are exchanged, in both of these images."),
    ] = None,
    misregistration: Annotated[
        Value,
        typer.Option(
            metavar="confirmed|none", help="Whether an image lies elsewhere than the others of its acquisition."
        ),
    ] = None,
    propagation: Annotated[
        Value,
        typer.Option(
            metavar="on|off", help="Whether a mask drawn on one image of the acquisition is used for the others."
        ),
    ] = None,
    sex: Annotated[Value, typer.Option(metavar="M|F|O", help="Sex of the participant; 'unknown' to clear it.")] = None,
    age: Annotated[Value, typer.Option(metavar="YEARS", help="Age of the participant; 'unknown' to clear it.")] = None,
    alone: Annotated[
        bool,
        typer.Option("--alone", help="Take the image out of its acquisition, without the other channels."),
    ] = False,
    author: Annotated[str, typer.Option(help="Name to record with the change.", show_default="local")] = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Correct participant, session, station or sequence of images, or sex and age of their participant.

    Participant, session and station are changed for all channels of the acquisition. Drafts, assignments and annotations
    stay with it. The audit trail records every change.
    """
    from mrseg_label.intake.editing import edit_examinations
    from mrseg_label.reports.cases import read_examination
    from mrseg_label.reports.documents.examinations import EditOut

    given = {
        "participant": participant,
        "session": session,
        "station": station,
        "sequence": sequence,
        "swap": swap,
        "misregistration": misregistration,
        "propagation": propagation,
        "sex": sex,
        "age": age,
    }
    values = {name: value for name, value in given.items() if value is not None}
    with opened(folder) as workspace:
        edits = edit_examinations(workspace.catalog, ids, values, actor=author, alone=alone)
        documents = [EditOut.of(done, read_examination(workspace.catalog, done.examination)) for done in edits]
    if as_json:
        print_json({"edited": [document.model_dump(mode="json") for document in documents]})
        return
    for document in documents:
        changes = ", ".join(
            f"{name} {change.before!r} to {change.after!r}" for name, change in document.changes.items()
        )
        print_line(f"{document.examination.id}: {changes or 'nothing changed'}")
        for note in document.notes:
            print_line(f"{document.examination.id}: {note}")
