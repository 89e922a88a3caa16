"""Rounds that are killed in every stage end done, with one version, trained on the snapshot that they name."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import models, rounds
from mrseg_label.catalog.types import CaseRole, RoundState
from mrseg_label.cli import app
from mrseg_label.registry import service as registry
from mrseg_label.reports.documents.round_values import RoundProgress, RoundResult
from mrseg_label.reports.rounds import read_round
from mrseg_label.rounds import service
from tests.integration.nnunet.test_engine import processes_with
from tests.support.round_kills import Kill, run_round, small_study, start_final


def check_version(workspace: OpenedWorkspace, number: int, folds: list[int]) -> None:
    """Check that a round has ended with one version of these folds, trained on its snapshot."""
    document = read_round(workspace.catalog, number)
    assert document.state is RoundState.DONE, document.error
    with workspace.catalog.read() as session:
        registered = [model for model in models.list_all(session) if model.round_number == number]
        snapshot = [case.acquisition_id for case in rounds.cases(session, number) if case.role is CaseRole.TRAINING]
    assert [model.version for model in registered] == [f"r{number}"]
    [model] = registered
    assert model.dataset_digest == document.snapshot.digest and model.metrics["folds"] == folds
    registry.check_files(workspace, model)
    assert len(snapshot) == len(document.cases) - 1
    cases = json.loads((workspace.nnunet / "raw" / f"Dataset50{number}_round{number}" / "cases.json").read_text())
    assert len(cases) == len(snapshot)
    assert not processes_with(str(workspace.root))


@pytest.mark.timeout(900)
def test_a_final_round_that_is_killed_three_times(tmp_path: Path) -> None:
    kills = [Kill("preprocessing"), Kill("training", "trainer", fold=0), Kill("publishing")]
    with small_study(tmp_path, 5) as workspace:
        number = start_final(workspace, 2)
        struck = run_round(workspace, number, kills, tmp_path / "worker.log")
        assert {kill.stage for kill in struck} >= {"training", "publishing"}
        check_version(workspace, number, [0, 1])
        _check_ensemble(workspace)


def _check_ensemble(workspace: OpenedWorkspace) -> None:
    document = read_round(workspace.catalog, 1)
    assert [fold.state for fold in document.folds] == ["done", "done"]
    assert document.result.keys() <= RoundResult.model_fields.keys()
    assert document.progress.keys() <= RoundProgress.model_fields.keys()
    with workspace.catalog.read() as session:
        model = models.get(session, "r1")
    assert model is not None and model.metrics["best_fold"] in (0, 1) and model.parent == "bootstrap"
    validation = model.metrics["cross_validation"]
    assert validation["cases"] == 5 and validation["mean_dsc"] is not None
    assert validation["cases_by_structure"] == {"left_lung": 5, "right_lung": 5, "liver": 4}  # one was not annotated
    assert set(validation["mean_dsc_by_fold"]) == {"0", "1"}
    with zipfile.ZipFile(registry.archive(workspace, "r1")) as archive:
        folds = {name.split("/")[2] for name in archive.namelist() if name.endswith("checkpoint_final.pth")}
    assert folds == {"fold_0", "fold_1"}
    shown = CliRunner().invoke(app, ["rounds", "show", "1", "--workspace", str(workspace.root)]).output
    assert "2 folds" in shown and "cases that it has not seen" in shown
    splits = json.loads((workspace.nnunet / "raw" / "Dataset501_round1" / "splits_final.json").read_text())
    assert sorted(splits[0]["val"] + splits[1]["val"]) == sorted(splits[0]["train"] + splits[0]["val"])


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "kills",
    [
        [Kill("snapshot"), Kill("planning")],
        [Kill("preprocessing", "trainer"), Kill("training")],
        [Kill("exporting", "trainer"), Kill("evaluating")],
        [Kill("training", "trainer"), Kill("publishing")],
    ],
    ids=lambda kills: "-".join(kill.stage for kill in kills),
)
def test_a_round_of_one_fold_is_killed_in_every_stage(tmp_path: Path, kills: list[Kill]) -> None:
    with small_study(tmp_path, 2) as workspace:
        number = service.start(workspace)
        struck = run_round(workspace, number, kills, tmp_path / "worker.log")
        assert struck
        check_version(workspace, number, [0])


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_round_of_several_folds_is_killed_in_every_stage(tmp_path: Path) -> None:
    """No job dies more than twice, after which it would be put aside."""
    kills = [
        Kill("planning"),
        Kill("preprocessing", "trainer"),
        Kill("training", fold=0),
        Kill("validating", "trainer", fold=0),
        Kill("training", "trainer", fold=1),
        Kill("validating", fold=1),
        Kill("evaluating"),
        Kill("publishing"),
    ]
    with small_study(tmp_path, 5) as workspace:
        number = start_final(workspace, 2)
        struck = run_round(workspace, number, kills, tmp_path / "worker.log")
        assert len(struck) >= 5, struck
        check_version(workspace, number, [0, 1])
