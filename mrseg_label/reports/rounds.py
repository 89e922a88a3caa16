"""Read rounds as documents, and their logs."""

from __future__ import annotations

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.errors import NotFound
from mrseg_label.reports.documents.rounds import RoundDetail, RoundOut
from mrseg_label.rounds.service import log_path
from mrseg_label.workspace import Workspace

MAX_LOG_BYTES = 1 << 20


def read_rounds(catalog: Catalog, limit: int, below: int | None = None) -> list[RoundOut]:
    """Read rounds, newest first; only those with a number below the given one."""
    with catalog.read() as session:
        found = rows.page(session, limit, below)
        numbers = [row.number for row in found]
        counts = rows.case_counts(session, numbers)
        versions = rows.versions_of(session, numbers)
        return [RoundOut.of(row, counts.get(row.number, {}), versions.get(row.number)) for row in found]


def read_round(catalog: Catalog, number: int) -> RoundDetail:
    """Read a round with its cases.

    Raises
    ------
    NotFound
        There is no such round.
    """
    with catalog.read() as session:
        row = rows.get(session, number)
        if row is None:
            raise NotFound(f"there is no round {number}; see mrseg-label rounds list")
        counts = rows.case_counts(session, [number]).get(number, {})
        return RoundDetail.of_detail(row, counts, rows.versions_of(session, [number]).get(number))


def read_log(workspace: Workspace, number: int) -> str:
    """Read the end of a round's log, the last megabyte of it; empty before the training has begun.

    The file grows while it is read: the answer is a text of its own, not a file whose size changes.
    """
    path = log_path(workspace, number)
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - MAX_LOG_BYTES))
        text = stream.read(MAX_LOG_BYTES).decode(errors="replace")
    return text if path.stat().st_size <= MAX_LOG_BYTES else text.partition("\n")[2]
