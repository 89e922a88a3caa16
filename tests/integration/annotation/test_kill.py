"""Processes that store submissions are killed at random moments; what they had acknowledged is there afterwards."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mrseg_label.catalog.tables import Annotation
from mrseg_label.segments.files import read_label_map
from tests.support.annotation_house import House, make_house

# Three readers submit without end; a line is printed when a submission has been acknowledged.
_READERS = r"""
import os, sys, threading
from pathlib import Path
import nibabel as nib, numpy as np
from mrseg_label.annotation.service import submit
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.reader import Reader
from tests.support.annotation_house import GRID
workspace = open_workspace(Path(sys.argv[1]))
examination, folder, seed = sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])

def read(number):
    random = np.random.default_rng([seed, number])
    while True:
        array = (random.random(GRID.shape) < 0.5).astype(np.uint8)
        upload = folder / f"{number}.nii.gz"
        nib.save(nib.Nifti1Image(array, GRID.affine), upload)
        sent = submit(workspace, Reader(f"reader-{number}"), examination_id=examination, upload=upload,
                      file_name="a.nii.gz", label_info=[{"name": "spleen"}])
        # One write a line: the parts that print writes would mix with those of another reader.
        os.write(1, f"{sent.annotation_id} {int(array.sum())}\n".encode())

for number in range(3):
    threading.Thread(target=read, args=(number,)).start()
"""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield from make_house(tmp_path, 'AUTH = "off"\n')


def kill_once(house: House, seed: int, delay: float) -> list[tuple[str, int]]:
    """Start readers, kill them some time after their first acknowledgement; returns what was acknowledged."""
    command = [
        sys.executable,
        "-c",
        _READERS,
        str(house.workspace.root),
        house.examination,
        str(house.folder),
        str(seed),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines: list[str] = []
    first = threading.Event()

    def collect() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            first.set()
        first.set()

    reader = threading.Thread(target=collect)
    reader.start()
    first.wait()
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reader.join()
    assert lines, "the readers ended before anything was acknowledged"
    # The last line may be half: it was not read as an acknowledgement by anybody.
    return [(line.split()[0], int(line.split()[1])) for line in lines if line.endswith("\n")]


def check(house: House, acknowledged: list[tuple[str, int]]) -> None:
    """Every acknowledged annotation exists and reads back, every row has its files, and no file is truncated."""
    with house.catalog.read() as session:
        annotations = {annotation.id: annotation for annotation in session.query(Annotation)}
    for annotation_id, voxels in acknowledged:
        mask, _ = read_label_map(house.workspace.path(annotations[annotation_id].path))
        assert int((mask == 1).sum()) == voxels
    for annotation in annotations.values():
        house.workspace.verify(annotation.path, annotation.digest)
        house.workspace.verify(annotation.upload_path, annotation.upload_digest)
    for path in (house.workspace.root / "annotations").rglob("*.nii.gz"):
        if not path.name.startswith("."):
            assert np.asanyarray(nib.load(path).dataobj).size > 0
    assert sorted(annotation.number for annotation in annotations.values()) == list(range(1, len(annotations) + 1))


def run(house: House, kills: int) -> int:
    random.seed(17)
    acknowledged: list[tuple[str, int]] = []
    for seed in range(kills):
        acknowledged += kill_once(house, seed, random.uniform(0, 0.5))
        check(house, acknowledged)
    return len(acknowledged)


def test_what_was_acknowledged_survives_kills(house: House) -> None:
    assert run(house, kills=3) >= 3


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_what_was_acknowledged_survives_a_hundred_kills(house: House) -> None:
    acknowledged = run(house, kills=100)
    print(f"100 kills, {acknowledged} acknowledged submissions, 0 lost")
    assert acknowledged >= 100
