"""Work that kills its process is counted, goes behind the others and is put aside; a worker in good order loses none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.catalog.queries import rounds as round_rows
from mrseg_label.catalog.tables import Job
from mrseg_label.catalog.types import JobState, RoundState
from mrseg_label.clock import now
from mrseg_label.errors import Conflict, Unavailable
from mrseg_label.intake.service import import_paths
from mrseg_label.jobs import enqueue, queue, request_cancel, requeue_of_dead_local_workers, retry
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.presegmentation.presegment_pending import enqueue_pending_presegmentations
from mrseg_label.presegmentation.service import presegmentation_for
from mrseg_label.presegmentation.sparing import spare
from mrseg_label.processes import start_child
from mrseg_label.reports.jobs import read_job, read_jobs
from mrseg_label.rounds.service import start_in_transaction
from mrseg_label.worker import handlers
from mrseg_label.worker.ending import tell_to_end, tell_to_finish
from mrseg_label.worker.loop import Worker
from mrseg_label.workspace import Workspace
from tests.integration.conftest import write_image
from tests.support.process_trees import any_running, children_of, ids_in, wait_until

DEADLY = ("tests.support.deadly:run",)
WORKER = """
import sys
from mrseg_label.worker import __main__, handlers
handlers.HANDLERS["presegment"] = ("tests.support.deadly:run",)
sys.argv = ["worker", "--workspace", sys.argv[1], "--queues", "drafts", "--with-parent"]
__main__.main()
"""


@pytest.fixture
def workspace(tmp_path: Path) -> OpenedWorkspace:
    Workspace.init(tmp_path / "w")
    return open_workspace(tmp_path / "w")


def _add(workspace: OpenedWorkspace, key: str, how: str, priority: int = 0) -> str:
    with workspace.catalog.begin() as session:
        return enqueue(session, queue.PRESEGMENT, {"how": how}, key=key, priority=priority).id


def _job(workspace: OpenedWorkspace, job_id: str) -> Job:
    with workspace.catalog.read() as session:
        job = rows.get(session, job_id)
        assert job is not None
        return job


def _due_now(workspace: OpenedWorkspace, job_id: str) -> datetime:
    """End the time for which a job waits; returns when that would have been."""
    with workspace.catalog.begin() as session:
        job = rows.get(session, job_id)
        assert job is not None and job.not_before is not None
        waits_until, job.not_before = job.not_before, now()
        return waits_until


def _work_in_a_process(
    workspace: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch, kind: str = queue.PRESEGMENT
) -> int:
    """Run one job in a forked worker, and return how the process ended."""
    monkeypatch.setitem(handlers.HANDLERS, kind, DEADLY)
    pid = os.fork()
    if pid == 0:
        Worker(open_workspace(workspace.root), queue.QUEUES).run_one()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_work_that_kills_its_process_goes_behind_the_others_and_is_put_aside(
    workspace: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = _add(workspace, "deadly", "die", priority=100)
    delays = []
    for death in (1, 2, 3):
        assert _work_in_a_process(workspace, monkeypatch) == -signal.SIGKILL
        other = _add(workspace, f"after death {death}", "work")
        before = now()
        assert requeue_of_dead_local_workers(workspace.catalog) == 1
        job = _job(workspace, deadly)
        assert (job.attempt, job.deaths) == (death, death)
        if death == 3:
            break
        assert job.state is JobState.QUEUED
        assert job.error == f"its process died in attempt {death} of 3"
        delays.append(_due_now(workspace, deadly) - before)
        assert _work_in_a_process(workspace, monkeypatch) == 0  # another one is served in between
        assert _job(workspace, other).state is JobState.DONE
    assert delays[0] < delays[1]
    assert job.state is JobState.FAILED
    assert job.error is not None and "its process died three times" in job.error
    assert f"mrseg-label jobs retry {deadly}" in job.error
    _, shown = read_jobs(workspace.catalog, 10).items
    assert (shown.id, shown.put_aside, shown.deaths) == (deadly, True, 3)

    retry(workspace.catalog, deadly)  # an admin has made room: counted anew
    shown = read_job(workspace.catalog, deadly)
    assert (shown.state, shown.attempt, shown.deaths, shown.error) == (JobState.QUEUED, 0, 0, None)
    with pytest.raises(Conflict, match="queued"):
        retry(workspace.catalog, deadly)


def test_a_round_whose_process_died_three_times_ends(
    workspace: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with workspace.catalog.begin() as session:
        row = start_in_transaction(session, workspace.settings, actor="ada")
        job = rows.get(session, row.job_id or "")
        assert job is not None
        job.payload = {**job.payload, "how": "die"}
        number, job_id = row.number, job.id
    for death in (1, 2, 3):
        assert _work_in_a_process(workspace, monkeypatch, queue.TRAIN_ROUND) == -signal.SIGKILL
        requeue_of_dead_local_workers(workspace.catalog)
        if death < 3:
            _due_now(workspace, job_id)
    with workspace.catalog.read() as session:
        ended = round_rows.get(session, number)
        assert ended is not None and ended.state is RoundState.FAILED and ended.finished_at is not None
        assert ended.error is not None and f"mrseg-label rounds retry {number}" in ended.error
        assert round_rows.active(session) is None  # the next round may start
    with pytest.raises(Conflict, match=f"rounds retry {number}"):
        retry(workspace.catalog, job_id)


def test_a_draft_that_was_put_aside_is_not_begun_again_for_a_reader(workspace: OpenedWorkspace, tmp_path: Path) -> None:
    [entry] = import_paths(workspace, [write_image(tmp_path / "image.nii.gz", 400)]).accepted
    with pytest.raises(Unavailable, match="no worker has started"):
        presegmentation_for(workspace, entry.id, wait_seconds=0)
    with workspace.catalog.begin() as session:
        [job] = [job for job in rows.list_in_states(session) if job.kind == queue.PRESEGMENT]
        job.state, job.attempt, job.deaths, job.put_aside = JobState.FAILED, 3, 3, True
        job.error = "its process died three times"
        job_id = job.id
    with pytest.raises(Unavailable, match="its process died three times"):
        presegmentation_for(workspace, entry.id, wait_seconds=60)
    with workspace.catalog.begin() as session:
        assert enqueue_pending_presegmentations(session, workspace.settings, now()) == 0
    assert [item.id for item in read_jobs(workspace.catalog, 10, state=JobState.FAILED).items] == [job_id]
    retry(workspace.catalog, job_id)
    with pytest.raises(Unavailable, match="no worker has started"):
        presegmentation_for(workspace, entry.id, wait_seconds=0)


@pytest.mark.parametrize(("how", "put_aside"), [("fail", True), ("need a model", False)])
def test_a_draft_that_fails_three_times_is_put_aside_unless_the_model_is_at_fault(
    workspace: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch, how: str, put_aside: bool
) -> None:
    monkeypatch.setitem(handlers.HANDLERS, queue.PRESEGMENT, DEADLY)
    job_id = _add(workspace, "failing", how)
    worker = Worker(workspace, queue.QUEUES, ())
    for attempt in (1, 2, 3):
        assert worker.run_one()
        if attempt < 3:
            _due_now(workspace, job_id)
    shown = read_job(workspace.catalog, job_id)
    assert (shown.state, shown.attempt, shown.deaths, shown.put_aside) == (JobState.FAILED, 3, 0, put_aside)
    retry(workspace.catalog, job_id)
    assert not read_job(workspace.catalog, job_id).put_aside


def test_each_death_leaves_a_draft_less(workspace: OpenedWorkspace) -> None:
    joined = workspace.settings.model_copy(update={"bootstrap_sources": "T1=raw+total_mr,*=total_mr+mrsegmentator"})
    workspace = replace(workspace, settings=joined)
    same, nothing = spare(workspace, 0)
    once, first = spare(workspace, 1)
    twice, second = spare(workspace, 2)
    assert same is workspace and nothing == []
    assert (once.settings.mixture, once.settings.ensemble_drafts, once.settings.device) == ("", "best", "auto")
    assert once.settings.bootstrap_sources == "T1=raw,*=total_mr"
    assert twice.settings.device == "cpu" and (len(first), len(second)) == (1, 2)


def test_a_worker_ends_to_be_replaced_when_memory_was_exhausted(
    workspace: OpenedWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(handlers.HANDLERS, queue.PRESEGMENT, DEADLY)
    first, second = (_add(workspace, key, "work") for key in ("first", "second"))
    worker = Worker(workspace, queue.QUEUES, ())
    worker.state["loaded_models"] = LoadedModels(workspace)
    assert worker.run_one() and not worker.is_worn
    worker.state["loaded_models"].met_out_of_memory = True
    worker.run()  # returns at once
    assert _job(workspace, first).state is JobState.DONE and _job(workspace, second).state is JobState.QUEUED


@pytest.mark.parametrize("how", ["terminate twice", "end", "terminate everything"])
def test_a_worker_in_good_order_gives_its_job_back(workspace: OpenedWorkspace, how: str) -> None:
    everything = how == "terminate everything"  # as systemd and Slurm do
    job_id = _add(workspace, "long", "wait for a child" if everything else "stay")
    worker = start_child([sys.executable, "-c", WORKER, str(workspace.root)])
    wait_until(lambda: _job(workspace, job_id).state is JobState.RUNNING, 60)
    if everything:
        wait_until(lambda: bool(children_of(worker.pid)), 20)
        os.killpg(worker.pid, signal.SIGTERM)
    elif how == "end":
        tell_to_finish(worker)  # which would take ten minutes
        tell_to_end(worker)
    else:
        worker.terminate()
        worker.terminate()
    assert worker.wait(30) == (0 if everything else -signal.SIGKILL)
    job = _job(workspace, job_id)
    assert (job.state, job.attempt, job.deaths, job.error) == (JobState.QUEUED, 0, 0, None)
    assert requeue_of_dead_local_workers(workspace.catalog) == 0


@pytest.mark.parametrize("how", ["stay", "hang"])
def test_work_that_heeds_no_cancel_or_hangs_is_ended_and_the_worker_works_on(tmp_path: Path, how: str) -> None:
    """A thread of Python cannot be ended from outside: the process is replaced, under the same id."""
    Workspace.init(tmp_path / "w", settings_text="STALL_MINUTES = 0.01\n" if how == "hang" else "")
    workspace = open_workspace(tmp_path / "w")
    ids = tmp_path / "ids"
    with workspace.catalog.begin() as session:
        job_id = enqueue(session, queue.PRESEGMENT, {"how": how, "ids": str(ids)}, key="long").id
    worker = start_child([sys.executable, "-c", WORKER, str(workspace.root)])
    wait_until(lambda: bool(ids_in(ids)))
    if how == "stay":
        with workspace.catalog.begin() as session:
            job = rows.get(session, job_id)
            assert job is not None
            request_cancel(job)
        wait_until(lambda: _job(workspace, job_id).state is JobState.CANCELLED, 10)
    else:
        wait_until(lambda: _job(workspace, job_id).state is JobState.QUEUED, 20)
        job = _job(workspace, job_id)
        assert (job.attempt, job.deaths) == (1, 0)
        assert job.error is not None and "no progress for 0.01 minutes (STALL_MINUTES)" in job.error
    assert not any_running(ids_in(ids))
    other = _add(workspace, "other", "work", priority=1)
    wait_until(lambda: _job(workspace, other).state is JobState.DONE)
    worker.kill()
    worker.wait(30)


def test_a_worker_whose_parent_dies_has_died(workspace: OpenedWorkspace) -> None:
    """What kills the server may be the memory that the worker's job takes."""
    job_id = _add(workspace, "long", "stay")
    code = f"""
import subprocess, sys
from mrseg_label.processes import start_child
start_child([sys.executable, "-c", {WORKER!r}, {str(workspace.root)!r}])
import time; time.sleep(600)
"""
    server = subprocess.Popen([sys.executable, "-c", code])
    wait_until(lambda: _job(workspace, job_id).state is JobState.RUNNING, 60)
    server.kill()
    server.wait()
    wait_until(lambda: requeue_of_dead_local_workers(workspace.catalog) == 1, 20)
    job = _job(workspace, job_id)
    assert (job.state, job.attempt, job.deaths) == (JobState.QUEUED, 1, 1)
