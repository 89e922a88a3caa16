"""Read where a study stands: one document of what the other lists say in detail."""

from __future__ import annotations

import shutil
from datetime import datetime

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, jobs, rounds
from mrseg_label.catalog.queries.assignments import AssignmentFilter
from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.catalog.types import JobState, RoundState
from mrseg_label.errors import MrsegError
from mrseg_label.jobs.queue import IMPORT_MASK
from mrseg_label.presegmentation.weights import WeightsKind, find_weights
from mrseg_label.reports.documents.overview import (
    AttentionKind,
    AttentionOut,
    CoverageOut,
    OverviewOut,
    ParticipantsOut,
)
from mrseg_label.reports.jobs import read_jobs
from mrseg_label.reports.models import read_current_model
from mrseg_label.reports.performance import read_performance
from mrseg_label.reports.progress import read_progress
from mrseg_label.reports.rounds import read_newest_round
from mrseg_label.reports.worklist import count_assignments, read_assignments

SHOWN = 50
VERSIONS = 12
LOW_DISK_GB = 20.0
_LISTED_JOBS = 100


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
    progress = read_progress(workspace)
    wanted = AssignmentFilter(reader=reader, is_open=True)
    current = read_current_model(catalog)
    attention = [*_read_attention(workspace), *_check_weights(workspace, current.version), *_check_disk(workspace)]
    if progress.annotations_awaiting_review:
        attention.append(
            AttentionOut(
                kind=AttentionKind.AWAITING_REVIEW,
                message=_count(progress.annotations_awaiting_review, "annotation awaits", "annotations await")
                + " review",
            )
        )
    return OverviewOut(
        progress=progress,
        participants=ParticipantsOut(total=people, annotated=annotated),
        coverage=[
            CoverageOut(station=station, sequence=sequence, cases=cases, annotated=done)
            for station, sequence, cases, done in coverage
        ],
        assignments=read_assignments(catalog, wanted, SHOWN).items,
        assignments_open=count_assignments(catalog, wanted),
        running=read_jobs(catalog, SHOWN, state=JobState.RUNNING).items,
        current_model=current,
        newest_round=read_newest_round(catalog),
        performance=read_performance(catalog, VERSIONS).items,
        attention=attention,
    )


def _read_attention(workspace: OpenedWorkspace) -> list[AttentionOut]:
    with workspace.catalog.read() as session:
        return [*_check_rounds(session), *_check_jobs(session, workspace.catalog.now(session))]


def _check_rounds(session: Session) -> list[AttentionOut]:
    found = []
    newest = rounds.newest(session)
    if newest is not None and newest.state is RoundState.FAILED:
        lines = (newest.error or "").strip().splitlines() or ["no reason was stored"]
        found.append(
            AttentionOut(
                kind=AttentionKind.ROUND_FAILED,
                message=f"round {newest.number} failed: {lines[-1]}",
                round=newest.number,
            )
        )
    done = rounds.newest_done(session)
    if done is not None:
        found += [
            AttentionOut(kind=AttentionKind.ROUND_WARNING, message=f"round {done.number}: {text}", round=done.number)
            for text in (done.result or {}).get("warnings", [])
        ]
    return found


def _check_jobs(session: Session, moment: datetime) -> list[AttentionOut]:
    found = []
    lost = [job for job in jobs.list_in_states(session, (JobState.RUNNING,)) if _is_lost(job.lease_expires_at, moment)]
    if lost:
        machines = ", ".join(sorted({(job.owner or "").rsplit(":", 2)[0] or "an unknown machine" for job in lost}))
        found.append(
            AttentionOut(
                kind=AttentionKind.WORKER_LOST,
                message=f"a worker on {machines} no longer answers; another worker takes over its "
                f"{'job' if len(lost) == 1 else f'{len(lost)} jobs'}",
            )
        )
    failed = len(jobs.failed(session, _LISTED_JOBS, IMPORT_MASK))
    if failed:
        more = "at least " if failed == _LISTED_JOBS else ""
        found.append(
            AttentionOut(
                kind=AttentionKind.JOBS_FAILED,
                message=f"{more}{_count(failed, 'draft or other job', 'drafts or other jobs')} failed; the reasons: mrseg-label jobs list",
            )
        )
    refused = len(jobs.refused_masks(session, IMPORT_MASK))
    if refused:
        found.append(
            AttentionOut(
                kind=AttentionKind.MASKS_REFUSED,
                message=f"{_count(refused, 'imported mask was', 'imported masks were')} refused; the reasons: mrseg-label status",
            )
        )
    return found


def _check_weights(workspace: OpenedWorkspace, version: str) -> list[AttentionOut]:
    if version != BOOTSTRAP:
        return []
    try:
        weights = find_weights(workspace.settings.totalseg_weights_path)
    except MrsegError:
        message = "no weights are installed, so no draft can be made; mrseg-label doctor says what is missing"
        return [AttentionOut(kind=AttentionKind.NO_WEIGHTS, message=message)]
    if weights.kind is not WeightsKind.STAND_IN:
        return []
    message = (
        "drafts come from stand-in weights, which were trained on phantoms and are of no use for patients; "
        "mrseg-label doctor says how to install the published ones"
    )
    return [AttentionOut(kind=AttentionKind.STAND_IN_WEIGHTS, message=message)]


def _check_disk(workspace: OpenedWorkspace) -> list[AttentionOut]:
    free = shutil.disk_usage(workspace.root).free / 1e9
    if free >= LOW_DISK_GB:
        return []
    message = f"{free:.0f} GB are free on the disk of the workspace, and a round needs tens of GB; make room"
    return [AttentionOut(kind=AttentionKind.DISK_ALMOST_FULL, message=message)]


def _is_lost(expires: datetime | None, moment: datetime) -> bool:
    return expires is not None and expires < moment


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
