"""The server is killed at random moments while readers submit; whatever it had acknowledged is there afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import pytest

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.tables import Annotation, Assignment, Examination
from mrseg_label.files import TEMPORARY_SUFFIX
from mrseg_label.intake.service import import_paths
from mrseg_label.maintenance.sweep import FOLDERS, sweep
from mrseg_label.segments.files import read_label_map
from mrseg_label.simulation.server import free_port
from mrseg_label.workspace import Workspace
from tests.integration.conftest import add_draft, write_image

READERS = 6
CASES = 60
SHAPE = (14, 12, 10)
START_SECONDS = 60.0


@dataclass
class Acknowledged:
    """A submission that was answered with 200."""

    examination: str
    upload_digest: str
    voxels: int


@dataclass
class Readers:
    """Readers who submit without end, one after the other, through kills."""

    url: str
    affine: Any
    examinations: list[str]
    folder: Path
    acknowledged: list[Acknowledged] = field(default_factory=list)
    assigned: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    lost_answers: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def work(self, number: int) -> None:
        """One reader: request a case now and then, otherwise submit a mask that was never sent before."""
        rng, count = np.random.default_rng([11, number]), 0
        with httpx.Client(base_url=self.url, timeout=20, trust_env=False) as http:
            while not self.stop.is_set():
                try:
                    count += 1
                    self._once(http, rng, number, count)
                except httpx.TransportError:  # killed before it answered: nothing was promised
                    self.lost_answers += 1
                    time.sleep(0.2)

    def _once(self, http: httpx.Client, rng: np.random.Generator, number: int, count: int) -> None:
        examination = self.examinations[int(rng.integers(len(self.examinations)))]
        if count % 3 == 0:
            answer = http.post("/activelearning/random", json={"client_id": f"reader-{number}"})
            if answer.status_code == 200 and answer.json():
                examination = answer.json()["id"]
                self.assigned.append(examination)
            elif answer.status_code not in (200, 409):
                self.unexpected.append(answer.text)
        mask = (rng.random(SHAPE) < 0.5).astype(np.uint8)
        file = self.folder / f"{number}-{count}.nii.gz"
        nib.save(nib.Nifti1Image(mask, self.affine[examination]), file)
        content = file.read_bytes()
        file.unlink()
        params = {"label_info": [{"name": "spleen"}], "client_id": f"reader-{number}"}
        answer = http.put(
            "/datastore/label",
            params={"image": examination},
            data={"params": json.dumps(params)},
            files={"label": ("label.nii.gz", content)},
        )
        if answer.status_code == 200:
            digest = hashlib.sha256(content).hexdigest()
            self.acknowledged.append(Acknowledged(examination, digest, int(mask.sum())))
        else:
            self.unexpected.append(f"{answer.status_code} {answer.text}")


@contextmanager
def forker(root: Path, log: Path) -> Iterator[subprocess.Popen[str]]:
    """The process that forks servers."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.support.forking_server", str(root)]
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as process,
    ):
        yield process


def start(process: subprocess.Popen[str], port: int) -> tuple[int, float]:
    """Fork a server and wait until it answers; its process id and the seconds that took."""
    assert process.stdin is not None and process.stdout is not None
    began = time.monotonic()
    process.stdin.write(f"{port}\n")
    process.stdin.flush()
    pid = int(process.stdout.readline())
    while time.monotonic() - began < START_SECONDS:
        with suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5, trust_env=False).is_success:
                return pid, time.monotonic() - began
        time.sleep(0.02)
    raise AssertionError("the server did not come back")


def test_what_the_server_acknowledged_survives_kills(tmp_path: Path) -> None:
    run(tmp_path, kills=3)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_what_the_server_acknowledged_survives_a_hundred_kills(tmp_path: Path) -> None:
    run(tmp_path, kills=100)


def run(folder: Path, kills: int) -> None:
    root = folder / "ws"
    # A pre-segmentation each, so that a submission does all that it does in life; kills of workers have their own tests.
    Workspace.init(root, settings_text='AUTH = "off"\nWORKERS = 0\n')
    workspace = open_workspace(root)
    (folder / "images").mkdir()
    images = [write_image(folder / "images" / f"p{seed}.nii.gz", seed) for seed in range(CASES)]
    report = import_paths(workspace, images)
    for entry in report.accepted:
        add_draft(workspace, entry.id)
    affine = {entry.id: nib.load(workspace.root / entry.stored).affine for entry in report.accepted}
    (folder / "sent").mkdir()
    port, rng = free_port(), random.Random(23)
    readers = Readers(f"http://127.0.0.1:{port}", affine, sorted(affine), folder / "sent")
    seconds: list[float] = []
    began = time.monotonic()
    with forker(root, folder / "serve.log") as process:
        pid, took = start(process, port)
        threads = [threading.Thread(target=readers.work, args=(number,)) for number in range(READERS)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(kills):
                time.sleep(rng.uniform(0.0, 0.8))
                os.kill(pid, signal.SIGKILL)
                pid, took = start(process, port)
                seconds.append(took)
            time.sleep(0.5)
        finally:
            readers.stop.set()
            for thread in threads:
                thread.join()
            os.kill(pid, signal.SIGKILL)
            assert process.stdin is not None
            process.stdin.close()
    elapsed = time.monotonic() - began
    assert readers.unexpected == []
    assert len(readers.acknowledged) >= kills
    with workspace.catalog.read() as session:
        annotations = session.query(Annotation).all()
        geometry = {row.id: row.geometry for row in session.query(Examination)}
        assignments = session.query(Assignment).all()
    by_upload = {(row.examination_id, row.upload_digest): row for row in annotations}
    lost = [sent for sent in readers.acknowledged if (sent.examination, sent.upload_digest) not in by_upload]
    assert lost == []
    for sent in readers.acknowledged:
        row = by_upload[sent.examination, sent.upload_digest]
        mask, grid = read_label_map(workspace.path(row.path))
        assert int((mask == workspace.scheme["spleen"].id).sum()) == sent.voxels
        np.testing.assert_allclose(grid.affine, geometry[sent.examination]["affine"], atol=1e-4)
    check_files(workspace, annotations)
    numbers: dict[str, list[int]] = {}
    for row in annotations:
        numbers.setdefault(row.acquisition_id, []).append(row.number)
    assert all(sorted(found) == list(range(1, len(found) + 1)) for found in numbers.values())
    # No case was assigned to two readers at once.
    for assignment in assignments:
        others = [
            other for other in assignments
            if other.acquisition_id == assignment.acquisition_id and other.id != assignment.id and other.created_at >= assignment.created_at
        ]  # fmt: skip
        assert all(assignment.ended_at is not None and assignment.ended_at <= other.created_at for other in others)
    left = sweep(workspace, older_than=-1)
    workspace.catalog.close()
    doctor = subprocess.run(
        [sys.executable, "-m", "mrseg_label.cli", "doctor", "--verify", "--json", "--workspace", str(root)],
        capture_output=True,
        text=True,
    )
    checks = {check["name"]: check["state"] for check in json.loads(doctor.stdout)["checks"]}
    assert checks["digests"] == "ok" and checks["database"] == "ok" and checks["leftovers"] == "ok"
    print(
        f"{kills} kills in {elapsed:.0f} s: {len(readers.acknowledged)} submissions acknowledged, 0 lost; "
        f"{readers.lost_answers} requests without an answer; {len(annotations)} annotations; a restart took "
        f"{np.median(seconds):.2f} s (median; at most {max(seconds):.2f} s); left behind: "
        f"{len(left.removed)} temporary files, {len(left.without_row)} whole files without a row"
    )


def check_files(workspace: Workspace, annotations: list[Annotation]) -> None:
    """Every row has its files, and whatever bears a final name is whole."""
    for row in annotations:
        workspace.verify(row.path, row.digest)
        workspace.verify(row.upload_path, row.upload_digest)
    for folder in FOLDERS:
        for file in (workspace.root / folder).rglob("*.nii.gz"):
            if not file.name.endswith(TEMPORARY_SUFFIX):
                assert np.asanyarray(nib.load(file).dataobj).size > 0
