"""Measure the five folds of a final round on one worker and on two: ``uv run python -m benchmarks.folds [--quick]``.

Real rounds of a small study in one workspace, with one worker and with two in turn. What is measured is the time from the start
of the first fold to the end of the last one; preparation and evaluation, which one job does, are left out.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measuring import parse_quick
from mrseg_label.annotation.service import submit
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import rounds, training
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.types import ENDED_ROUNDS, RoundState
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.intake.service import register_upload
from mrseg_label.jobs.queue import ROUNDS
from mrseg_label.rounds import service
from mrseg_label.worker.supervise import start_worker
from mrseg_label.workspace import Workspace

LABELS = "id\tname\tpaired_with\n1\tliver\t\n2\tspleen\t\n"
PARTICIPANTS = 8  # of whom two are held out
READER = Reader("benchmark")
MAX_SECONDS = 540.0


def main() -> int:
    """Measure, and print the result as the last line."""
    quick = parse_quick(__doc__)
    profile = "smoke" if quick else "tiny"
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_study(Path(folder), profile)
        for repeat in range(1 if quick else 2):
            for workers in (1, 2):
                seconds[workers].append(time_folds(workspace, workers, Path(folder) / "workers.log"))
                print(f"{workers} workers, run {repeat + 1}: {seconds[workers][-1]:.1f} s", file=sys.stderr)
        workspace.close()
    one, two = statistics.median(seconds[1]), statistics.median(seconds[2])
    print(f"folds: {one / two:.1f}x with two workers (one {one:.3g} s, two {two:.3g} s, profile {profile})")
    return 0


def make_study(folder: Path, profile: str) -> OpenedWorkspace:
    """Make a workspace with annotated participants."""
    (folder / "labels.tsv").write_text(LABELS)
    settings = f'AUTH = "off"\nTRAINING_PROFILE = "{profile}"\nDEVICE = "cpu"\nAUTO_ROUND = false\n'
    Workspace.init(
        folder / "ws", folder / "labels.tsv", settings + f'TOTALSEG_WEIGHTS_PATH = "{folder / "no-weights"}"\n'
    )
    workspace = open_workspace(folder / "ws")
    for seed in range(PARTICIPANTS):
        random = np.random.default_rng(seed)
        place = np.stack(np.meshgrid(*(np.linspace(0, 1, 48),) * 3, indexing="ij"), axis=-1)
        labels = np.zeros((48, 48, 48), dtype=np.uint8)
        for number, centre in ((1, 0.35), (2, 0.7)):
            labels[(((place - centre - random.normal(0, 0.02, 3)) / 0.15) ** 2).sum(-1) < 1] = number
        image = (100 + 60.0 * labels + random.normal(0, 8, labels.shape)).clip(1).astype(np.int16)
        geometry = Geometry((48, 48, 48), np.diag((5.0, 5.0, 5.0, 1.0)))
        write_nifti(folder / f"image{seed}.nii.gz", image, geometry)
        write_nifti(folder / "mask.nii.gz", labels, geometry)
        examination = register_upload(workspace, READER, folder / f"image{seed}.nii.gz", alias=f"image {seed}")
        names = [{"name": name} for name in workspace.scheme.names]
        submit(workspace, READER, examination_id=examination, upload=folder / "mask.nii.gz", file_name="mask.nii.gz", label_info=names)  # fmt: skip
    return workspace


def time_folds(workspace: OpenedWorkspace, workers: int, log: Path) -> float:
    """Run a final round with so many workers; returns the wall-clock seconds of its folds.

    Raises
    ------
    RuntimeError
        The round failed or took too long.
    """
    number = service.start(workspace, final=True)
    with log.open("ab") as output:
        processes = [start_worker(workspace.root, [ROUNDS], output=output) for _ in range(workers)]
        try:
            return _wait(workspace, number, log)
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _wait(workspace: OpenedWorkspace, number: int, log: Path) -> float:
    deadline = time.monotonic() + MAX_SECONDS
    while time.monotonic() < deadline:
        with workspace.catalog.read() as session:
            row = rounds.get(session, number)
            if row is not None and row.state in ENDED_ROUNDS:
                folds = training.folds(session, number)
                if row.state is not RoundState.DONE or len(folds) < 2:
                    raise RuntimeError(f"round {number} is {row.state}: {row.error}\n{log.read_text()}")
                started = [fold.started_at for fold in folds if fold.started_at is not None]
                finished = [fold.finished_at for fold in folds if fold.finished_at is not None]
                return (max(finished) - min(started)).total_seconds()
        time.sleep(0.2)
    raise RuntimeError(f"round {number} did not end within {MAX_SECONDS:.0f} s\n{log.read_text()}")


if __name__ == "__main__":
    sys.exit(main())
