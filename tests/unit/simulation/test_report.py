"""The demo's report: its form, and that its notes agree with the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mrseg_label.errors import ConfigurationError
from mrseg_label.simulation.cohort import participants_for
from mrseg_label.simulation.demo import DemoOptions, run_demo
from mrseg_label.simulation.radiologist import CaseResult
from mrseg_label.simulation.report import case_row, loop_notes, round_row, source_notes, sources_part
from mrseg_label.simulation.settings import FIXED, fixed_settings, settings_text, stop_rounds
from mrseg_label.workspace import Workspace

REQUIRED = {
    "round", "model_version", "cases", "mean_dsc", "heldout_dsc", "edited_voxels_per_case", "edited_ml_per_case",
    "training_seconds", "promoted", "dsc",
}  # fmt: skip


def case(
    dsc: dict[str, float], edited: int, station: str = "abdomen", version: str = "bootstrap", participant: str = "P001"
) -> CaseResult:
    return CaseResult(
        examination="ex-1", reader="reader-ada", participant=participant, station=station, sequence="in", model_version=version,
        dsc=dsc, corrected_dsc=0.95, edited_voxels=edited, edited_ml=edited / 100, wrong_voxels=edited + 5, partly=("liver",),
        missed=(), habit="reordered", seconds=3.0, view=None,
    )  # fmt: skip


def row(number: int, batch: list[CaseResult], **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "model_version": "bootstrap", "promoted": True, "heldout_dsc": 0.49, "training_seconds": 0.0, "batch_seconds": 9.0,
    }  # fmt: skip
    return round_row(number, batch, **{**values, **changes})


def test_a_row_has_the_promised_keys_and_the_means_over_cases() -> None:
    batch = [case({"liver": 0.8, "spleen": 0.4}, 1000), case({"liver": 0.6}, 3000, "pelvis")]
    made = row(0, batch)
    assert made.keys() >= REQUIRED
    assert made["mean_dsc"] == pytest.approx(0.6)
    assert made["dsc"] == {"liver": 0.7, "spleen": 0.4}
    assert made["edited_voxels_per_case"] == 2000
    assert made["edited_ml_per_case"] == 20.0
    assert made["mix"] == {"abdomen in": 1, "pelvis in": 1}


def test_cases_of_held_out_participants_are_reported_apart() -> None:
    batch = [case({"liver": 0.8}, 100), case({"liver": 0.4}, 300), case({"liver": 0.3}, 900, participant="P002")]
    made = row(1, batch, held_out={"P002", "P009"})
    assert made["by_role"]["held_out"] == {
        "cases": 1, "mean_dsc": 0.3, "edited_voxels_per_case": 900, "edited_ml_per_case": 9.0,
    }  # fmt: skip
    assert made["by_role"]["training"]["cases"] == 2 and made["by_role"]["training"]["mean_dsc"] == pytest.approx(0.6)
    assert made["edited_voxels_per_case"] == round(1300 / 3)
    (note,) = [note for note in loop_notes([made]) if "batch 2" in note]
    assert "1 of held-out participants had a mean DSC of 0.30 and took 900 edited voxels each; 2 of the others" in note
    assert [case_row(1, one, {"P002"})["held_out"] for one in batch] == [False, False, True]
    nobody = row(0, batch[:2])
    assert nobody["by_role"]["held_out"]["mean_dsc"] is None and not any(
        "batch 1" in one for one in loop_notes([nobody])
    )


def test_a_round_that_was_not_promoted_is_mentioned() -> None:
    rows = [row(0, [case({"liver": 0.2}, 100)]), row(1, [case({"liver": 0.3}, 90)], model_version="r1", promoted=False)]
    assert rows[1]["drafts_from"] == ["bootstrap"]
    assert any("not promoted" in note and "r1" in note and "bootstrap" in note for note in loop_notes(rows))


def test_the_notes_name_the_sequences_that_inversion_improves() -> None:
    sources = sources_part({
        "raw": {"in": [0.1, 0.0], "water": [0.3]},
        "inverted": {"in": [0.2, 0.4], "water": [0.1]},
        "equalized": {"in": [0.1, 0.1], "water": [0.2]},
    })  # fmt: skip
    assert sources["inverted"] == {"mean_dsc": 0.2333, "cases": 3, "by_sequence": {"in": 0.3, "water": 0.1}}
    helps, fails = source_notes(sources)
    assert "in (0.30 against 0.05)" in helps
    assert "water" not in helps
    assert "water (0.10 against 0.30)" in fails


def test_a_case_row_is_plain_json() -> None:
    made = case_row(1, case({"liver": 0.5}, 7))
    assert made["partly"] == ["liver"]
    assert made["submitted_as"] == "reordered"


@pytest.mark.parametrize(("cases", "participants"), [(24, 12), (3, 4), (25, 13)])
def test_the_cohort_grows_with_the_cases(cases: int, participants: int) -> None:
    assert participants_for(cases) == participants


def test_a_workspace_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="not an empty folder"):
        run_demo(DemoOptions(tmp_path / "w"))
    assert not (tmp_path / "w-cohort").exists()


def test_a_cohort_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w-cohort").mkdir()
    (tmp_path / "w-cohort" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="w-cohort is not empty"):
        run_demo(DemoOptions(tmp_path / "w"))
    assert not (tmp_path / "w").exists()


def test_the_settings_override_the_environment_and_can_stop_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MRSEG_DATABASE_URL", "sqlite:////nowhere/else.db")
    monkeypatch.setenv("MRSEG_AUTH", "on")
    monkeypatch.setenv("MRSEG_DEVICE", "cpu")
    with fixed_settings():
        workspace = Workspace.init(tmp_path / "w", settings_text=settings_text(3, "smoke"))
        assert workspace.settings.database_url is None
        assert workspace.settings.auth == "off"
        assert workspace.settings.device == "cpu"
        assert (workspace.settings.round_size, workspace.settings.auto_round) == (3, True)
        stop_rounds(tmp_path / "w", 3, "smoke")
        assert Workspace.open(tmp_path / "w").settings.auto_round is False
    import os

    assert os.environ["MRSEG_AUTH"] == "on"
    assert "DATABASE_URL" in FIXED
