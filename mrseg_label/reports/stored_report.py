"""Find the newest report of a study, which the command ``report`` left in the workspace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.errors import NotFound
from mrseg_label.files import sha256_of
from mrseg_label.reports.downloads import Download
from mrseg_label.workspace import EVALUATIONS

STUDY_REPORT = f"{EVALUATIONS}/report.html"


@dataclass(frozen=True)
class StoredReport:
    """The newest report: when it was made, and its size in bytes."""

    created: datetime
    size: int


def read_stored_report(workspace: OpenedWorkspace) -> StoredReport | None:
    """Read what is known of the newest report; None where there is none."""
    try:
        found = workspace.path(STUDY_REPORT).stat()
    except FileNotFoundError:
        return None
    return StoredReport(datetime.fromtimestamp(found.st_mtime, UTC), found.st_size)


def find_stored_report(workspace: OpenedWorkspace) -> Download:
    """Find the file of the newest report.

    Raises
    ------
    NotFound
        There is none yet.
    """
    found = read_stored_report(workspace)
    if found is None:
        raise NotFound("there is no report of a study yet; make one with: mrseg-label report OUT")
    return Download(
        workspace.path(STUDY_REPORT), f"report-{found.created:%Y-%m-%d}.html", sha256_of(workspace.path(STUDY_REPORT))
    )
