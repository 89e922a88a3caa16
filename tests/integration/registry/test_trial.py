"""Models are tried once on an image: in a process of its own, with the real nnU-Net."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.queries import examinations
from mrseg_label.catalog.tables import Examination
from mrseg_label.errors import Cancelled, Conflict
from mrseg_label.imaging import load_image, reorient, write_nifti
from mrseg_label.jobs import JobContext, claim, queue
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.conventions import ModelConventions, stated_heads
from mrseg_label.nnunet.predict import Predictor
from mrseg_label.nnunet.trial import run_trial
from mrseg_label.presegmentation.known_structures import structures_known
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.registry import trials
from mrseg_label.registry.archive import write_archive
from mrseg_label.registry.importing import import_zip
from mrseg_label.registry.receiving import import_sent
from mrseg_label.registry.service import promote
from mrseg_label.reports.models import read_model
from mrseg_label.workspace import Workspace
from tests.support.axis_orders import as_stored
from tests.support.catalog_rows import add_acquisition, add_participant
from tests.support.nnunet_cases import image_and_labels
from tests.support.tiny_weights import write_tiny_model

LABELS = {"Liver": 1, "spleen": 2}
SCHEME = LabelScheme.parse("id\tname\n1\tspleen\n2\tliver\n")


def model_in(folder: Path) -> Path:
    (plans,) = folder.rglob("plans.json")
    return plans.parent


def test_a_model_that_was_sent_is_tried_by_a_worker_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "labels.tsv").write_text(SCHEME.text)
    Workspace.init(tmp_path / "ws", tmp_path / "labels.tsv", settings_text='DEVICE = "cpu"\n')
    write_archive(write_tiny_model(tmp_path / "m", LABELS, reader="SimpleITKIO"), tmp_path / "m.zip")
    image, _, geometry = image_and_labels(3)
    with closing(open_workspace(tmp_path / "ws")) as workspace:
        write_nifti(tmp_path / "ws" / "images" / "three.nii.gz", *reorient(image, geometry, "LPS"))
        with workspace.catalog.begin() as session:
            add_acquisition(session, add_participant(session, "p1"))
            newest = examinations.newest(session)
            assert newest is not None
            newest.path = "images/three.nii.gz"
        with (tmp_path / "m.zip").open("rb") as stream:
            row = import_sent(workspace, ("m.zip", stream), actor="chief", orientation="LPS")
        assert read_model(workspace.catalog, row.version).being_tried and row.path is not None
        with pytest.raises(Conflict, match="has not been tried here"):
            promote(workspace, row.version)
        claimed = claim(workspace.catalog, [queue.DRAFTS])
        assert claimed is not None and claimed.kind == queue.TRY_MODEL
        context = JobContext(workspace, claimed, {})
        context.cancel.set()
        with pytest.raises(Cancelled):
            trials.run(context)
        context.cancel.clear()
        trials.run(context)
        tried = read_model(workspace.catalog, row.version)
        assert (tried.being_tried, tried.problem, tried.tried is not None) == (False, None, True)
        assert promote(workspace, row.version).version == row.version
        model = workspace.path(row.path)
    assert run_trial(model, None, "cpu").problem is None


def with_plans(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "plans.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def with_checkpoint(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "fold_0" / "checkpoint_final.pth"
        torch.save(torch.load(path, weights_only=False) | values, path)

    return change


def not_finite(folder: Path) -> None:
    path = folder / "fold_0" / "checkpoint_final.pth"
    checkpoint = torch.load(path, weights_only=False)
    next(iter(checkpoint["network_weights"].values())).fill_(float("nan"))
    torch.save(checkpoint, path)


def more_labels(folder: Path) -> None:
    path = folder / "dataset.json"
    content = json.loads(path.read_text())
    content["labels"]["spine"] = 3
    path.write_text(json.dumps(content))


def cut(folder: Path) -> None:
    path = folder / "fold_0" / "checkpoint_final.pth"
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_checkpoint(trainer_name="nnUNetTrainerOfAnotherGroup"), "nnUNetTrainerOfAnotherGroup"),
        (with_checkpoint(init_args={"configuration": "3d_lowres"}), "3d_lowres"),
        (with_plans(image_reader_writer="SimpleITKIO"), "--orientation"),
        (not_finite, "not finite"),
        (more_labels, "cannot be loaded: RuntimeError"),
        (cut, "cannot be loaded"),
    ],
    ids=("trainer", "configuration", "reader", "weights", "labels", "checkpoint"),
)
def test_what_does_not_work_is_named(tmp_path: Path, change: Callable[[Path], None], reason: str) -> None:
    folder = model_in(write_tiny_model(tmp_path / "m", LABELS))
    change(folder)
    problem = run_trial(folder, None, "cpu").problem
    assert problem is not None and reason in problem


def test_a_model_draws_the_same_draft_in_all_orders_of_axes(tmp_path: Path) -> None:
    """In the orientation that was stated at its import, with labels that are named and numbered otherwise."""
    folder = model_in(write_tiny_model(tmp_path / "m", LABELS, reader="SimpleITKIO"))
    ModelConventions("LPS", {"Liver": "liver", "spleen": "spleen"}).write(folder)
    predictor = Predictor(folder, "cpu")
    table = predictor.conventions.lookup(predictor.labels, SCHEME)
    assert table[:3].tolist() == [0, 2, 1]
    image, _, geometry = image_and_labels(4)
    expected = predictor.segment_array(image, geometry)
    assert set(np.unique(expected)) >= {1, 2}
    for array, grid in as_stored((image, geometry), ("LPS", "SLP", "PIR", "AIL")):
        write_nifti(tmp_path / "x.nii", array, grid)
        found = predictor.segment(tmp_path / "x.nii")
        np.testing.assert_array_equal(reorient(found, load_image(tmp_path / "x.nii")[1], "RAS")[0], expected)


def test_an_imported_model_makes_drafts_and_starts_rounds_in_the_ids_of_the_scheme(tmp_path: Path) -> None:
    (tmp_path / "labels.tsv").write_text(SCHEME.text)
    Workspace.init(tmp_path / "ws", tmp_path / "labels.tsv", settings_text='DEVICE = "cpu"\n')
    write_archive(write_tiny_model(tmp_path / "m", LABELS, reader="SimpleITKIO"), tmp_path / "m.zip")
    image, _, geometry = image_and_labels(5)
    with closing(open_workspace(tmp_path / "ws")) as workspace:
        write_nifti(tmp_path / "ws" / "images" / "five.nii.gz", *reorient(image, geometry, "PIR"))
        row = import_zip(workspace, tmp_path / "m.zip", orientation="LPS")
        assert row.path is not None
        model = workspace.path(row.path)
        examination = Examination(path="images/five.nii.gz", sequence="in")
        draft, source = LoadedModels(workspace).segment(row, examination)
        with workspace.catalog.read() as session:
            assert structures_known(workspace, session, row.version) == {"spleen", "liver"}
    predicted = Predictor(model, "cpu").segment(tmp_path / "ws" / "images" / "five.nii.gz")
    assert source == "nnunet" and {1, 2} <= set(np.unique(predicted))
    np.testing.assert_array_equal(draft, np.array([0, 2, 1], dtype=np.uint8)[predicted])  # Liver is 1 there and 2 here
    assert stated_heads(model, SCHEME) == {2: (1,), 1: (2,)}
