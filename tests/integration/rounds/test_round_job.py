"""A whole round as its job runs it: snapshot, data set, a real training, evaluation, a model version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mrseg_label.annotation.service import submit
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import models
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Acquisition, Annotation, Evaluation
from mrseg_label.catalog.types import RoundState
from mrseg_label.imaging import write_nifti
from mrseg_label.intake.service import register_upload
from mrseg_label.jobs import JobContext, claim, queue
from mrseg_label.rounds import run, service
from mrseg_label.workspace import Workspace
from tests.support.nnunet_cases import SCHEME, image_and_labels

NAMES = list(SCHEME.names)
# There are no weights for pre-segmentations, so structures that were not annotated cannot be filled.
SETTINGS = 'AUTH = "off"\nTRAINING_PROFILE = "smoke"\nDEVICE = "cpu"\nTOTALSEG_WEIGHTS_PATH = "{}"\n'


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    (tmp_path / "labels.tsv").write_text(SCHEME.text)
    Workspace.init(tmp_path / "ws", tmp_path / "labels.tsv", SETTINGS.format(tmp_path / "no-weights"))
    workspace = open_workspace(tmp_path / "ws")
    yield workspace
    workspace.catalog.close()


def annotate(opened: OpenedWorkspace, folder: Path, seed: int, names: list[str], held_out: bool) -> str:
    """Upload an image, submit its mask with these structures, and return the id of the acquisition."""
    image, labels, geometry = image_and_labels(seed)
    write_nifti(folder / f"image{seed}.nii.gz", image, geometry)
    mask = folder / "mask.nii.gz"
    write_nifti(mask, np.where(labels <= len(names), labels, 0).astype(np.uint8), geometry)
    examination = register_upload(opened, Reader("ada"), folder / f"image{seed}.nii.gz", alias=f"image {seed}")
    sent = submit(opened, Reader("ada"), examination_id=examination, upload=mask, file_name=mask.name, label_info=[{"name": name} for name in names])  # fmt: skip
    with opened.catalog.begin() as session:
        case = session.get(Acquisition, sent.acquisition_id)
        assert case is not None
        case.participant.held_out = held_out
    return sent.acquisition_id


def test_a_round_respects_structures_that_were_not_annotated(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    partial = annotate(opened, tmp_path, 1, NAMES[:2], held_out=False)
    annotate(opened, tmp_path, 2, NAMES, held_out=False)
    tested = annotate(opened, tmp_path, 3, NAMES[:2], held_out=True)
    number = service.start(workspace)
    held = claim(workspace.catalog, [queue.ROUNDS])
    assert held is not None
    run.run(JobContext(workspace, held, {}))
    with workspace.catalog.read() as session:
        row = rows.get(session, number)
        assert row is not None and row.state is RoundState.DONE, row and row.error
        model = models.get(session, "r1")
        annotation = session.query(Annotation).filter_by(acquisition_id=tested).one()
        evaluation = session.get(Evaluation, ("r1", annotation.id))
    assert row.result["labels"] == {
        "structures": NAMES,
        "cases_filled_from": {},
        "background_ignored": {partial: ["liver"]},
    }
    # Without weights there is no model to compare with, but the training is not lost.
    assert not row.result["promoted"] and "could not be evaluated" in row.result["reason"]
    dataset = workspace.nnunet / "raw" / "Dataset501_round1"
    assert json.loads((dataset / "dataset.json").read_text())["labels"]["ignore"] == len(NAMES) + 1
    assert model is not None and model.path is not None and workspace.path(model.path).is_dir()
    assert evaluation is not None and evaluation.dsc["left_lung"] is not None and evaluation.dsc["liver"] is None
