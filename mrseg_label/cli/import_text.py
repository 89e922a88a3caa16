"""The report of an import, as text or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from mrseg_label.cli.common import print_json, print_line, print_table
from mrseg_label.errors import Unavailable

if TYPE_CHECKING:
    from mrseg_label.intake.options import ImportReport

_SHOWN = 20


def tell(report: ImportReport, stopped: str, *, as_json: bool) -> None:
    """Print a report, and end with code 1 if anything was refused or the import stopped early."""
    if as_json:
        print_json(report.to_json() | ({"stopped": stopped} if stopped else {}))
    else:
        _print(report)
    if stopped:
        raise Unavailable(stopped)
    if report.refused:
        raise typer.Exit(1)


def _print(report: ImportReport) -> None:
    if report.accepted:
        rows = [
            (
                entry.id,
                entry.participant,
                entry.station,
                entry.sequence,
                " x ".join(map(str, entry.geometry.shape)),
                " x ".join(f"{value:.4g}" for value in entry.geometry.spacing_mm),
                entry.geometry.axcodes,
            )
            for entry in report.accepted[:_SHOWN]
        ]
        print_table(("examination", "participant", "station", "sequence", "voxels", "spacing, mm", "axes"), rows)
        if len(report.accepted) > _SHOWN:
            print_line(f"... and {len(report.accepted) - _SHOWN} more")
    for entry in report.accepted:
        for warning in entry.warnings:
            print_line(f"{entry.source}: {warning}")
    for refusal in report.refused:
        print_line(f"refused {refusal.source}: {refusal.reason}")
    for other in report.passed_over:
        print_line(f"note: {other.source}: {other.reason}")
    for updated in report.updated:
        changed = ", ".join(f"{name} {before!r} to {after!r}" for name, (before, after) in updated.changes.items())
        print_line(f"{updated.source}: filled in {changed} (examination {updated.examination})")
        for note in updated.notes:
            print_line(f"{updated.source}: {note}")
    _print_rows(report)
    if report.masks:
        print_line(f"Queued {report.masks} masks; a worker imports each as an annotation.")
    updated_count = f", {len(report.updated)} filled in" if report.updated else ""
    verb = "would be accepted" if report.dry_run else "accepted"
    print_line(
        f"{len(report.accepted)} {verb}, {len(report.refused)} refused, {report.unchanged} unchanged{updated_count}"
    )


def _print_rows(report: ImportReport) -> None:
    """Print which rows of tables were taken for another spelling, and which are of no participant."""
    for matched in report.matched_rows[:_SHOWN]:
        print_line(f"note: {matched.source}: row {matched.row!r} was taken for participant {matched.participant!r}")
    if len(report.matched_rows) > _SHOWN:
        print_line(f"note: {len(report.matched_rows) - _SHOWN} more rows were taken for another spelling of their code")
    likely = [row for row in report.unmatched_rows if row.likely]
    for row in likely[:_SHOWN]:
        names = " or ".join(repr(code) for code in row.likely)
        advice = "take it with --match-ids loose" if row.unique else "several fit, so correct the code in the table"
        print_line(f"note: {row.source}: no participant {row.row!r}; the likely match is {names}: {advice}")
    if len(likely) > _SHOWN:
        print_line(f"note: {len(likely) - _SHOWN} more rows with a likely match (--json lists all)")
    others = [row for row in report.unmatched_rows if not row.likely]
    for row in others[:_SHOWN]:
        print_line(f"note: {row.source}: no participant {row.row!r} in this import or in the catalogue")
    if len(others) > _SHOWN:
        print_line(f"note: {len(others) - _SHOWN} more rows of no participant (--json lists all)")
    if report.participants_without_row:
        print_line(f"note: {report.participants_without_row} participants of this import have no row in the table")
