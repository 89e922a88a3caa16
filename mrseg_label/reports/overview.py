"""Read where a study stands: one document of what the other lists say in detail."""

from __future__ import annotations

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.queries.assignments import AssignmentFilter
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import JobState, Role
from mrseg_label.reports.attention import find_attention
from mrseg_label.reports.blinding import as_seen_by
from mrseg_label.reports.documents.overview import AttentionOut, CoverageOut, OverviewOut, ParticipantsOut
from mrseg_label.reports.documents.worklist import ReservationOut
from mrseg_label.reports.jobs import read_jobs
from mrseg_label.reports.models import read_current_model
from mrseg_label.reports.performance import read_performance
from mrseg_label.reports.progress import read_progress
from mrseg_label.reports.rounds import read_newest_round
from mrseg_label.reports.workers import read_workers
from mrseg_label.reports.worklist import count_assignments, read_assignments

SHOWN = 50
VERSIONS = 12


def read_own_or_all(workspace: OpenedWorkspace, wanted: AssignmentFilter, reader: str | None) -> list[ReservationOut]:
    """Read the newest open assignments; a radiologist's own without what tells which case is which, where that is hidden."""
    found = read_assignments(workspace.catalog, wanted, SHOWN)
    own = None if reader is None else Reader.signed_in(reader, Role.RADIOLOGIST)
    return list((found if own is None else as_seen_by(workspace, own, found)).items)


def read_overview(workspace: OpenedWorkspace, reader: str | None = None) -> OverviewOut:
    """Read where a study stands.

    Parameters
    ----------
    reader : only this reader's assignments; by default everybody's.
    """
    catalog = workspace.catalog
    with catalog.read() as session:
        coverage = acquisitions.coverage(session)
        people, annotated = acquisitions.participants_annotated(session)
    own = None if reader is None else Reader.signed_in(reader, Role.RADIOLOGIST)
    progress = read_progress(workspace, own)
    wanted = AssignmentFilter(reader=reader, is_open=True)
    return OverviewOut(
        progress=progress,
        participants=ParticipantsOut(total=people, annotated=annotated),
        coverage=[
            CoverageOut(station=station, sequence=sequence, cases=cases, annotated=done)
            for station, sequence, cases, done in coverage
        ],
        assignments=read_own_or_all(workspace, wanted, reader),
        assignments_open=count_assignments(catalog, wanted),
        running=read_jobs(catalog, SHOWN, state=JobState.RUNNING).items,
        workers=read_workers(catalog),
        current_model=read_current_model(catalog),
        newest_round=read_newest_round(catalog),
        performance=read_performance(catalog, VERSIONS).items,
        attention=[
            AttentionOut(kind=found.kind, message=found.message, round=found.round)
            for found in find_attention(workspace)
        ],
    )
