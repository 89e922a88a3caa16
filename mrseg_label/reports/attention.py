"""Find what an administrator should look at: the one list behind the overview, notifications and their events."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.orm import Session

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import jobs, models, reviews, rounds, suspicions
from mrseg_label.catalog.tables import BOOTSTRAP
from mrseg_label.catalog.types import AnnotationState, AttentionKind, Role, RoundState
from mrseg_label.errors import MrsegError
from mrseg_label.jobs.queue import IMPORT_MASK
from mrseg_label.presegmentation.weights import WeightsKind, find_weights
from mrseg_label.reports.documents.jobs import WorkerState
from mrseg_label.reports.workers import read_workers

LOW_DISK_GB = 20.0
_LISTED_JOBS = 100


@dataclass(frozen=True)
class Finding:
    """Something that an administrator should look at.

    Attributes
    ----------
    message : for the pages; it may quote an error, which may name a file or an examination.
    notice : what may leave the server: numbers, and names of machines of the hospital. Neither says anything of a patient.
    occurrence : what it is about; while it stays the same, nothing new has happened.
    """

    kind: AttentionKind
    message: str
    notice: str
    occurrence: str = ""
    round: int | None = None


@dataclass(frozen=True)
class Awaiting:
    """How many annotations await review, and the id of the newest of them; empty where none does."""

    number: int
    newest: str


def read_awaiting(catalog: Catalog) -> Awaiting:
    """Read how many annotations of included cases await review."""
    with catalog.read() as session:
        return _awaiting(session)


def is_for(kind: AttentionKind, role: Role) -> bool:
    """Whether an account of that role is told: admins of everything, reviewers of what awaits their review."""
    return role is Role.ADMIN or (role is Role.REVIEWER and kind is AttentionKind.AWAITING_REVIEW)


def find_attention(workspace: OpenedWorkspace) -> list[Finding]:
    """Find what an administrator should look at now, the most urgent first."""
    with workspace.catalog.read() as session:
        of_rounds, of_jobs = list(_check_rounds(session)), list(_check_jobs(session))
        to_review = list(_check_reviews(session))
        version = models.current(session).version
        disputed = list(_check_disputed(session, version))
    return [
        *of_rounds,
        *_check_workers(workspace),
        *of_jobs,
        *_check_weights(workspace, version),
        *_check_disk(workspace),
        *to_review,
        *disputed,
    ]


def _check_rounds(session: Session) -> Iterator[Finding]:
    newest = rounds.newest(session)
    if newest is not None and newest.state is RoundState.FAILED:
        lines = (newest.error or "").strip().splitlines() or ["no reason was stored"]
        message = f"round {newest.number} failed: {lines[-1]}"
        notice = f"Round {newest.number} failed. Its page shows why; when the cause is mended, retry it there."
        yield Finding(AttentionKind.ROUND_FAILED, message, notice, f"{newest.number}/{newest.attempt}", newest.number)
    done = rounds.newest_done(session)
    for text in [] if done is None else (done.result or {}).get("warnings", []):
        assert done is not None
        occurrence = f"{done.number}/{hashlib.sha256(str(text).encode()).hexdigest()[:12]}"
        notice = f"Round {done.number} is done, with a warning that its page shows."
        yield Finding(AttentionKind.ROUND_WARNING, f"round {done.number}: {text}", notice, occurrence, done.number)


def _check_workers(workspace: OpenedWorkspace) -> Iterator[Finding]:
    lost = [worker for worker in read_workers(workspace.catalog) if worker.state is WorkerState.LOST]
    for machine in sorted({worker.machine for worker in lost}):
        here = [worker for worker in lost if worker.machine == machine]
        held = sum(worker.job is not None for worker in here)
        takes = f"; another worker takes over its {'job' if held == 1 else f'{held} jobs'}" if held else ""
        idle = "" if held else ", and had nothing to do"
        message = f"a worker on {machine} no longer answers{takes or idle}"
        occurrence = f"{machine}/{'/'.join(sorted(str(worker.process) for worker in here))}"[:200]
        yield Finding(AttentionKind.WORKER_LOST, message, f"{message[:1].upper()}{message[1:]}.", occurrence)


def _check_jobs(session: Session) -> Iterator[Finding]:
    failed = jobs.failed(session, _LISTED_JOBS, IMPORT_MASK)
    if failed:
        more = "at least " if len(failed) == _LISTED_JOBS else ""
        text = f"{more}{_count(len(failed), 'draft or other job', 'drafts or other jobs')} failed"
        message = f"{text}; the reasons: mrseg-label jobs list"
        notice = f"{text[:1].upper()}{text[1:]}. The reasons: mrseg-label jobs list."
        yield Finding(AttentionKind.JOBS_FAILED, message, notice, failed[0].id)
    refused = jobs.refused_masks(session, IMPORT_MASK)
    if refused:
        text = f"{_count(len(refused), 'imported mask was', 'imported masks were')} refused"
        message, notice = f"{text}; the reasons: mrseg-label status", f"{text}. The reasons: mrseg-label status."
        yield Finding(AttentionKind.MASKS_REFUSED, message, notice, str(len(refused)))


def _check_reviews(session: Session) -> Iterator[Finding]:
    awaiting = _awaiting(session)
    if awaiting.number:
        text = f"{_count(awaiting.number, 'annotation awaits', 'annotations await')} review"
        yield Finding(AttentionKind.AWAITING_REVIEW, text, f"{text}.", awaiting.newest)


def _check_disputed(session: Session, version: str) -> Iterator[Finding]:
    number = suspicions.count_disputed(session)
    if number:
        text = f"a model disagrees with {_count(number, 'annotation', 'annotations')} far more than with others"
        message = f"{text}; look at them and send them back if they are wrong"
        notice = f"{text[:1].upper()}{text[1:]}. The page Quality lists them."
        yield Finding(AttentionKind.MODEL_DISAGREES, message, notice, version)


def _awaiting(session: Session) -> Awaiting:
    number = reviews.count_awaiting(session)
    newest = annotation_rows.page(session, AnnotationState.SUBMITTED, None, 1) if number else ()
    return Awaiting(number, newest[0].id if newest else "")


def _check_weights(workspace: OpenedWorkspace, version: str) -> Iterator[Finding]:
    if version != BOOTSTRAP:
        return
    try:
        weights = find_weights(workspace.settings.totalseg_weights_path)
    except MrsegError:
        text = "no weights are installed, so no draft can be made; mrseg-label doctor says what is missing"
        yield Finding(AttentionKind.NO_WEIGHTS, text, f"{text[:1].upper()}{text[1:]}.")
        return
    if weights.kind is WeightsKind.STAND_IN:
        text = (
            "drafts come from stand-in weights, which were trained on phantoms and are of no use for patients; "
            "mrseg-label doctor says how to install the published ones"
        )
        yield Finding(AttentionKind.STAND_IN_WEIGHTS, text, f"{text[:1].upper()}{text[1:]}.")


def _check_disk(workspace: OpenedWorkspace) -> Iterator[Finding]:
    free = shutil.disk_usage(workspace.root).free / 1e9
    if free < LOW_DISK_GB:
        text = f"{free:.0f} GB are free on the disk of the workspace, and a round needs tens of GB; make room"
        yield Finding(AttentionKind.DISK_ALMOST_FULL, text, f"{text}.")


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
