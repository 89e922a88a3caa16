"""A disk that is full, read-only or slow in coming back: every write says what to do, and nothing is lost or left."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import snapshots
from mrseg_label.catalog.tables import Job
from mrseg_label.catalog.types import JobKind, JobState
from mrseg_label.cli import main
from mrseg_label.errors import StorageFull
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.jobs import enqueue, queue
from mrseg_label.labels import LabelScheme
from mrseg_label.worker.loop import Worker
from mrseg_label.workspace import Workspace
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.server import build
from tests.integration.conftest import SETTINGS, add_draft, write_image
from tests.support.intake_files import boxes, picture, save
from tests.support.small_disk import SmallDisk, small_disk

__all__ = ["small_disk"]
Send = Callable[..., httpx.Response]
ADVICE = "nothing was stored, and what was stored before is safe; make room"


@pytest.fixture
def workspace(small_disk: SmallDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenedWorkspace]:
    """A workspace with one case, on a disk of its own."""
    root = Workspace.init(small_disk.folder / "ws", settings_text=SETTINGS).root
    opened = open_workspace(root)
    (entry,) = import_paths(opened, [write_image(tmp_path / "p1.nii.gz", 1)]).accepted
    add_draft(opened, entry.id)
    monkeypatch.setattr(tempfile, "tempdir", str(root / "tmp"))  # as the server does when it starts
    yield opened
    opened.close()


@pytest.fixture
def send(workspace: OpenedWorkspace) -> Send:
    """Send a request to the application."""
    transport = httpx.ASGITransport(build(ProtocolApp(workspace)), raise_app_exceptions=False)

    def send_request(
        method: str, path: str, *, within: AbstractContextManager[None] | None = None, **options: Any
    ) -> httpx.Response:
        async def run() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
                with within or nullcontext():
                    return await http.request(method, path, **options)

        return asyncio.run(run())

    return send_request


def upload(send: Send, case: str, mask: bytes, **options: Any) -> httpx.Response:
    info = {"label_info": [{"name": name} for name in LabelScheme.default().names]}
    files = {"label": ("label.nii.gz", mask)}
    return send("PUT", f"/datastore/label?image={case}", files=files, data={"params": json.dumps(info)}, **options)


def temporary_files(workspace: OpenedWorkspace) -> list[str]:
    return [path.name for path in workspace.root.rglob("*") if path.suffix == ".part" or path.parent.name == "tmp"]


@pytest.mark.sqlite  # whose file lies in the workspace
def test_every_write_on_a_full_disk_answers_507_and_works_again_with_room(
    send: Send, workspace: OpenedWorkspace, small_disk: SmallDisk, tmp_path: Path
) -> None:
    case = send("POST", "/activelearning/sequential", json={}).json()["id"]
    mask = send("GET", f"/datastore/label?label={case}&tag=original").content
    image = write_image(tmp_path / "p2.nii.gz", 2).read_bytes()
    noise = np.random.default_rng(0).bytes(3_000_000)  # more than is kept in memory while the body is read
    small_disk.fill()
    refused = {
        "submission": upload(send, case, mask),
        "large submission": upload(send, case, noise),
        "image": send("PUT", "/datastore/image?image=mine", files={"file": ("a.nii.gz", image)}),
        "session": send("PUT", "/session/", files={"files": ("a.nii.gz", image)}),
    }
    for what, reply in refused.items():
        assert (reply.status_code, ADVICE in reply.text) == (507, True), (what, reply.text)
    assert send("GET", "/info/").status_code == 200
    assert temporary_files(workspace) == []
    with pytest.raises(StorageFull, match="the disk of the database is full"):
        for _ in range(200):  # until the room that the log of the database has is used up
            with workspace.catalog.begin() as session:
                enqueue(session, queue.IMPORT_MASK, {"path": "x" * 5000}, key=str(_))
    reply = send("POST", f"/api/v1/examinations/{case}/return", json={"client": "user-xyz"})
    assert (reply.status_code, ADVICE in reply.text) == (507, True)
    assert reply.headers["content-type"] == "application/problem+json"
    small_disk.empty()
    assert upload(send, case, mask).status_code == 200
    with workspace.catalog.read() as session:
        assert len(snapshots.candidates(session)) == 1


def test_a_workspace_whose_disk_is_not_mounted_is_named_and_comes_back(send: Send, workspace: OpenedWorkspace) -> None:
    case = send("POST", "/activelearning/sequential", json={}).json()["id"]
    mask = send("GET", f"/datastore/label?label={case}&tag=original").content
    away = workspace.root.rename(
        workspace.root.with_name("elsewhere")
    )  # the database is open still, as PostgreSQL would be
    workspace.root.mkdir()
    refused = [upload(send, case, mask), send("GET", f"/datastore/image?image={case}")]
    for reply in refused:
        assert (reply.status_code, reply.headers.get("retry-after")) == (503, "10"), reply.text
        assert "its disk or network share is not mounted" in reply.json()["detail"]
    workspace.root.rmdir()
    away.rename(workspace.root)
    assert upload(send, case, mask).status_code == 200
    lost = next(workspace.root.glob("images/**/*.nii.gz"))
    lost.unlink()
    reply = send("GET", f"/datastore/image?image={case}")
    assert (reply.status_code, "mrseg-label doctor" in reply.json()["detail"]) == (503, True)


@contextmanager
def limit(kind: int, value: int) -> Iterator[None]:
    """Lower a limit of this process."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


@contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open no more files."""
    with (
        limit(resource.RLIMIT_NOFILE, max(int(entry.name) for entry in Path("/proc/self/fd").iterdir()) + 1),
        ExitStack() as opened,
    ):
        with suppress(OSError):
            while True:
                opened.enter_context(Path(os.devnull).open())
        yield


def test_limits_of_the_process_are_named(send: Send, workspace: OpenedWorkspace) -> None:
    case = send("POST", "/activelearning/sequential", json={}).json()["id"]
    mask = send("GET", f"/datastore/label?label={case}&tag=original").content
    noise = np.random.default_rng(0).bytes(200_000)
    reply = upload(send, case, noise, within=limit(resource.RLIMIT_FSIZE, 100_000))
    assert (reply.status_code, "the limit of file sizes (ulimit -f)" in reply.text) == (507, True), reply.text
    reply = upload(send, case, mask, within=no_more_files())
    assert (reply.status_code, "too many files are open" in reply.text) == (503, True), reply.text
    # A folder cannot be removed without a file descriptor either; the server removes it a day later.
    assert [name for name in temporary_files(workspace) if not name.startswith("upload-")] == []
    assert upload(send, case, mask).status_code == 200


def test_a_job_on_a_full_disk_waits_for_room(workspace: OpenedWorkspace, small_disk: SmallDisk, tmp_path: Path) -> None:
    data = tmp_path / "data"
    save(data / "images/a.nii.gz", picture(0))
    save(data / "masks/a.nii.gz", boxes(7, 3))
    (data / "labels.json").write_text(json.dumps({"labels": {"background": 0, "liver": 7, "spleen": 3}}))
    options = ImportOptions(masks="masks/{case}.nii.gz", mask_labels=data / "labels.json")
    assert import_paths(workspace, [data], options).masks == 1
    worker = Worker(workspace, [queue.LIGHT])

    def job() -> Job:
        with workspace.catalog.read() as session:
            return session.query(Job).filter_by(kind=JobKind.IMPORT_MASK).one()

    with closing(sqlite3.connect(workspace.root / "mrseg.db")) as database:  # the rows of the job fit into its log
        database.execute("PRAGMA wal_checkpoint(RESTART)")
    small_disk.fill()
    while worker.run_one():
        pass
    assert (job().state, job().attempt) == (JobState.QUEUED, 0)
    assert ADVICE in (job().error or "")


@pytest.mark.sqlite  # whose file lies in the workspace
def test_a_disk_that_became_read_only_is_named(
    small_disk: SmallDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Workspace.init(small_disk.folder / "ws", settings_text=SETTINGS).root
    open_workspace(root).close()
    image = write_image(tmp_path / "p1.nii.gz", 1)
    small_disk.remount("ro")
    for command in (["import", str(image)], ["rounds", "start"], ["status"], ["backup", str(root / "b.tar")]):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--workspace", str(root)])
        message = capsys.readouterr().err
        assert ended.value.code == 1, command
        assert message.count("\n") == 1 and ("read-only" in message or "readonly" in message), (command, message)
