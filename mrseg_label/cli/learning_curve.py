"""``learning-curve``: what each round's model reached, and what another round would bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mrseg_label.cli.common import (
    HERE,
    JsonOption,
    WorkspaceOption,
    mean_text,
    opened,
    print_json,
    print_line,
    print_table,
)

if TYPE_CHECKING:
    from mrseg_label.reports.documents.learning_curve import CurveGroupOut, EstimateOut, ForecastOut

_ORIGINS = {"own": "this model's draft", "other": "another model's draft", "nothing": "nothing"}


def learning_curve(
    by: Annotated[
        Literal["structure", "region", "station", "sequence"] | None, typer.Option("--by", help="Split by this.")
    ] = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show how good each round's model is and what its drafts cost, with intervals, and what another round would bring."""
    from mrseg_label.reports.documents.learning_curve import CurveDimension
    from mrseg_label.reports.learning_curve import read_curve

    with opened(folder) as workspace:
        document = read_curve(workspace, CurveDimension(by) if by else None)
    if as_json:
        print_json(document)
        return
    if not document.rounds:
        print_line("No model was measured yet: no draft was corrected, and no round has evaluated a model.")
        return
    split = (by,) if by else ()
    print_table(
        ("model", "training", *split, "held-out DSC", "images", "HD95, mm", "infinite", "NSD", "annotations began from", "draft DSC",
         "ml changed", "minutes"),
        [
            (point.model_version, point.training_cases, *([group.group or "not stated"] if by else []), *_row(group))
            for point in document.rounds
            for group in point.groups
            if group.held_out.dsc.cases or group.drafts.cases
        ],
    )  # fmt: skip
    print_line(
        f"Held-out figures are over the {document.common_cases} cases that all evaluated versions have, where there are such."
    )
    for one in document.estimates:
        print_line(_estimate(one))
    print_line(f"In brackets: {document.interval}. Estimate: {document.estimate_rule}.")


def _row(group: CurveGroupOut) -> list[object]:
    held_out = group.held_out_common if group.held_out_common.dsc.cases else group.held_out
    began = ", ".join(f"{_ORIGINS[origin]}: {found.cases}" for origin, found in held_out.origins.items())
    return [
        f"{mean_text(held_out.dsc, 3)} n={held_out.dsc.cases}",
        f"{held_out.images:,}, {held_out.propagated_images:,} propagated"
        if held_out.propagated_images
        else held_out.images,
        mean_text(held_out.hd95_mm, 1),
        held_out.infinite_hd95,
        mean_text(held_out.nsd, 3),
        began,
        mean_text(group.drafts.dsc, 3) + (f" n={group.drafts.dsc.cases}" if group.drafts.dsc.cases else ""),
        mean_text(group.drafts.edited_ml, 1),
        mean_text(group.drafts.seconds, 1, 1 / 60),
    ]


def _estimate(one: EstimateOut) -> str:
    parts = []
    if one.held_out_dsc is not None:
        parts.append(f"held-out DSC {_forecast(one.held_out_dsc, 3)}")
    if one.edited_ml is not None:
        parts.append(f"ml changed a case {_forecast(one.edited_ml, 1)}")
    about = f" ({one.group or 'not stated'})" if one.group is not None else ""
    cases = next((found.training_cases for found in (one.held_out_dsc, one.edited_ml) if found is not None), None)
    text = f"Another round{about}" + (f", with {cases} training cases: {'; '.join(parts)}" if parts else "")
    return f"{text}{'; ' if parts and one.note else ': ' if one.note else ''}{one.note}"


def _forecast(found: ForecastOut, digits: int) -> str:
    value = f"{found.value:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"
    return f"{value}, {found.gain:+.{digits}f} ({found.gain_low:+.{digits}f} to {found.gain_high:+.{digits}f}) from the newest"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("learning-curve")(learning_curve)
