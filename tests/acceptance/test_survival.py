"""A round on the real MR together with phantoms continues after a SIGKILL of the server in the middle of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.queries import rounds as round_rows
from mrseg_label.catalog.types import CaseRole
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.labels import TOTALSEGMENTATOR_MR, LabelScheme
from mrseg_label.simulation.client import Sample, SlicerClient
from mrseg_label.simulation.phantom.cohort import Planned, write_cohort
from mrseg_label.simulation.server import Server
from mrseg_label.simulation.slicer import read_image, to_label_ids
from mrseg_label.workspace import Workspace
from tests.support.paths import REAL_MR

SETTINGS = 'AUTH = "off"\nTRAINING_PROFILE = "smoke"\nROUND_SIZE = 50\nPREPARE_AHEAD = 0\n'
# Held-out participants are chosen by the SHA-256 of their codes; with this code, they are phantoms.
REAL_CODE = "real"


@dataclass
class Study:
    """A workspace with cases, and the masks that a reader submits."""

    workspace: Workspace
    masks: dict[str, Path]  # by examination id
    real: str | None


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    folder = tmp_path_factory.mktemp("survival")
    Workspace.init(folder / "w", settings_text=SETTINGS)
    workspace = open_workspace(folder / "w")
    plan = [Planned(index, "pelvis", ("in", "water")) for index in range(4)]
    written = write_cohort(folder / "images", 3, plan, truth=folder / "truth", processes=2)
    report = import_paths(
        workspace, [folder / "images"], ImportOptions(pattern="{participant}/{station}_{sequence}.nii.gz")
    )
    assert not report.refused
    truths = {one.participant.code: one.truth for one in written}
    masks = {entry.id: truths[entry.participant] for entry in report.accepted if entry.sequence == "in"}
    real = None
    if REAL_MR.is_dir():
        accepted = import_paths(
            workspace, [REAL_MR / "example_mr_sm.nii.gz"], ImportOptions(participant=REAL_CODE)
        ).accepted
        assert [(entry.geometry.shape, entry.geometry.axcodes) for entry in accepted] == [((117, 91, 20), "LPS")]
        real = accepted[0].id
        masks[real] = _mapped_reference(folder)
    workspace.close()
    yield Study(workspace, masks, real)


def _mapped_reference(folder: Path) -> Path:
    """Write the reference segmentation of the real MR in the label ids of the scheme."""
    reference = nibabel.load(REAL_MR / "example_seg_mr.nii.gz")
    labels = LabelScheme.default().lookup_from(TOTALSEGMENTATOR_MR)[np.asarray(reference.dataobj, dtype=np.uint16)]
    path = folder / "reference.nii.gz"
    nibabel.save(nibabel.Nifti1Image(labels, reference.affine), path)
    return path


def _submit(client: SlicerClient, examination: str, mask: Path, folder: Path) -> None:
    """Submit a mask as Slicer does: int16, the k-th segment of the list has the label id k."""
    image = read_image(mask)
    path = folder / f"{examination}.nrrd"
    sitk.WriteImage(sitk.Cast(image, sitk.sitkInt16), str(path), useCompression=True)
    client.submit(examination, path, LabelScheme.default().names, "mrseg")


def _round(client: SlicerClient, number: int) -> dict[str, Any]:
    row: dict[str, Any] = client.get(f"/api/v1/rounds/{number}")
    return row


@pytest.mark.timeout(900)
def test_round_ends_and_nothing_is_lost_after_a_kill(study: Study, tmp_path: Path) -> None:
    root = study.workspace.root
    scheme = LabelScheme.default()
    with Server(root, tmp_path / "server.log") as server:
        with SlicerClient(server.url, "reader") as client:
            if study.real is not None:
                # Poor with stand-in weights, but exactly on the image's grid and in the label ids of the scheme.
                image = read_image(client.download_image(_sample(study.real), tmp_path))
                inference = client.infer("mrseg", study.real, tmp_path)
                presegmentation = to_label_ids(read_image(inference.file), inference.names, scheme.label_names, image)
                assert presegmentation.shape == sitk.GetArrayViewFromImage(image).shape
                assert inference.names == list(scheme.names)
                assert inference.params["model_version"] == "bootstrap"
            for examination, mask in study.masks.items():
                _submit(client, examination, mask, tmp_path)
            started = client.start_round()
            assert started == 1
            _wait_for(lambda: _round(client, 1)["state"] not in ("queued", "snapshot"), 120)
            state = _round(client, 1)["state"]
        assert state in ("planning", "preprocessing", "training", "evaluating"), (
            "the round ended before the server was killed"
        )
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        server.start()
        with SlicerClient(server.url, "reader") as client:
            _wait_for(lambda: _round(client, 1)["state"] in ("done", "failed", "cancelled"), 240)
            row = _round(client, 1)
            assert row["state"] == "done", row["error"]
            assert client.get("/api/v1/progress")["annotated_total"] == len(study.masks)
    _check_kept(study)


def _check_kept(study: Study) -> None:
    """Check that every submission is stored voxel for voxel, and that the round trained on the real MR, if it exists."""
    catalog = open_workspace(study.workspace.root).catalog
    with catalog.read() as session:
        cases = round_rows.cases(session, 1)
        by_examination = {case.annotation.examination_id: case for case in cases}
        assert set(by_examination) == set(study.masks)
        for examination, case in by_examination.items():
            study.workspace.verify(case.annotation.path, case.annotation.digest)
            study.workspace.verify(case.annotation.upload_path, case.annotation.upload_digest)
            stored = nibabel.load(study.workspace.path(case.annotation.path))
            sent = nibabel.load(study.masks[examination])
            assert np.array_equal(np.asarray(stored.dataobj), np.asarray(sent.dataobj))
            assert np.allclose(stored.affine, sent.affine, atol=1e-4)
        roles = [case.role for case in cases]
        assert roles.count(CaseRole.HELD_OUT) >= 1 and roles.count(CaseRole.TRAINING) >= 1
        if study.real is not None:
            assert by_examination[study.real].role is CaseRole.TRAINING
    catalog.close()


def _sample(examination: str) -> Sample:
    return Sample(examination, f"{examination}.nii.gz", "")


def _wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition was not met within {seconds:.0f} s"
        time.sleep(0.05)
