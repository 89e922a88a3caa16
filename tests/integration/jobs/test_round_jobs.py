"""How the jobs of a round of several folds end, and what that means for the round."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.catalog.queries import rounds, training
from mrseg_label.catalog.tables import Round
from mrseg_label.catalog.types import FoldState, JobState, RoundState
from mrseg_label.clock import now
from mrseg_label.errors import Conflict, LeaseLost
from mrseg_label.jobs import Claim, claim, enqueue, queue, requeue_of_dead_local_workers, retry
from mrseg_label.jobs.round_jobs import settle_folds
from mrseg_label.rounds import service
from mrseg_label.workspace import Workspace

FOLDS = 3


@pytest.fixture
def opened(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws", settings_text=f'AUTH = "off"\n{database_settings}')
    workspace = open_workspace(tmp_path / "ws")
    with workspace.catalog.begin() as session:
        session.add(Round(number=1, state=RoundState.TRAINING, profile="smoke", final=True))
        session.flush()
        for number in range(FOLDS):
            fold = training.get_or_add(session, 1, number)
            fold.job_id = enqueue(session, queue.TRAIN_FOLD, {"round": 1, "fold": number}, key=f"1-{number}").id
    yield workspace
    workspace.close()


def take(opened: OpenedWorkspace) -> Claim:
    """Claim the next fold, as a worker does."""
    claimed = claim(opened.catalog, [queue.ROUNDS])
    assert claimed is not None
    with opened.catalog.begin() as session:
        fold = training.fold_of_job(session, claimed.job_id)
        assert fold is not None
        fold.state = FoldState.RUNNING
    return claimed


def succeed(opened: OpenedWorkspace, claimed: Claim) -> None:
    """Publish a fold, as its job does."""
    with opened.catalog.begin() as session:
        claimed.finish(opened.catalog, session, {})
        fold = training.fold_of_job(session, claimed.job_id)
        row = rounds.get(session, 1, lock=True)
        assert fold is not None and row is not None
        fold.state = FoldState.DONE
        settle_folds(session, row, now())


def fail(opened: OpenedWorkspace, claimed: Claim, text: str = "the disk broke") -> None:
    with opened.catalog.begin() as session:
        claimed.fail(opened.catalog, session, text, retry=False)


def outcome(opened: OpenedWorkspace) -> tuple[RoundState, list[FoldState], list[str]]:
    """State of the round, of its folds, and the kinds of its queued jobs."""
    with opened.catalog.read() as session:
        row = rounds.get(session, 1)
        assert row is not None
        folds = [fold.state for fold in training.folds(session, 1)]
        return row.state, folds, [str(job.kind) for job in rows.list_in_states(session, [JobState.QUEUED])]


D, F, C = FoldState.DONE, FoldState.FAILED, FoldState.CANCELLED


@pytest.mark.parametrize(
    ("ends", "state", "folds", "queued"),
    [
        ("sss", RoundState.EVALUATING, [D, D, D], ["finish_round"]),
        ("fss", RoundState.EVALUATING, [F, D, D], ["finish_round"]),
        ("sff", RoundState.EVALUATING, [D, F, F], ["finish_round"]),
        ("fff", RoundState.FAILED, [F, F, F], []),
        ("ss", RoundState.TRAINING, [D, D, FoldState.QUEUED], ["train_fold"]),
    ],
)
def test_the_last_fold_goes_on_with_the_round(
    opened: OpenedWorkspace, ends: str, state: RoundState, folds: list[FoldState], queued: list[str]
) -> None:
    for how in ends:
        (succeed if how == "s" else fail)(opened, take(opened))
    assert outcome(opened) == (state, folds, queued)
    if state is RoundState.FAILED:
        with opened.catalog.read() as session:
            row = rounds.get(session, 1)
            assert row is not None and row.error is not None and row.finished_at is not None
            assert "3 of 3 folds failed: fold 0: the disk broke" in row.error
            assert "rounds retry 1" in row.error and "rounds log 1" in row.error


def test_folds_that_end_at_the_same_moment_finish_the_round_once(opened: OpenedWorkspace) -> None:
    claims = [take(opened) for _ in range(FOLDS)]
    threads = [threading.Thread(target=succeed, args=(opened, one)) for one in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcome(opened) == (RoundState.EVALUATING, [D, D, D], ["finish_round"])


def test_a_fold_whose_process_died_three_times_leaves_the_others(opened: OpenedWorkspace) -> None:
    succeed(opened, take(opened))
    succeed(opened, take(opened))
    for death in range(3):
        take(opened)
        with opened.catalog.begin() as session:
            [job] = rows.running(session)
            job.owner = job.owner.replace(":", ":4", 1) if job.owner else None  # no process of that id runs
        assert requeue_of_dead_local_workers(opened.catalog) == 1
        if death < 2:
            with opened.catalog.begin() as session:
                [job] = rows.list_in_states(session, [JobState.QUEUED])
                job.not_before = None
    assert outcome(opened) == (RoundState.EVALUATING, [D, D, F], ["finish_round"])
    with opened.catalog.read() as session:
        [failed] = rows.list_in_states(session, [JobState.FAILED])
        assert failed.error is not None and "rounds retry 1" in failed.error
    with pytest.raises(Conflict, match="rounds retry 1"):
        retry(opened.catalog, failed.id)


def test_a_cancel_reaches_every_fold(opened: OpenedWorkspace) -> None:
    succeed(opened, take(opened))
    running = take(opened)
    service.cancel(opened, 1)
    # The fold that waits is cancelled at once; the round ends when the process of the running one has.
    assert outcome(opened) == (RoundState.TRAINING, [D, FoldState.RUNNING, C], [])
    assert running.renew(opened.catalog) is True
    with opened.catalog.begin() as session:
        running.end_cancelled(opened.catalog, session)
    assert outcome(opened) == (RoundState.CANCELLED, [D, C, C], [])
    service.retry(opened, 1)
    assert outcome(opened)[0] is RoundState.QUEUED and outcome(opened)[2] == ["train_round"]


def test_a_cancel_that_comes_as_the_last_fold_ends_is_heeded(opened: OpenedWorkspace) -> None:
    succeed(opened, take(opened))
    succeed(opened, take(opened))
    last = take(opened)
    service.cancel(opened, 1)
    succeed(opened, last)  # its training had ended already
    assert outcome(opened) == (RoundState.CANCELLED, [D, D, D], [])


def test_a_stale_attempt_of_a_fold_publishes_nothing(opened: OpenedWorkspace) -> None:
    stale = take(opened)
    with opened.catalog.begin() as session:
        [job] = rows.running(session)
        job.owner = job.owner.replace(":", ":4", 1) if job.owner else None
    requeue_of_dead_local_workers(opened.catalog)
    with pytest.raises(LeaseLost):
        succeed(opened, stale)
    assert D not in outcome(opened)[1]


def test_a_round_that_has_a_version_stays_done(opened: OpenedWorkspace) -> None:
    """A fold is trained later and fails again, or that is cancelled: the version of the others is still there."""
    with opened.catalog.begin() as session:
        row = rounds.get(session, 1)
        assert row is not None
        row.result = {"model_version": "r1", "folds": [1, 2]}
        for number in (1, 2):
            fold = training.get_or_add(session, 1, number)
            fold.state = D
            job = rows.get(session, fold.job_id or "")
            assert job is not None
            job.state = JobState.DONE
    fail(opened, take(opened))
    state, folds, queued = outcome(opened)
    assert (state, folds, queued) == (RoundState.DONE, [F, D, D], [])
    service.retry(opened, 1)
    assert outcome(opened)[0] is RoundState.QUEUED
    service.cancel(opened, 1)
    assert outcome(opened)[0] is RoundState.DONE
