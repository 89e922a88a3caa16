"""The state of a case for every combination of decisions about two annotations of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import select

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import annotations as annotation_rows
from mrseg_label.catalog.queries import concepts, reviews
from mrseg_label.catalog.tables import Acquisition, Annotation, Review
from mrseg_label.catalog.types import AnnotationState, Verdict
from mrseg_label.clock import now
from mrseg_label.reports.progress import read_progress
from mrseg_label.reports.status import read_status
from tests.support.catalog_rows import add_acquisition, add_annotation, add_participant
from tests.support.worklist_cases import make_queue

# Of an annotation: submitted, accepted, rejected by a reviewer, withdrawn.
S, A, R, W = "SARW"
# Which annotation is the newer one: again by Ada, a correction by Bob of Ada's, or Bob's second reading.
AGAIN, CORRECTION, SECOND_READING = "again by ada", "correction by bob", "second reading by bob"

# Of the older annotation, by Ada, and the newer one: whose is the case's mask (the older's or the newer's), in which
# state the case is, and to whom it comes back.
NEITHER, OLDER, NEWER = None, "older", "newer"
WAITING, REVIEW, ANNOTATED = "waiting", "awaiting review", "annotated"
BOTH_MAY_BE_THE_MASK = {
    (S, S): (NEITHER, REVIEW, {}),
    (S, A): (NEWER, ANNOTATED, {}),
    (S, R): (NEITHER, REVIEW, {NEWER}),
    (S, W): (NEITHER, REVIEW, {}),
    (A, S): (OLDER, ANNOTATED, {}),
    (A, A): (NEWER, ANNOTATED, {}),
    (A, R): (OLDER, ANNOTATED, {NEWER}),
    (A, W): (OLDER, ANNOTATED, {}),
    (R, S): (NEITHER, REVIEW, {}),
    (R, A): (NEWER, ANNOTATED, {}),
    (R, R): (NEITHER, WAITING, {NEWER}),
    (R, W): (NEITHER, WAITING, {OLDER}),
    (W, S): (NEITHER, REVIEW, {}),
    (W, A): (NEWER, ANNOTATED, {}),
    (W, R): (NEITHER, WAITING, {NEWER}),
    (W, W): (NEITHER, WAITING, {}),
}
# A second reading is never the mask, and takes nothing from what Ada owes.
NEWER_IS_SECOND_READING = BOTH_MAY_BE_THE_MASK | {
    (S, A): (NEITHER, REVIEW, {}),
    (A, A): (OLDER, ANNOTATED, {}),
    (R, S): (NEITHER, REVIEW, {OLDER}),
    (R, A): (NEITHER, WAITING, {OLDER}),
    (R, R): (NEITHER, WAITING, {OLDER, NEWER}),
    (W, A): (NEITHER, WAITING, {}),
}
TABLES = {AGAIN: BOTH_MAY_BE_THE_MASK, CORRECTION: BOTH_MAY_BE_THE_MASK, SECOND_READING: NEWER_IS_SECOND_READING}


@dataclass(frozen=True)
class Made:
    """A case with two annotations."""

    kind: str
    states: tuple[str, str]
    older: str
    newer: str


@pytest.fixture
def opened(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    yield from make_queue(tmp_path, database_settings)


def decide(row: Annotation, decision: str) -> Review | None:
    """Bring an annotation into a state as its review does."""
    accepted, rejected = AnnotationState.ACCEPTED, AnnotationState.REJECTED
    row.state = {S: AnnotationState.SUBMITTED, A: accepted, R: rejected, W: rejected}[decision]
    if decision == S:
        return None
    verdict = {A: Verdict.ACCEPTED, R: Verdict.REJECTED, W: Verdict.WITHDRAWN}[decision]
    return Review(annotation_id=row.id, reviewer="eve", verdict=verdict, comment="x", created_at=now())


def make(opened: OpenedWorkspace) -> dict[str, Made]:
    """A case of each kind and in each combination, by acquisition; which decision came first makes no difference."""
    made: dict[str, Made] = {}
    with opened.catalog.begin() as session:
        for index, (kind, older_state, newer_state) in enumerate(product(TABLES, "SARW", "SARW")):
            case = add_acquisition(session, add_participant(session, f"P{index:02d}"))
            older, newer = (add_annotation(session, case, number=number) for number in (1, 2))
            older.author, newer.author = "ada", "ada" if kind == AGAIN else "bob"
            newer.is_final = kind != SECOND_READING
            decisions = [decide(older, older_state), decide(newer, newer_state)]
            decided = [row for row in decisions if row is not None]
            for moment, row in enumerate(decided if index % 2 else decided[::-1]):
                row.created_at += timedelta(seconds=moment - 60)
            session.add_all(decided)
            session.flush()
            case.annotated_at = now() if annotation_rows.final(session, case.id) else None
            made[case.id] = Made(kind, (older_state, newer_state), older.id, newer.id)
    return made


def test_every_combination_of_decisions(opened: OpenedWorkspace) -> None:
    made = make(opened)
    with opened.catalog.read() as session:
        moment = opened.catalog.now(session)
        found = {name: set(session.scalars(select(Acquisition.id).where(condition))) for name, condition in (
            (WAITING, concepts.is_waiting(moment)),
            (REVIEW, concepts.is_being_annotated(moment)),
            (ANNOTATED, concepts.is_annotated()),
        )}  # fmt: skip
        back: dict[str, set[str]] = {}
        for row in reviews.sent_back(session, moment):
            back.setdefault(row.case.id, set()).add(row.annotation.id)
        finals = annotation_rows.finals(session, list(made))
    for case, entry in made.items():
        mask, state, returned = TABLES[entry.kind][entry.states]
        names = {entry.older: OLDER, entry.newer: NEWER}
        final = finals.get(case)
        seen = (
            names[final.id] if final else NEITHER,
            [name for name, cases in found.items() if case in cases],
            {names[annotation] for annotation in back.get(case, set())},
        )
        assert seen == (mask, [state], set(returned)), (entry.kind, entry.states)
    # What awaits review is counted by annotation: of a case, two may.
    submitted = sum(entry.states.count(S) for entry in made.values())
    cases = sum(S in entry.states for entry in made.values())
    for progress in (read_progress(opened), read_status(opened).progress):
        assert (progress.annotations_awaiting_review, progress.awaiting_review) == (submitted, cases)
    assert submitted > cases
