"""What ``status`` tells of work that failed and of the server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import heartbeats, workers
from mrseg_label.catalog.tables import Job
from mrseg_label.catalog.types import AttentionKind, JobState, RoundState
from mrseg_label.cli import main
from mrseg_label.clock import now
from mrseg_label.jobs import claim, enqueue, give_back, queue, requeue_of_dead_local_workers
from mrseg_label.maintenance.checks import check_workspace
from mrseg_label.maintenance.heartbeat import ServerHeartbeat, WorkerHeartbeat
from mrseg_label.reports.attention import find_attention
from mrseg_label.reports.status import read_status
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import add_round


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws")
    opened = open_workspace(tmp_path / "ws")
    yield opened
    opened.close()


def fail(workspace: OpenedWorkspace, kind: str, key: str, error: str) -> str:
    with workspace.catalog.begin() as session:
        payload = {"acquisition": key, "model_version": "r1"}
        if kind == queue.IMPORT_MASK:
            payload = {"examination": key, "digest": "d"}
        job = enqueue(session, kind, payload, key=key)
        job.state, job.error, job.finished_at = JobState.FAILED, error, now()
        return job.id


def test_status_names_what_failed_until_it_succeeds(
    workspace: OpenedWorkspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_status(workspace).jobs_failed == []
    first = fail(workspace, queue.PRESEGMENT, "ac-1", "Traceback ...\nInvalidInput: no space left on the GPU\n")
    fail(workspace, queue.IMPORT_MASK, "ex-1", "a mask, which is listed elsewhere")
    second = fail(workspace, queue.TRAIN_ROUND, "2", "the training was killed")
    found = read_status(workspace).jobs_failed
    assert [(job.job, job.kind, job.reason) for job in found] == [
        (second, "train_round", "the training was killed"),
        (first, "presegment", "InvalidInput: no space left on the GPU"),
    ]
    assert found[1].subject == {"acquisition": "ac-1", "model_version": "r1"}
    with pytest.raises(SystemExit):
        main(["status", "--workspace", str(workspace.root)])
    text = capsys.readouterr().out
    assert f"ac-1 r1: InvalidInput: no space left on the GPU (mrseg-label jobs retry {first})" in text
    assert "server" in text and "never started" in text
    with workspace.catalog.begin() as session:
        again = enqueue(session, queue.PRESEGMENT, {}, key="ac-1")
        again.created_at = session.get_one(Job, first).created_at + timedelta(seconds=1)
        again.state = JobState.DONE
    assert [job.job for job in read_status(workspace).jobs_failed] == [second]


def test_status_says_when_the_server_was_last_alive(
    workspace: OpenedWorkspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_status(workspace).server_last_alive is None
    before = now()
    heartbeat = ServerHeartbeat(workspace.catalog)
    heartbeat.start()
    heartbeat.stop()
    status = read_status(workspace)
    assert status.server_started is not None and status.server_last_alive is not None
    assert before <= status.server_started <= status.server_last_alive <= now()
    with workspace.catalog.begin() as session:
        heartbeats.record(session, "server of yesterday", before - timedelta(days=2), before - timedelta(days=1))
    assert read_status(workspace).server_last_alive == status.server_last_alive
    with pytest.raises(SystemExit):
        main(["status", "--workspace", str(workspace.root)])
    assert f"last alive {status.server_last_alive.astimezone():%Y-%m-%d %H:%M}" in capsys.readouterr().out


def test_warnings_of_the_newest_round_are_shown_until_the_next(
    workspace: OpenedWorkspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training that fell back to the CPU says so in the round, here and in doctor."""

    def checked() -> str:
        checks = check_workspace(workspace.root, verify=False, progress=lambda *_: None)
        return " ".join(f"{one.state}: {one.detail}" for one in checks if one.name == "newest round")

    assert read_status(workspace).round_warnings == [] and checked() == ""
    text = "torch can use no GPU, so the CPU is used"
    with workspace.catalog.begin() as session:
        add_round(session, 1, [], state=RoundState.DONE).result = {"warnings": [text]}
    assert read_status(workspace).round_warnings == [f"round 1: {text}"]
    assert checked() == f"warning: round 1: {text}"
    with pytest.raises(SystemExit):
        main(["status", "--workspace", str(workspace.root)])
    assert text in " ".join(capsys.readouterr().out.split())
    with workspace.catalog.begin() as session:
        add_round(session, 2, [], state=RoundState.DONE)
    assert read_status(workspace).round_warnings == [] and checked().startswith("ok: round 2")


def test_each_worker_is_known_with_what_it_does_until_it_ends_or_is_lost(
    workspace: OpenedWorkspace, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown() -> dict[str, tuple[str, str | None]]:
        with pytest.raises(SystemExit):
            main(["status", "--workspace", str(workspace.root)])
        found = read_status(workspace).workers
        return {one.machine: (one.state, one.job.kind if one.job else None) for one in found}

    here, catalog = socket.gethostname(), workspace.catalog
    heartbeat = WorkerHeartbeat(catalog, ["light", "drafts"])
    heartbeat.beat()
    with catalog.begin() as session:
        workers.record(session, "gpu-node:7:99", "rounds", now() - timedelta(minutes=2))
        enqueue(session, queue.PRESEGMENT_PENDING, {}, key="a")
    assert shown() == {here: ("idle", None), "gpu-node": ("lost", None)}
    text = " ".join(capsys.readouterr().out.split())
    assert f"worker on {here} idle; queues light, drafts" in text and "lost: no sign of life since" in text
    (finding,) = [one for one in find_attention(workspace) if one.kind is AttentionKind.WORKER_LOST]
    assert finding.message == "a worker on gpu-node no longer answers, and had nothing to do"
    assert claim(catalog, [queue.LIGHT]) is not None
    assert shown()[here] == ("working", "presegment_pending")
    assert "presegment pending since" in " ".join(capsys.readouterr().out.split())
    give_back(catalog)
    assert shown() == {"gpu-node": ("lost", None)}
    heartbeat.beat()
    heartbeat.end()
    with catalog.begin() as session:  # one that was killed here is forgotten at the next start
        workers.record(session, f"{here}:1:none", "rounds", now())
        workers.record(session, "gpu-node:7:99", "rounds", now())
    requeue_of_dead_local_workers(catalog)
    assert shown() == {"gpu-node": ("idle", None)}
