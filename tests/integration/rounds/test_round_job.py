"""A whole round as its job runs it: snapshot, data set, a real training, evaluation, a model version."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import models, presegmentations
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.catalog.queries import training as training_rows
from mrseg_label.catalog.tables import (
    Acquisition,
    Annotation,
    Evaluation,
    Examination,
    ModelVersion,
    Presegmentation,
    SourceScore,
)
from mrseg_label.catalog.types import RoundState
from mrseg_label.cli import app
from mrseg_label.errors import InvalidInput, Unavailable
from mrseg_label.jobs import JobContext, claim, queue
from mrseg_label.presegmentation import presegment as presegment_job
from mrseg_label.presegmentation.service import presegmentation_for
from mrseg_label.registry import service as registry
from mrseg_label.reports.documents.round_values import RoundProgress, RoundResult
from mrseg_label.reports.rounds import read_fold, read_round
from mrseg_label.rounds import run, service
from mrseg_label.rounds.service import log_path
from tests.support.round_cases import NAMES, annotate, round_workspace, run_round


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    with round_workspace(tmp_path) as workspace:
        yield workspace


THIN = {"shape": (30, 24, 3), "spacing": (5.0, 6.0, 1.8)}  # of which nothing is left at 12 mm


def test_a_round_respects_structures_that_were_not_annotated(opened: OpenedWorkspace, tmp_path: Path) -> None:
    workspace = opened
    partial = annotate(opened, tmp_path, 1, NAMES[:2], held_out=False)
    annotate(opened, tmp_path, 2, NAMES, held_out=False)
    tested = annotate(opened, tmp_path, 3, NAMES[:2], held_out=True)
    with opened.catalog.begin() as session:  # a second channel, which shares the annotation
        (first,) = session.get_one(Acquisition, tested).examinations
        shutil.copyfile(opened.path(first.path), opened.path(f"{first.path}.second.nii.gz"))
        session.add(Examination(
            id="ex-second", acquisition_id=tested, sequence="water", source="second", source_digest="second",
            path=f"{first.path}.second.nii.gz", digest=first.digest, geometry=first.geometry,
        ))  # fmt: skip
    number = service.start(workspace)
    held = claim(workspace.catalog, [queue.ROUNDS])
    assert held is not None
    run.run(JobContext(workspace, held, {}))
    with workspace.catalog.read() as session:
        row = rows.get(session, number)
        assert row is not None and row.state is RoundState.DONE, row and row.error
        model = models.get(session, "r1")
        annotation = session.query(Annotation).filter_by(acquisition_id=tested).one()
        evaluation = session.get(Evaluation, ("r1", annotation.id, annotation.examination_id))
        second = session.get(Evaluation, ("r1", annotation.id, "ex-second"))
        (work,) = session.query(SourceScore)
    assert row.result["labels"] == {
        "structures": NAMES,
        "cases_filled_from": {},
        "background_ignored": {partial: ["liver"]},
    }
    assert row.result["first_weights"]["source"] == "random" and "weights" in row.result["first_weights"]["warning"]
    # Without weights there is no model to compare with, but the training is not lost.
    assert not row.result["promoted"] and "could not be evaluated" in row.result["reason"]
    dataset = workspace.nnunet / "raw" / "Dataset501_round1"
    assert json.loads((dataset / "dataset.json").read_text())["labels"]["ignore"] == len(NAMES) + 1
    assert model is not None and model.path is not None and workspace.path(model.path).is_dir()
    assert_recorded(model, workspace.path(model.path))
    assert evaluation is not None and evaluation.dsc["left_lung"] is not None and evaluation.dsc["liver"] is None
    (fold,) = read_round(workspace.catalog, number).folds
    assert (fold.fold, fold.state) == (0, "done")
    curve = read_fold(workspace.catalog, number, 0).curve
    assert [point.epoch for point in curve] == [1, 2] and curve[-1].train_loss is not None
    with workspace.catalog.read() as session:
        (piece,) = training_rows.pieces(session, number, None)
    assert piece.text == log_path(workspace, number).read_text() and "Epoch 1" in piece.text
    assert second is not None and second.dsc == evaluation.dsc
    # What a reader would have had to correct of its mask, for the choice of sources: on the channel that readers open.
    assert (work.source, work.annotation_id, work.examination_id) == ("r1", annotation.id, annotation.examination_id)
    edited, drafted, annotated = work.structures["left_lung"]
    assert 1 - edited / (drafted + annotated) == pytest.approx(evaluation.dsc["left_lung"], abs=1e-3)
    assert "liver" not in work.structures
    assert (row.result["held_out_cases"], model.metrics["held_out_examinations"]) == (1, 2)


def assert_recorded(model: ModelVersion, folder: Path) -> None:
    """The version says how it was trained and on what, and so does its folder, which names nobody."""
    record, card = model.record, model.card
    assert (record["profile"], record["seed"], record["settings"]["epochs"]) == ("smoke", 1, 2)
    assert record["programs"].keys() >= {"mrseg-label", "nnunetv2", "torch", "python", "code_sha256"}
    [machine] = record["machines"]
    assert machine["device"] == "cpu" and machine["cores"] >= 1 and machine["processor"]
    assert record["seconds"]["training"] > 0 and record["seconds"]["round"] >= record["seconds"]["training"]
    assert card["snapshot"] == model.dataset_digest
    assert (card["training"]["participants"], card["training"]["examinations"], card["training"]["readers"]) == (
        2,
        2,
        1,
    )
    assert (card["held_out"]["participants"], card["held_out"]["acquisitions"]) == (1, 1)
    assert card["training"]["licences"] == {"not stated": 2} and card["training"]["began_from"] == {"nothing": 2}
    assert card["structures"]["liver"] == {"drawn": 1, "not_annotated": 1}
    assert card["structures"]["left_lung"] == {"drawn": 2}
    assert json.loads((folder / "data_set_card.json").read_text()) == card
    text = (folder / "DATA_SET_CARD.md").read_text()
    assert "| liver | drawn: 1, not annotated: 1 |" in text
    assert not re.search(r"\b(ada|upload)", text)


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.soak
def test_cases_that_cannot_be_used_are_left_out_and_damaged_drafts_made_again(
    opened: OpenedWorkspace, tmp_path: Path
) -> None:
    annotate(opened, tmp_path, 1, NAMES, held_out=False)
    thin = annotate(opened, tmp_path, 2, NAMES, held_out=False, **THIN)
    damaged = annotate(opened, tmp_path, 3, NAMES[:2], held_out=False)
    annotate(opened, tmp_path, 4, NAMES, held_out=True)
    thin_test = annotate(opened, tmp_path, 5, NAMES, held_out=True, **THIN)
    lost = annotate(opened, tmp_path, 6, NAMES, held_out=True)
    with opened.catalog.read() as session:
        files = {one.acquisition_id: one for one in session.query(Annotation)}
    cut_off(opened.path(files[damaged].path))
    opened.path(files[lost].path).unlink()
    document = run_round(opened)
    assert document.state is RoundState.DONE, document.error
    reasons = {entry.acquisition: (str(entry.role), entry.reason) for entry in document.left_out}
    assert set(reasons) == {thin, damaged, thin_test, lost}
    assert reasons[thin][0] == "training" and "too thin: of 3 slices of 1.8 mm" in reasons[thin][1]
    assert "damaged" in reasons[damaged][1]
    assert reasons[thin_test][0] == "held_out" and "too thin" in reasons[thin_test][1]
    assert "missing" in reasons[lost][1]
    assert document.result.keys() <= RoundResult.model_fields.keys()
    assert document.progress.keys() <= RoundProgress.model_fields.keys()
    assert document.result["held_out_cases"] == 1 and document.result["mean_dsc"] is not None
    assert opened.path(files[damaged].path).exists()  # the truth is never put aside
    result = CliRunner().invoke(app, ["rounds", "show", "1", "--workspace", str(opened.root)])
    with opened.catalog.read() as session:
        first_model = models.get(session, "r1")
        assert first_model is not None
        training = first_model.card["training"]
        assert (training["acquisitions"], training["acquisitions_left_out"]) == (1, 2)
    assert f"left out: {files[thin].examination_id}" in result.output and "too thin" in result.output

    # A draft of the new model, cut off: it is made again instead of sent.
    registry.promote(opened, "r1")
    examination = files[thin].examination_id
    with pytest.raises(Unavailable, match="no worker has started"):
        presegmentation_for(opened, files[lost].examination_id, wait_seconds=0)
    first = presegment(opened, lost)
    cut_off(opened.path(first.path))
    with pytest.raises(Unavailable, match="no worker has started"):
        presegmentation_for(opened, files[lost].examination_id, wait_seconds=0)
    assert opened.path(first.path + ".damaged").exists()
    again = presegment(opened, lost)
    assert (again.id, again.digest) == (first.id, first.digest) and again.path != first.path
    assert presegmentation_for(opened, files[lost].examination_id, wait_seconds=0).path == again.path
    with pytest.raises(Unavailable, match="no worker has started"):
        presegmentation_for(opened, examination, wait_seconds=0)
    with pytest.raises(InvalidInput, match="too thin: of 3 slices of 1.8 mm"):
        presegment(opened, thin)

    # Half a model is no reason for the next round to fail: it starts from random weights and says so.
    with opened.catalog.read() as session:
        model = models.get(session, "r1")
        assert model is not None and model.path is not None
    for checkpoint in opened.path(model.path).rglob("checkpoint_final.pth"):
        cut_off(checkpoint)
    annotate(opened, tmp_path, 7, NAMES, held_out=False)
    document = run_round(opened)
    assert document.state is RoundState.DONE, document.error
    # What the first round preprocessed is taken over, and the new case alone preprocessed.
    assert (document.result["cases_reused"], document.result["cases_preprocessed"]) == (1, 1)
    assert "started from random weights" in document.result["damaged"][0]
    assert document.result["current_mean_dsc"] is not None  # r1 was evaluated on that case when it was whole


def presegment(workspace: OpenedWorkspace, acquisition: str) -> Presegmentation:
    """Make the draft that was requested."""
    while True:
        held = claim(workspace.catalog, [queue.DRAFTS])
        assert held is not None
        if held.payload["acquisition"] == acquisition:
            break
        with workspace.catalog.begin() as session:
            held.finish(workspace.catalog, session, {})
    context = JobContext(workspace, held, {})
    presegment_job.run(context)
    with workspace.catalog.read() as session:
        made = presegmentations.by_model(session, acquisition, "r1")
    assert made is not None
    return made


def test_a_round_without_a_usable_case_says_which_and_why(opened: OpenedWorkspace, tmp_path: Path) -> None:
    annotate(opened, tmp_path, 1, NAMES, held_out=False, **THIN)
    annotate(opened, tmp_path, 2, NAMES, held_out=True)
    document = run_round(opened)
    assert document.state is RoundState.FAILED
    assert document.error is not None and "no case is left to train on" in document.error
    assert "too thin: of 3 slices of 1.8 mm" in document.error
