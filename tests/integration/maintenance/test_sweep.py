"""What killed processes leave is removed or named, and is never taken for data."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mrseg_label.jobs import queue
from mrseg_label.maintenance.checks import State
from mrseg_label.maintenance.checks.workspace import check_leftovers
from mrseg_label.maintenance.sweep import remove_dead_scratch, sweep
from tests.support.annotation_house import House, draft_array, make_house

TWO_DAYS = 2 * 24 * 3600


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield from make_house(tmp_path, 'AUTH = "off"\n')


def leave(house: House, relative: str, seconds_ago: float) -> Path:
    path = house.workspace.root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left behind")
    os.utime(path, (time.time() - seconds_ago,) * 2)
    return path


def test_old_temporary_files_are_removed_and_files_without_a_row_are_named(house: House) -> None:
    house.send(draft_array(), *house.workspace.scheme.names[:5])
    for file in (house.workspace.root / "annotations").rglob("*.*"):
        os.utime(file, (time.time() - TWO_DAYS,) * 2)
    stored = house.stored()
    old, young = leave(house, "annotations/a/.x.part", TWO_DAYS), leave(house, "images/.y.part", 60)
    orphan = leave(house, "annotations/a/0001-rv-0.nii.gz", TWO_DAYS)
    leave(house, "annotations/a/0002-rv-1.nii.gz", 60)  # perhaps about to be recorded
    waiting = leave(house, "annotations/incoming/m.nii.gz", TWO_DAYS)
    with house.catalog.begin() as session:
        path = waiting.relative_to(house.workspace.root).as_posix()
        queue.enqueue(session, queue.IMPORT_MASK, {"path": path}, key="m")
    left = sweep(house.workspace)
    assert left.removed == ("annotations/a/.x.part",) and not old.exists() and young.exists()
    assert left.without_row == ("annotations/a/0001-rv-0.nii.gz",) and orphan.exists()
    assert stored <= house.stored() and waiting.exists()


def test_temporary_folders_of_dead_requests_and_imports_are_removed(house: House) -> None:
    tmp = house.workspace.root / "tmp"
    folders = {
        name: tmp / name
        for name in ("upload-a", "infer-b", "submit-c", "import-young", "round-1", "sessions", "totalsegmentator-7")
    }
    for name, folder in folders.items():
        (folder / "inner").mkdir(parents=True)
        os.utime(folder, (time.time() - (60 if name == "import-young" else TWO_DAYS),) * 2)
    assert remove_dead_scratch(house.workspace) == ("tmp/infer-b", "tmp/submit-c", "tmp/upload-a")
    # A round resumes from its own folder, and sessions expire by themselves.
    assert {path.name for path in tmp.iterdir()} >= {"import-young", "round-1", "sessions", "totalsegmentator-7"}
    assert not any(folders[name].exists() for name in ("upload-a", "infer-b", "submit-c"))


def test_doctor_reports_them(house: House) -> None:
    assert check_leftovers(house.workspace).state is State.OK
    leave(house, "annotations/a/.x.part", TWO_DAYS)
    leave(house, "presegmentations/d/orphan.nii.gz", TWO_DAYS)
    found = check_leftovers(house.workspace)
    assert found.state is State.WARNING
    assert "presegmentations/d/orphan.nii.gz" in found.detail and "removed 1 temporary file" in found.detail
