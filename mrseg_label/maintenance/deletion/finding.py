"""Find whom a request for deletion is about, what there is of them, and what stands in the way."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import assignments as assignment_rows
from mrseg_label.catalog.queries import deleted, erasure, participants, rounds
from mrseg_label.catalog.queries import jobs as job_rows
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    Assignment,
    Examination,
    Job,
    Participant,
    Presegmentation,
    Remark,
    Review,
)
from mrseg_label.catalog.types import ENDED_ROUNDS, ROUND_JOBS, JobState
from mrseg_label.clock import now
from mrseg_label.errors import InvalidInput
from mrseg_label.ids import is_id
from mrseg_label.imaging.dicom import Patient
from mrseg_label.intake.dicom.pseudonyms import Pseudonyms
from mrseg_label.maintenance.deletion.traces import Traces
from mrseg_label.workspace import PSEUDONYM_KEY, STORED, Workspace

_HEADINGS = {
    "eid",
    "participant",
    "participant_id",
    "code",
    "id",
    "subject",
    "patientid",
    "patient_id",
    "n_eid",
    "f.eid",
}
_MIN_FILE_NAME = 6
_SLACK = timedelta(minutes=10)  # by which clocks of machines may differ


@dataclass(frozen=True)
class Found:
    """Whom a request is about.

    Attributes
    ----------
    participants : those who are in the catalogue.
    unknown : codes of a request that nobody here has; whoever is imported under one of them later is refused.
    already : how many of a request were deleted before.
    """

    participants: tuple[Participant, ...]
    unknown: tuple[str, ...]
    already: int = 0


@dataclass(frozen=True)
class Obstacles:
    """What makes a deletion wait.

    Attributes
    ----------
    rounds : numbers of rounds that are in progress with these participants.
    jobs : ids of jobs about them that are running.
    readers : names of readers who have one of their cases.
    """

    rounds: tuple[int, ...] = ()
    jobs: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()


@dataclass
class Holdings:
    """What there is of the participants in the database: rows, traces and counts."""

    rows: erasure.Belongings
    traces: Traces
    training: erasure.Training
    jobs: list[Job]
    sources: list[str]
    counts: dict[str, int] = field(default_factory=dict)
    found_at: datetime = field(default_factory=now)


def read_list(file: Path) -> list[str]:
    """Read participants from a list: one a line, or the first column of a table; a heading is left out.

    UK Biobank sends the numbers of those who withdrew in this form.

    Raises
    ------
    InvalidInput
        The file cannot be read, or has no participants.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read as a list of participants: {error}") from error
    delimiter = "\t" if "\t" in text else ";" if ";" in text and "," not in text else ","
    rows = csv.reader(text.splitlines(), delimiter=delimiter)
    codes = [row[0].strip() for row in rows if row and row[0].strip() and not row[0].lstrip().startswith("#")]
    if codes and re.sub(r"\s", "", codes[0]).casefold() in _HEADINGS:
        codes = codes[1:]
    if not codes:
        raise InvalidInput(f"{file} has no participants; write one code a line")
    return list(dict.fromkeys(codes))


def find_participants(session: Session, workspace: Workspace, codes: Sequence[str]) -> Found:
    """Find participants by their codes or, where the code is a pseudonym of ours, by the patient id it was made from."""
    found: dict[str, Participant] = {}
    unknown, already = [], 0
    for code in dict.fromkeys(codes):
        rows = (participants.by_code(session, one) for one in codes_of(workspace, code))
        row = next((row for row in rows if row is not None), None)
        if row is not None:
            found[row.id] = row
        elif deleted.with_code(session, code) is not None:
            already += 1
        else:
            unknown.append(code)
    return Found(tuple(found.values()), tuple(unknown), already)


def codes_of(workspace: Workspace, text: str) -> list[str]:
    """Codes under which somebody may be here: as given, or the pseudonym of a patient id where DICOM files were imported."""
    if not (workspace.root / PSEUDONYM_KEY).is_file():
        return [text]
    patient = Patient(text, frozenset())
    return [text, Pseudonyms(workspace.pseudonym_key()).participant_code(patient)]


def take_stock(
    session: Session, wanted: Sequence[Participant], asked_for: Sequence[str] = (), before: Holdings | None = None
) -> Holdings:
    """Find everything that belongs to participants and everything that stands for them.

    Parameters
    ----------
    asked_for : names of them in the request, which may be patient ids.
    before : what was found a moment ago; then all that takes a look at every row, of others too, is not looked for again.
    """
    rows = erasure.find_belongings(session, [person.id for person in wanted])
    stored = erasure.stored_files(session, rows)
    images = erasure.sources(session, rows)
    digests = {digest for _, digest in stored} | {digest for _, *both in images for digest in both if digest}
    ids = {part for keys in rows.rows.values() for key in keys for part in key if isinstance(part, str) and is_id(part)}
    ids |= digests - erasure.digests_of_others(session, rows, digests)
    ids |= set(erasure.tickets(session, rows))
    names = {person.code for person in wanted} | set(asked_for) | _earlier_codes(session, ids)
    names |= set(erasure.aliases(session, rows)) | {source for source, *_ in images if source}
    names |= before.traces.names if before is not None else _own_file_names(session, rows, images)
    training = erasure.training_with(session, rows)
    cases = rows.ids(Acquisition)
    files = [path for path, _ in stored]
    files += [f"{folder}/{case}" for folder in ("presegmentations", "annotations") for case in cases]
    traces = Traces(frozenset(ids), frozenset(names), tuple(files), frozenset(rows.ids(Examination)), training.rounds)
    kept = before.traces.kept if before is not None else _codes_with_these_in_them(session, traces, wanted)
    jobs = _jobs_about(session, replace(traces, kept=kept), before)
    files += [path for job in jobs if (path := _incoming(job)) is not None]
    traces = replace(
        traces, ids=traces.ids | {job.id for job in jobs}, files=tuple(dict.fromkeys(files)), kept=frozenset(kept)
    )
    return Holdings(rows, traces, training, jobs, [source for source, *_ in images], _count(rows))


def _jobs_about(session: Session, traces: Traces, before: Holdings | None) -> list[Job]:
    """Jobs about the participants: of all or, where that was done, of those that were known and of new ones."""
    found = erasure.jobs_about(
        session,
        lambda value: _mentions(traces, value),
        None if before is None else before.found_at - _SLACK,
    )
    known = [] if before is None else [job for one in before.jobs if (job := job_rows.get(session, one.id)) is not None]
    return list({job.id: job for job in (*known, *found)}.values())


def find_obstacles(session: Session, workspace: OpenedWorkspace, holdings: Holdings) -> Obstacles:
    """Find rounds, jobs and readers that work with the participants now."""
    moment = workspace.catalog.now(session)
    active = [number for number in holdings.training.rounds if _is_active(session, number)]
    running = [
        job.id
        for job in holdings.jobs
        if job.state is JobState.RUNNING and (job.lease_expires_at is None or job.lease_expires_at > moment)
    ]
    readers = {
        name for case in holdings.rows.ids(Acquisition) for name in assignment_rows.readers_of(session, case, moment)
    }
    return Obstacles(tuple(active), tuple(running), tuple(sorted(readers)))


def _is_active(session: Session, number: int) -> bool:
    row = rounds.get(session, number)
    return row is not None and row.state not in ENDED_ROUNDS


def _earlier_codes(session: Session, ids: set[str]) -> set[str]:
    """Codes that the participants had before they were corrected, as the audit trail tells."""
    codes = set()
    for detail in erasure.texts_about(session, ids):
        changed = detail.get("changes", {}).get("participant", ()) if isinstance(detail.get("changes"), dict) else ()
        codes |= {code for code in changed if isinstance(code, str)}
    # One that somebody has now is not theirs.
    return {code for code in codes if participants.by_code(session, code) is None}


def _own_file_names(
    session: Session, rows: erasure.Belongings, images: Sequence[tuple[str, str, str | None]]
) -> set[str]:
    """Names of their source files that no image of others has."""
    mine = {name for source, *_ in images if len(name := Path(source).name) >= _MIN_FILE_NAME}
    return mine - erasure.file_names_of_others(session, rows, mine) if mine else set()


def _codes_with_these_in_them(session: Session, traces: Traces, wanted: Sequence[Participant]) -> frozenset[str]:
    """Codes of others in which one of these is a word."""
    gone = {person.code for person in wanted}
    return frozenset(code for code in erasure.all_codes(session) if code not in gone and traces.in_text(code))


def _mentions(traces: Traces, value: Any) -> bool:
    """Whether a job is about one of them alone: its key, or a parameter that is no list."""
    if isinstance(value, str):
        return traces.in_text(value)
    return isinstance(value, dict) and any(_mentions(traces, entry) for entry in value.values())


def _incoming(job: Job) -> str | None:
    path = job.payload.get("path")
    return path if job.kind not in ROUND_JOBS and isinstance(path, str) and path.startswith(STORED) else None


def _count(rows: erasure.Belongings) -> dict[str, int]:
    tables = {
        "participants": Participant,
        "cases": Acquisition,
        "images": Examination,
        "pre-segmentations": Presegmentation,
        "annotations": Annotation,
        "reviews": Review,
        "remarks": Remark,
        "assignments": Assignment,
    }
    return {name: rows.count(table) for name, table in tables.items()}
