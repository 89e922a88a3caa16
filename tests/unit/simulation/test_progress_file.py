"""A demo that was stopped finds what it had done, and nothing that is not its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mrseg_label.errors import ConfigurationError
from mrseg_label.simulation.progress_file import FILE, DemoProgress, begin, read_progress
from mrseg_label.simulation.radiologist import TruthFile
from mrseg_label.simulation.rounds import FinishedRound
from tests.unit.simulation.test_report import case

OPTIONS = {"rounds": 2, "round size": 8}


def stopped(tmp_path: Path) -> DemoProgress:
    progress = DemoProgress(OPTIONS, truths={"ex-1": TruthFile(tmp_path / "t.nii.gz", "P1", "abdomen", "in")})
    progress.batch = [case({"liver": 0.5}, 10)]
    progress.model = FinishedRound(1, "round-1", True, 12.5)
    progress.rows = [{"round": 0, "mean_dsc": 0.5}]
    return progress


def test_progress_is_what_was_saved(tmp_path: Path) -> None:
    assert read_progress(tmp_path) is None
    before = stopped(tmp_path)
    before.save(tmp_path)
    assert read_progress(tmp_path) == before
    assert begin(tmp_path, tmp_path / "cohort", OPTIONS) == before
    (tmp_path / FILE).write_text((tmp_path / FILE).read_text()[:-20])
    with pytest.raises(ConfigurationError, match="is damaged"):
        read_progress(tmp_path)


def test_a_demo_goes_on_with_the_same_options_until_it_has_finished(tmp_path: Path) -> None:
    progress = stopped(tmp_path)
    progress.save(tmp_path)
    with pytest.raises(ConfigurationError, match="was begun with round size 8; go on with the same"):
        begin(tmp_path, tmp_path / "cohort", OPTIONS | {"round size": 4})
    replace(progress, finished=True).save(tmp_path)
    with pytest.raises(ConfigurationError, match="has finished; its report is in"):
        begin(tmp_path, tmp_path / "cohort", OPTIONS)


def test_only_an_own_unfinished_cohort_is_made_again(tmp_path: Path) -> None:
    workspace, cohort = tmp_path / "demo", tmp_path / "demo-cohort"
    cohort.mkdir()
    (cohort / "image").write_text("somebody's")
    with pytest.raises(ConfigurationError, match="is not empty, but the demo writes its cohort there"):
        begin(workspace, cohort, OPTIONS)
    assert (cohort / "image").exists()
    workspace.mkdir()
    DemoProgress(OPTIONS).save(workspace)
    assert begin(workspace, cohort, OPTIONS) is None
    assert not workspace.exists() and not cohort.exists()
