"""The draft of a case is ready when it is assigned: drafts are made along the order of assignment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import insert, select

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import presegmentations
from mrseg_label.catalog.queries.upcoming import STRATEGIES
from mrseg_label.catalog.tables import (
    BOOTSTRAP,
    Acquisition,
    Annotation,
    Examination,
    Job,
    Participant,
    Presegmentation,
)
from mrseg_label.catalog.types import CaseRole, JobState
from mrseg_label.clock import now
from mrseg_label.jobs import claim, queue, request_cancel
from mrseg_label.jobs.draft_jobs import begin_draft_of_assigned
from mrseg_label.presegmentation.presegment import store
from mrseg_label.presegmentation.presegment_pending import enqueue_pending_presegmentations
from mrseg_label.rounds.trigger import keep_ahead
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import GEOMETRY, add_round
from tests.support.worklist_cases import annotate, take

STATIONS = ("neck", "chest", "abdomen", "hips", "thighs", "knees")
COHORTS = (20, 60, 120, 300, 1000)
QUICK = {(60, "sequential"), (120, "balanced")}
LEAD = 3  # drafts that are made before the first case is assigned; after that one with each case


def add_cohort(opened: OpenedWorkspace, participants: int) -> None:
    """Add participants with one image at each station."""
    draw = Random(participants)
    people, cases, images = [], [], []
    for number in range(participants):
        people.append({"id": f"pt-{number}", "code": f"P{number:04d}", "created_at": now()})
        for station in STATIONS:
            case, image = f"aq-{number}-{station}", f"ex-{number}-{station}"
            cases.append(
                {
                    "id": case, "participant_id": f"pt-{number}", "key": case, "station": station, "sequence": "in",
                    "primary_examination_id": image, "shuffle": draw.random(), "created_at": now(),
                }
            )  # fmt: skip
            images.append(
                {
                    "id": image, "acquisition_id": case, "sequence": "in", "source": image, "source_digest": image,
                    "path": image, "digest": image, "geometry": GEOMETRY, "created_at": now(), "warnings": [],
                }
            )  # fmt: skip
    with opened.catalog.begin() as session:
        for table, rows in ((Participant, people), (Acquisition, cases), (Examination, images)):
            session.execute(insert(table), rows)


def make_drafts(opened: OpenedWorkspace, count: int) -> None:
    """Do what a worker does with the next jobs of the queue, apart from computing the masks."""
    for _ in range(count):
        claimed = claim(opened.catalog, [queue.DRAFTS])
        if claimed is None:
            return
        with opened.catalog.begin() as session:
            case = session.get_one(Acquisition, claimed.payload["acquisition"])
            assert case.primary_examination_id is not None
            made = Presegmentation(
                acquisition_id=case.id,
                examination_id=case.primary_examination_id,
                model_version=claimed.payload["model_version"],
                source="raw",
                path=f"presegmentations/{claimed.job_id}.nii.gz",
                digest=claimed.job_id,
                seconds=1.0,
                details={},
            )
            claimed.finish(opened.catalog, session, {})
            store(session, made)


def assign_and_count_ready(opened: OpenedWorkspace, strategy: str, count: int, pace: int = 1) -> int:
    """Assign and submit so many cases, with so many drafts made beside each; returns for how many one was ready."""
    ready = 0
    for _ in range(count):
        case = take(opened, strategy)
        with opened.catalog.read() as session:
            ready += not presegmentations.lacking(session, [case.acquisition_id], BOOTSTRAP)
        annotate(opened.catalog, case)
        with opened.catalog.begin() as session:
            keep_ahead(session, opened.settings, now())
        make_drafts(opened, pace)
    return ready


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws", settings_text='AUTH = "off"')
    with closing(open_workspace(tmp_path / "ws")) as workspace:
        yield workspace


@pytest.mark.parametrize(
    ("participants", "strategy"),
    [
        pytest.param(size, strategy, marks=[] if (size, strategy) in QUICK else pytest.mark.soak)
        for size in COHORTS
        for strategy in STRATEGIES
    ],
)
def test_drafts_of_the_first_cases_are_ready(opened: OpenedWorkspace, participants: int, strategy: str) -> None:
    add_cohort(opened, participants)
    with opened.catalog.begin() as session:
        wanted = min(2 * opened.settings.round_size, 6 * participants)
        assert enqueue_pending_presegmentations(session, opened.settings, now()) == wanted
    make_drafts(opened, LEAD)
    # Readers who choose another strategy than before are waited for with the first cases.
    change = 0 if strategy == "balanced" else 1
    ready = assign_and_count_ready(opened, strategy, 48 + change)
    assert ready >= 47, f"{ready} of {48 + change} drafts were ready"


def test_drafts_follow_a_change_of_the_strategy(opened: OpenedWorkspace) -> None:
    add_cohort(opened, 60)
    with opened.catalog.begin() as session:
        enqueue_pending_presegmentations(session, opened.settings, now())
    assign_and_count_ready(opened, "balanced", 5)
    assert assign_and_count_ready(opened, "sequential", 12, pace=4) >= 11


def test_drafts_are_ready_over_several_batches(tmp_path: Path) -> None:
    Workspace.init(tmp_path / "ws", settings_text='AUTH = "off"\nROUND_SIZE = 8\nAUTO_ROUND = false')
    with closing(open_workspace(tmp_path / "ws")) as opened:
        add_cohort(opened, 60)
        with opened.catalog.begin() as session:
            enqueue_pending_presegmentations(session, opened.settings, now())
        make_drafts(opened, LEAD)
        ready = 0
        for number in (1, 2, 3):
            ready += assign_and_count_ready(opened, "balanced", 8)
            with opened.catalog.begin() as session:
                snapshot = [(annotation, CaseRole.TRAINING) for annotation in session.scalars(select(Annotation))]
                add_round(session, number, snapshot)
        assert ready == 24


def test_the_draft_of_an_assigned_case_is_begun_at_once_and_before_others(opened: OpenedWorkspace) -> None:
    add_cohort(opened, 2)
    with opened.catalog.begin() as session:
        enqueue_pending_presegmentations(session, opened.settings, now())
    waited = [take(opened, "random").acquisition_id for _ in range(2)]  # drafts are queued in the order of `balanced`
    made = []
    for _ in waited:
        claimed = claim(opened.catalog, [queue.DRAFTS])
        assert claimed is not None
        made.append(claimed.payload["acquisition"])
    assert sorted(made) == sorted(waited)
    with opened.catalog.begin() as session:
        for job in session.query(Job).where(Job.state == JobState.QUEUED):
            request_cancel(job)
    unprepared = take(opened, "balanced").acquisition_id
    claimed = claim(opened.catalog, [queue.DRAFTS])
    assert claimed is not None and claimed.payload["acquisition"] == unprepared


def test_no_draft_is_begun_where_it_is_there_or_put_aside_or_none_is_made(opened: OpenedWorkspace) -> None:
    add_cohort(opened, 2)
    with opened.catalog.begin() as session:
        enqueue_pending_presegmentations(session, opened.settings, now())
    make_drafts(opened, 1)
    with opened.catalog.begin() as session:
        for job in session.query(Job).where(Job.state == JobState.QUEUED):
            job.state, job.put_aside = JobState.FAILED, True
    off = replace(opened, settings=opened.settings.model_copy(update={"presegmentation": "off"}))
    with opened.catalog.read() as session:
        case = session.scalars(select(Acquisition.id).order_by(Acquisition.id)).first()
    assert case is not None
    begin_draft_of_assigned(off, case)
    for _ in range(3):
        take(opened, "balanced")
    assert claim(opened.catalog, [queue.DRAFTS]) is None
