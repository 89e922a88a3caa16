"""``gold`` and ``bias``: what readers submit without knowing why, and who is qualified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mrseg_label.cli.common import (
    HERE,
    LOCAL,
    JsonOption,
    WorkspaceOption,
    opened,
    print_json,
    print_line,
    print_table,
)
from mrseg_label.cli.completion import ACCOUNTS

if TYPE_CHECKING:
    from mrseg_label.reports.documents.blind_readings import EstimateOut, PairOfMasksOut

group = typer.Typer(
    help="Gold cases, which readers get without knowing, and qualification by them.", no_args_is_help=True
)
Annotation = Annotated[str, typer.Argument(metavar="ANNOTATION", help="Id of an accepted annotation.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Account of a radiologist.", autocompletion=ACCOUNTS)]
Author = Annotated[str, typer.Option(metavar="NAME", help="Name to record.", show_default=LOCAL)]


@group.command("list")
def list_gold(
    reader: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this reader.", autocompletion=ACCOUNTS)
    ] = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List gold cases, and how far each reader agrees with them: over all readings, and over the newest ten."""
    from mrseg_label.reports.blind_readings import read_gold

    with opened(folder) as workspace:
        document = read_gold(workspace, reader)
    if as_json:
        print_json(document)
        return
    if document.not_measured:
        print_line(f"{document.not_measured} more readings are measured by a worker soon.")
    if not document.cases and not document.readers:
        print_line("No annotation is gold. Mark an accepted one: mrseg-label gold mark ANNOTATION")
        return
    print_table(
        ("annotation", "examination", "participant", "station", "marked", "by", "readers"),
        [
            (one.annotation, one.examination, one.participant, one.station, one.marked, one.by, one.readers)
            for one in document.cases
        ],
    )
    print_table(
        ("reader", "readings", "DSC", "95 %", "HD95, mm", "newest ten", "qualified"),
        [
            (
                one.reader,
                len(one.readings),
                one.overall.dsc.mean,
                _interval(one.overall.dsc),
                one.overall.hd95_mm.mean,
                one.newest.dsc.mean,
                "not yet" if one.awaits_qualification else one.qualified,
            )
            for one in document.readers
        ],
    )
    if reader is not None:
        print_table(
            ("submitted", "annotation", "examination", "mean DSC", "mean HD95, mm"),
            [
                (item.created, item.annotation, item.examination, item.mean_dsc, item.mean_hd95_mm)
                for one in document.readers
                for item in one.readings
            ],
        )


@group.command("mark")
def mark(
    annotation: Annotation, author: Author = LOCAL, folder: WorkspaceOption = HERE, as_json: JsonOption = False
) -> None:
    """Mark an accepted annotation as gold: readers get its case without knowing, and are compared with it."""
    from mrseg_label.annotation.blind_readings import mark_gold

    with opened(folder) as workspace:
        mark_gold(workspace.catalog, annotation, actor=author)
    if as_json:
        print_json({"gold": annotation})
    else:
        print_line(f"{annotation} is gold. Readers get its case by GOLD_SHARE, and to qualify by QUALIFICATION_CASES.")


@group.command("unmark")
def unmark(
    annotation: Annotation, author: Author = LOCAL, folder: WorkspaceOption = HERE, as_json: JsonOption = False
) -> None:
    """Stop to assign a gold case; what readers submitted of it is kept."""
    from mrseg_label.annotation.blind_readings import unmark_gold

    with opened(folder) as workspace:
        unmark_gold(workspace.catalog, annotation, actor=author)
    if as_json:
        print_json({"not_gold": annotation})
    else:
        print_line(f"{annotation} is no longer gold.")


@group.command("qualify")
def qualify(name: Name, author: Author = LOCAL, folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Let the annotations of a radiologist count from now on, whatever the gold cases say."""
    _qualify(name, author, folder, as_json, qualified=True)


@group.command("disqualify")
def disqualify(name: Name, author: Author = LOCAL, folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Let further annotations of a radiologist await review, until he qualifies again."""
    _qualify(name, author, folder, as_json, qualified=False)


def draft_bias(folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Show how far drafts influence what readers submit: cases with and without a draft, and cases read twice."""
    from mrseg_label.reports.blind_readings import read_draft_bias

    with opened(folder) as workspace:
        document = read_draft_bias(workspace)
    if as_json:
        print_json(document)
        return
    if document.not_measured:
        print_line(f"{document.not_measured} more pairs of masks are measured by a worker soon.")
    columns = ("", "cases", "participants", "DSC", "95 %", "HD95, mm", "95 %", "infinite")
    rows = [
        ("with the draft, compared with it", *_pair(document.shown.with_draft)),
        ("without, compared with the draft withheld", *_pair(document.withheld.with_draft)),
        ("twice with a draft, compared with oneself", *_pair(document.repeated_shown)),
        ("the second time without, compared with oneself", *_pair(document.repeated_withheld)),
    ]
    print_table(columns, rows)
    differences = (
        ("DSC with the draft: shown less withheld", document.dsc_difference),
        ("minutes: shown less withheld", document.minutes_difference),
        ("DSC with oneself: both with a draft, less the second without", document.repeated_difference),
    )
    print_table(
        ("difference", "mean", "95 %", "cases"),
        [(text, one.mean, _interval(one), one.cases) for text, one in differences],
    )
    minutes = document.shown.minutes, document.withheld.minutes
    print_table(("minutes on a case", "mean", "95 %", "cases"), [
        (text, one.mean, _interval(one), one.cases) for text, one in zip(("with a draft", "without"), minutes, strict=True)
    ])  # fmt: skip
    print_line(document.rule)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(group, name="gold")
    app.command("bias")(draft_bias)


def _qualify(name: str, author: str, folder: object, as_json: bool, *, qualified: bool) -> None:
    from pathlib import Path

    from mrseg_label.annotation.blind_readings import set_qualified

    with opened(Path(str(folder))) as workspace:
        set_qualified(workspace.catalog, name, actor=author, qualified=qualified)
    if as_json:
        print_json({"qualified" if qualified else "disqualified": name})
    else:
        print_line(f"{name} is {'qualified' if qualified else 'no longer qualified'}.")


def _pair(one: PairOfMasksOut) -> tuple[object, ...]:
    return (
        *(one.dsc.cases, one.dsc.participants, one.dsc.mean, _interval(one.dsc)),
        *(one.hd95_mm.mean, _interval(one.hd95_mm), one.hd95_infinite),
    )


def _interval(one: EstimateOut) -> str | None:
    return None if one.low is None or one.high is None else f"{one.low:.3f} to {one.high:.3f}"
