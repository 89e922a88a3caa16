"""Job rows on a real database: claims, leases, cancels, and workers that are killed for real."""

import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.queries import jobs as rows
from mrseg_label.catalog.tables import Base, Job
from mrseg_label.catalog.types import JobState
from mrseg_label.clock import now
from mrseg_label.errors import ConfigurationError, LeaseLost
from mrseg_label.jobs import claim, enqueue, queue, request_cancel, requeue_of_dead_local_workers
from mrseg_label.workspace import Workspace
from tests.support.process_trees import is_running, wait_until


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    Workspace.init(tmp_path / "w")
    return open_workspace(tmp_path / "w").catalog


def _add(catalog: Catalog, key: str, **more: int) -> str:
    with catalog.begin() as session:
        return enqueue(session, queue.PRESEGMENT, {"n": key}, key=key, **more).id


def _job(catalog: Catalog, job_id: str) -> Job:
    with catalog.read() as session:
        job = rows.get(session, job_id)
        assert job is not None
        return job


def _expire(catalog: Catalog, job_id: str) -> None:
    with catalog.begin() as session:
        job = rows.get(session, job_id)
        assert job is not None
        job.lease_expires_at = now() - timedelta(seconds=1)


def _due_now(catalog: Catalog, job_id: str) -> None:
    with catalog.begin() as session:
        job = rows.get(session, job_id)
        assert job is not None
        job.not_before = now()


def test_migrations_make_what_the_tables_say(catalog: Catalog) -> None:
    with catalog.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_a_database_of_another_version_is_refused(catalog: Catalog) -> None:
    with catalog.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match="9999"):
        catalog.upgrade()
    with pytest.raises(ConfigurationError, match="9999"):
        catalog.check_current()


def test_claims_go_by_priority_then_age_and_keys_are_unique_while_active(catalog: Catalog) -> None:
    first, urgent = _add(catalog, "a"), _add(catalog, "b", priority=10)
    assert _add(catalog, "a") == first
    held = claim(catalog, [queue.DRAFTS])
    assert held is not None and held.job_id == urgent
    assert claim(catalog, [queue.ROUNDS]) is None
    with catalog.begin() as session:
        held.finish(catalog, session, {"x": 1})
    assert _job(catalog, urgent).state is JobState.DONE
    assert _add(catalog, "b") != urgent


def test_one_job_is_claimed_once_by_many(catalog: Catalog) -> None:
    expected = {_add(catalog, str(index)) for index in range(40)}
    taken: list[str] = []

    def take() -> None:
        while (held := claim(catalog, [queue.DRAFTS])) is not None:
            taken.append(held.job_id)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 40 and set(taken) == expected


def test_a_stale_attempt_publishes_nothing(catalog: Catalog) -> None:
    job_id = _add(catalog, "a")
    stale = claim(catalog, [queue.DRAFTS])
    assert stale is not None
    _expire(catalog, job_id)
    assert claim(catalog, [queue.DRAFTS]) is None  # waits before the second attempt
    assert (_job(catalog, job_id).state, _job(catalog, job_id).deaths) == (JobState.QUEUED, 1)
    _due_now(catalog, job_id)
    fresh = claim(catalog, [queue.DRAFTS])
    assert fresh is not None and fresh.job_id == job_id and fresh.attempt == 2
    with pytest.raises(LeaseLost), catalog.begin() as session:
        session.add(Job(kind=queue.PRESEGMENT, queue=queue.DRAFTS, key="ghost", payload={}, state=JobState.QUEUED))
        stale.finish(catalog, session, {})
    with catalog.read() as session:
        assert rows.active(session, queue.PRESEGMENT, "ghost") is None
    with pytest.raises(LeaseLost):
        stale.renew(catalog)
    assert fresh.renew(catalog) is False


def test_failures_are_tried_again_and_end(catalog: Catalog) -> None:
    job_id = _add(catalog, "a", max_attempts=2)
    held = claim(catalog, [queue.DRAFTS])
    assert held is not None
    with catalog.begin() as session:
        assert held.fail(catalog, session, "boom", retry=True)
    assert claim(catalog, [queue.DRAFTS]) is None  # waits before the second attempt
    _due_now(catalog, job_id)
    held = claim(catalog, [queue.DRAFTS])
    assert held is not None and held.last_attempt
    with catalog.begin() as session:
        assert not held.fail(catalog, session, "boom again", retry=True)
    assert (_job(catalog, job_id).state, _job(catalog, job_id).error) == (JobState.FAILED, "boom again")


def test_cancel_of_a_waiting_a_running_and_a_dead_job(catalog: Catalog) -> None:
    waiting, dead = _add(catalog, "w"), _add(catalog, "d", priority=5)
    held = claim(catalog, [queue.DRAFTS])
    assert held is not None and held.job_id == dead
    with catalog.begin() as session:
        for job_id in (waiting, dead):
            job = rows.get(session, job_id)
            assert job is not None
            request_cancel(job)
    assert _job(catalog, waiting).state is JobState.CANCELLED
    assert _job(catalog, dead).state is JobState.RUNNING  # key and slot stay held until the process is known to be dead
    assert held.renew(catalog) is True
    _expire(catalog, dead)  # the worker died between the request and its end
    assert claim(catalog, [queue.DRAFTS]) is None
    assert _job(catalog, dead).state is JobState.CANCELLED


HOLDER = """
import sys, time
from pathlib import Path
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.jobs import claim
held = claim(open_workspace(Path(sys.argv[1])).catalog, ["drafts"])
print(held.job_id, flush=True)
time.sleep(600)
"""


def test_a_job_that_failed_while_it_was_to_be_cancelled_ends(catalog: Catalog) -> None:
    job_id = _add(catalog, "a")
    held = claim(catalog, [queue.DRAFTS])
    assert held is not None
    with catalog.begin() as session:
        job = rows.get(session, job_id)
        assert job is not None
        request_cancel(job)
    with catalog.begin() as session:
        held.fail(catalog, session, "boom", retry=True)
    assert claim(catalog, [queue.DRAFTS]) is None
    assert _job(catalog, job_id).state is JobState.CANCELLED


def test_jobs_of_a_killed_worker_are_free_at_once_and_its_death_counts(catalog: Catalog, tmp_path: Path) -> None:
    job_id = _add(catalog, "a")
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "w")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline().strip() == job_id
    assert requeue_of_dead_local_workers(catalog) == 0  # alive: it keeps its job
    process.kill()
    process.wait()
    assert requeue_of_dead_local_workers(catalog) == 1
    _due_now(catalog, job_id)
    held = claim(catalog, [queue.DRAFTS])
    assert held is not None and held.job_id == job_id and held.attempt == 2
    assert _job(catalog, job_id).deaths == 1


@pytest.mark.usefixtures("catalog")
def test_a_worker_process_ends_with_its_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from pathlib import Path\n"
            "from mrseg_label.worker.supervise import start_worker\n"
            "print(start_worker(Path(sys.argv[1]), ['light']).pid, flush=True)\n"
            "time.sleep(600)",
            str(tmp_path / "w"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    time.sleep(1.5)
    assert is_running(worker)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not is_running(worker), 20)
