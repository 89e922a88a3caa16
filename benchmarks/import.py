"""Import many small images, compared with SimpleITK reading the same files.

An import reads each file, determines its geometry, checks every voxel, writes and syncs the stored form, and records it.
The stock figure is for reading alone, with as many threads. Both are measured alternately on parts of the files.

    uv run python -m benchmarks.import [--quick]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.measuring import cpu_seconds, parse_quick, print_result
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.workspace import Workspace

SHAPE, AFFINE = (32, 32, 16), np.diag((-2.0, -2.0, 3.0, 1.0))
THREADS = 2


def main() -> int:
    """Measure and print the result; the exit code is 1 if an image was not imported."""
    count, turns = (600, 4) if parse_quick(__doc__) else (10_000, 10)
    with tempfile.TemporaryDirectory(prefix="benchmark-import-") as folder:
        return _measure(Path(folder), count, turns)


def _measure(root: Path, count: int, turns: int) -> int:
    files = _write(root / "images", count)
    Workspace.init(root / "workspace")
    workspace = open_workspace(root / "workspace")
    ours = stock = wall = 0.0
    memory = []
    try:
        for turn in range(turns):
            part = files[turn * count // turns : (turn + 1) * count // turns]
            started, before = time.perf_counter(), cpu_seconds()
            stored = _import(workspace, part)
            ours += cpu_seconds() - before
            wall += time.perf_counter() - started
            if stored != len(part):
                print(f"only {stored} of {len(part)} images were imported", file=sys.stderr)
                return 1
            before = cpu_seconds()
            _read(part)
            stock += cpu_seconds() - before
            memory.append(_resident_mb())
            print(
                f"{(turn + 1) * count // turns:6,} images: import {ours:.1f} CPU s, SimpleITK {stock:.1f} CPU s, {memory[-1]:.0f} MB resident",
                flush=True,
            )
    finally:
        workspace.catalog.close()
    # The first part loads libraries; from the second on, memory should not grow.
    growth = memory[-1] - memory[1]
    print(
        f"{count / wall:.0f} images per second with {THREADS} threads; memory grew by {growth:.0f} MB from part 2 to {turns}"
    )
    print_result("import", "SimpleITK read", ours, stock)
    return 0


def _write(folder: Path, count: int) -> list[Path]:
    random = np.random.default_rng(0)
    base = random.integers(0, 500, SHAPE).astype(np.int16)
    files = []
    for number in range(count):
        path = folder / f"P{number // 4:05d}" / f"abdomen_{('in', 'opp', 'F', 'W')[number % 4]}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        array = base + np.int16(number % 97)
        array.flat[:4] = (number // 4 % 1000, number // 4000, number % 4, 1)  # no two images are equal
        image = nib.Nifti1Image(array, AFFINE)
        image.set_sform(AFFINE, code=1)
        image.set_qform(AFFINE, code=1)
        image.header.set_xyzt_units("mm")
        nib.save(image, path)
        files.append(path)
    return files


def _import(workspace: OpenedWorkspace, files: list[Path]) -> int:
    options = ImportOptions(pattern="{participant}/{station}_{sequence}.nii.gz", threads=THREADS)
    return len(import_paths(workspace, files, options).accepted)


def _read(files: list[Path]) -> None:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    with ThreadPoolExecutor(THREADS) as pool:
        for image in pool.map(lambda path: sitk.ReadImage(str(path)).GetSize(), files):
            assert image == SHAPE


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


if __name__ == "__main__":
    sys.exit(main())
