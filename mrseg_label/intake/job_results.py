"""What the job of an import leaves behind: numbers, and the first files with reasons."""

from __future__ import annotations

from typing import Any

from mrseg_label.intake.options import ImportReport
from mrseg_label.intake.record import DELETED

MAX_LISTED = 200  # refused files in the result of a job, and files that were passed over


def result_of(report: ImportReport, prefix: str = "") -> dict[str, Any]:
    """Make the result of a job.

    Parameters
    ----------
    prefix : what is left out at the beginning of each source.
    """
    return {
        "accepted": len(report.accepted),
        "unchanged": report.unchanged,
        "masks": report.masks,
        "refused": len(report.refused),
        "refusals": [
            ["(name withheld)" if one.reason == DELETED else one.source.removeprefix(prefix), one.reason]
            for one in report.refused[:MAX_LISTED]
        ],
        "passed_over": len(report.passed_over),
        "remarks": [[one.source.removeprefix(prefix), one.reason] for one in report.passed_over[:MAX_LISTED]],
    }
