"""Read how far a workspace is, and what was measured of its model versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, jobs, listings, models, performance
from mrseg_label.catalog.queries import rounds as round_rows
from mrseg_label.catalog.queries.performance import VersionSums
from mrseg_label.catalog.tables import ModelVersion
from mrseg_label.catalog.types import Position
from mrseg_label.config import load_settings
from mrseg_label.reports.documents.learning import ProgressOut
from mrseg_label.reports.paging import split_page


def read_progress(workspace: OpenedWorkspace) -> ProgressOut:
    """Read how far the workspace is."""
    settings = load_settings(workspace.root)  # read anew: an admin may have changed them
    with workspace.catalog.read() as session:
        counts = acquisitions.counts(session, workspace.catalog.now(session))
        active = round_rows.active(session)
        return ProgressOut(
            annotated_total=counts.annotated_total,
            annotated_since_round=counts.annotated_since_round,
            round_size=settings.round_size,
            auto_round=settings.auto_round,
            waiting=counts.waiting,
            assigned=counts.assigned,
            handed_out=counts.assigned,
            awaiting_review=counts.awaiting_review,
            excluded=counts.excluded,
            current_model=models.current(session).version,
            round=active.number if active else None,
            round_state=active.state if active else None,
            queues=jobs.queue_lengths(session),
        )


def read_row_counts(catalog: Catalog) -> dict[str, int]:
    """Read how many participants, acquisitions, examinations and annotations there are."""
    with catalog.read() as session:
        return listings.row_counts(session)


def read_sums(
    catalog: Catalog, limit: int, after: Position | None = None
) -> tuple[Sequence[ModelVersion], Mapping[str, VersionSums], Position | None]:
    """Read model versions, newest first, what was measured of each, and where the next page begins."""
    with catalog.read() as session:
        shown, last = split_page(listings.models(session, limit + 1, after), limit)
        return shown, performance.sums_by_version(session, shown), (last.created_at, last.version) if last else None
