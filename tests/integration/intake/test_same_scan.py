"""One scan that comes in twice: as DICOM and converted, in another order of axes, under another code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import select, update

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import participants
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Examination, Job, Participant
from mrseg_label.catalog.types import Role
from mrseg_label.errors import Conflict
from mrseg_label.intake import twins
from mrseg_label.intake.options import ImportOptions, ImportReport
from mrseg_label.intake.service import import_paths, register_upload
from mrseg_label.jobs import JobContext, claim, queue
from mrseg_label.workspace import Workspace
from tests.support import dicom_files as dcm

SCAN = dcm.noise(1)
# The grid of the DICOM files, in RAS, and the same with rows reversed as dcm2niix writes it.
AFFINE = np.array([[-1.5, 0, 0, 30], [0, -2.5, 0, 20], [0, 0, 4.0, 100], [0, 0, 0, 1]])
REVERSED = AFFINE @ np.array([[1, 0, 0, 0], [0, -1, 0, SCAN.shape[1] - 1], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws")
    yield workspace
    workspace.catalog.close()


def nifti(path: Path, array: NDArray[Any], affine: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def dicom(folder: Path, workspace: OpenedWorkspace, code: str = "P1") -> ImportReport:
    dcm.save(folder, dcm.series(SCAN))
    return import_paths(workspace, [folder], ImportOptions(participant=code))


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_a_converted_scan_under_another_code_is_refused(opened: OpenedWorkspace, tmp_path: Path, kind: type) -> None:
    (stored,) = dicom(tmp_path / "d", opened).accepted
    file = nifti(tmp_path / "c/x.nii.gz", SCAN[:, ::-1].astype(kind), REVERSED)
    report = import_paths(opened, [file], ImportOptions(participant="X9"))
    assert report.accepted == []
    for part in ("the same scan", "participant P1", stored.id, "leak"):
        assert part in report.refused[0].reason
    assert import_paths(opened, [file], ImportOptions(participant="P1")).unchanged == 1


def test_a_converted_scan_with_a_slope_and_in_the_same_import_is_refused(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    nifti(tmp_path / "d/A/x.nii.gz", (SCAN * 10).astype(np.int16), AFFINE)
    scaled = nib.Nifti1Image((SCAN[:, ::-1] * 100).astype(np.int16), REVERSED)
    scaled.header.set_slope_inter(0.1, 0)
    (tmp_path / "d/B").mkdir()
    nib.save(scaled, tmp_path / "d/B/x.nii.gz")
    for dry_run in (True, False):
        report = import_paths(opened, [tmp_path / "d"], ImportOptions(pattern="{participant}/*", dry_run=dry_run))
        assert [entry.participant for entry in report.accepted] == ["A"]
        assert "participant A" in report.refused[0].reason


def test_an_upload_of_a_scan_that_is_stored_otherwise_is_that_scan(opened: OpenedWorkspace, tmp_path: Path) -> None:
    (stored,) = dicom(tmp_path / "d", opened).accepted
    file = nifti(tmp_path / "up.nii.gz", SCAN[:, ::-1], REVERSED)
    with pytest.raises(Conflict, match="already in the catalogue"):
        register_upload(opened, Reader.signed_in("anna", Role.RADIOLOGIST), file, alias="mine")
    assert register_upload(opened, Reader("local"), file, alias="mine") == stored.id


def test_a_flip_is_warned_of_in_both_and_both_lie_on_one_side_of_the_split(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    codes = [f"P{number}" for number in range(10)]
    for number, code in enumerate(codes):
        nifti(tmp_path / f"d/{code}/x.nii.gz", dcm.noise(number), AFFINE)
        # The header was not changed with the voxels.
        nifti(tmp_path / f"d/{code}-flipped/x.nii.gz", dcm.noise(number)[:, ::-1], AFFINE)
    report = import_paths(opened, [tmp_path / "d"], ImportOptions(pattern="{participant}/*"))
    assert len(report.accepted) == 20
    with opened.catalog.begin() as session:
        participants.decide_held_out(session)
        people = list(session.scalars(select(Participant).order_by(Participant.code)))
        participants.decide_fold_positions(session, people[::3])
        participants.decide_fold_positions(session, people)
        positions = {person.code: person.fold_position for person in people}
    assert all(positions[code] == positions[f"{code}-flipped"] for code in codes)
    assert sorted(positions[code] or 0 for code in codes) == list(range(10))
    with opened.catalog.read() as session:
        rows = {row.acquisition.participant.code: row for row in session.scalars(select(Examination))}
        side = {code: row.acquisition.participant.held_out for code, row in rows.items()}
        for code in codes:
            one, other = rows[code], rows[f"{code}-flipped"]
            assert any("flipped" in text and f"participant {code}-flipped" in text for text in one.warnings)
            assert any("flipped" in text and one.id in text for text in other.warnings)
            assert side[code] == side[f"{code}-flipped"]
    assert sum(map(bool, side.values())) == 4


def test_who_comes_later_lies_on_the_side_of_the_one_who_was_decided(opened: OpenedWorkspace, tmp_path: Path) -> None:
    for number in range(4):
        nifti(tmp_path / f"a/P{number}/x.nii.gz", dcm.noise(number), AFFINE)
        nifti(tmp_path / f"b/Q{number}/x.nii.gz", dcm.noise(number)[::-1], AFFINE)
    for part in ("a", "b"):
        import_paths(opened, [tmp_path / part], ImportOptions(pattern="{participant}/*"))
        with opened.catalog.begin() as session:
            participants.decide_held_out(session)
    with opened.catalog.read() as session:
        side = {person.code: person.held_out for person in session.scalars(select(Participant))}
    assert [side[f"P{number}"] for number in range(4)] == [side[f"Q{number}"] for number in range(4)]
    assert {True, False} == set(side.values())


def forget_fingerprints(workspace: OpenedWorkspace) -> None:
    """Leave the rows as an earlier version wrote them."""
    with workspace.catalog.begin() as session:
        session.execute(update(Examination).values(fingerprint=None))


def test_scans_of_an_earlier_version_are_found_by_the_next_import(opened: OpenedWorkspace, tmp_path: Path) -> None:
    dicom(tmp_path / "d", opened)
    forget_fingerprints(opened)
    file = nifti(tmp_path / "c/x.nii.gz", SCAN[:, ::-1], REVERSED)
    assert "participant P1" in import_paths(opened, [file], ImportOptions(participant="X9")).refused[0].reason


def test_a_worker_compares_what_an_import_leaves(
    opened: OpenedWorkspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nifti(tmp_path / "d/A/x.nii.gz", SCAN, AFFINE)
    nifti(tmp_path / "d/B/x.nii.gz", SCAN[::-1], AFFINE)
    nifti(tmp_path / "d/C/x.nii.gz", dcm.noise(3), AFFINE)
    import_paths(opened, [tmp_path / "d"], ImportOptions(pattern="{participant}/*"))
    forget_fingerprints(opened)
    with opened.catalog.begin() as session:
        session.execute(update(Examination).values(warnings=[]))
        session.execute(update(Job).values(state="done"))
    # An upload does not wait for old images to be read.
    register_upload(opened, Reader("anna"), nifti(tmp_path / "n.nii.gz", dcm.noise(4), AFFINE), alias="new")
    monkeypatch.setattr(twins, "_PER_JOB", 2)
    ran = 0
    while (claimed := claim(opened.catalog, [queue.LIGHT])) is not None:
        if claimed.kind == queue.COMPARE_SCANS:
            twins.run(JobContext(opened, claimed, {}))
            ran += 1
        else:
            with opened.catalog.begin() as session:
                claimed.finish(opened.catalog, session, {})
    assert ran == 2
    with opened.catalog.read() as session:
        rows = {row.acquisition.participant.code: row for row in session.scalars(select(Examination))}
    assert all(row.fingerprint for row in rows.values())
    assert "participant B" in rows["A"].warnings[0] and "participant A" in rows["B"].warnings[0]
    assert rows["C"].warnings == []
