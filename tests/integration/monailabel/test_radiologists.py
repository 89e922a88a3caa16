"""Twenty radiologists at once against one server, with masks of a real size."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.tables import Annotation, Assignment
from mrseg_label.catalog.types import Role
from mrseg_label.errors import MrsegError
from mrseg_label.imaging import Geometry
from mrseg_label.simulation.client import SlicerClient
from mrseg_label.simulation.server import Server
from mrseg_label.workspace import Workspace
from tests.integration.conftest import PASSWORD
from tests.support.busy_study import Study, exported_masks, fill

GRID = Geometry((320, 260, 72), np.diag([-1.4, -1.4, 3.0, 1.0]))
STRATEGIES = ("balanced", "random", "sequential", "uncertainty")


@dataclass
class Day:
    """What happened at the readers' desks."""

    submit_seconds: list[float] = field(default_factory=list)
    infer_seconds: list[float] = field(default_factory=list)
    assigned: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    burst_seconds: list[float] = field(default_factory=list)


class Reader(threading.Thread):
    """One radiologist, who takes some seconds for a case."""

    def __init__(
        self, number: int, url: str, labels: list[Path], names: list[str], folder: Path, day: Day,
        until: float, pause: tuple[float, float], together: threading.Barrier,
    ) -> None:  # fmt: skip
        super().__init__()
        self.number, self.url, self.labels, self.names, self.day = number, url, labels, names, day
        self.folder = folder / f"reader-{number}"
        self.until, self.pause, self.together = until, pause, together

    def run(self) -> None:
        self.folder.mkdir()
        rng = np.random.default_rng(self.number)
        # None of them has set a name in Slicer, so that the account alone tells them apart.
        name, case = f"reader-{self.number}", None
        with SlicerClient(self.url, "user-xyz") as client:
            try:
                client.sign_in(name, PASSWORD)
                time.sleep(rng.uniform(0, self.pause[1]))
                while time.monotonic() < self.until:
                    case = self._one(client, rng)
                self.together.wait(60)
                began = time.monotonic()
                client.submit(case or "", self._label(rng), self.names, "mrseg")
                self.day.burst_seconds.append(time.monotonic() - began)
            except (MrsegError, threading.BrokenBarrierError, OSError) as error:
                self.day.errors.append(f"{name}: {error}")
                self.together.abort()

    def _one(self, client: SlicerClient, rng: np.random.Generator) -> str:
        sample = client.next_sample(STRATEGIES[int(rng.integers(3))])
        assert sample is not None
        self.day.assigned.append(sample.id)
        client.download_image(sample, self.folder).unlink()
        began = time.monotonic()
        client.infer("mrseg", sample.id, self.folder).file.unlink()
        self.day.infer_seconds.append(time.monotonic() - began)
        time.sleep(rng.uniform(*self.pause))
        began = time.monotonic()
        client.submit(sample.id, self._label(rng), self.names, "mrseg")
        self.day.submit_seconds.append(time.monotonic() - began)
        client.info()
        return sample.id

    def _label(self, rng: np.random.Generator) -> Path:
        return self.labels[int(rng.integers(len(self.labels)))]


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_twenty_radiologists_at_once(tmp_path: Path) -> None:
    run(tmp_path, readers=20, seconds=300, cases=1200, pause=(10, 20))


def run(tmp_path: Path, readers: int, seconds: float, cases: int, pause: tuple[float, float]) -> Day:
    # No worker: how long a submission takes must not depend on what a worker of this machine happens to do.
    Workspace.init(tmp_path / "ws", settings_text="WORKERS = 0\nAUTO_ROUND = false\n")
    workspace = open_workspace(tmp_path / "ws")
    for number in range(readers):
        accounts.add(workspace.catalog, f"reader-{number}", Role.RADIOLOGIST, password=PASSWORD, actor="test")
    study = Study.of_blocks(GRID, len(workspace.scheme))
    fill(workspace, tmp_path, cases, study)
    labels, names, day = exported_masks(tmp_path, study), list(workspace.scheme.names), Day()
    together = threading.Barrier(readers)
    with Server(workspace.root, tmp_path / "serve.log") as server:
        until = time.monotonic() + seconds
        desks = [
            Reader(number, server.url, labels, names, tmp_path, day, until, pause, together)
            for number in range(readers)
        ]
        for desk in desks:
            desk.start()
        for desk in desks:
            desk.join()
    assert day.errors == []
    assert len(day.assigned) == len(set(day.assigned)), "a case was assigned twice"
    with workspace.catalog.read() as session:
        assert session.query(Assignment).filter(Assignment.ended_at.is_(None)).count() == 0
        assert session.query(Assignment).count() == len(day.assigned)
        rows = session.query(Annotation).all()
        readers_of = {
            assignment.id: (assignment.ticket, assignment.account) for assignment in session.query(Assignment)
        }
    assert {readers_of[row.assignment_id or ""][0] for row in rows} == set(day.assigned)
    assert all(row.author == readers_of[row.assignment_id or ""][1] and row.client == "user-xyz" for row in rows)
    for row in rows:
        workspace.verify(row.path, row.digest)
        workspace.verify(row.upload_path, row.upload_digest)
    workspace.catalog.close()
    p50, p95 = np.percentile(day.submit_seconds, (50, 95))
    print(
        f"{readers} readers, {seconds:.0f} s, a case every {pause[0]} to {pause[1]} s each: "
        f"{len(day.submit_seconds)} submissions of 320 x 260 x 72 voxels, median {p50:.2f} s, p95 {p95:.2f} s, "
        f"at most {max(day.submit_seconds):.2f} s; pre-segmentations median {np.median(day.infer_seconds):.2f} s, "
        f"p95 {np.percentile(day.infer_seconds, 95):.2f} s; all {readers} at the same moment: "
        f"at most {max(day.burst_seconds):.2f} s; {len(day.assigned)} cases assigned, none twice; no error"
    )
    return day
