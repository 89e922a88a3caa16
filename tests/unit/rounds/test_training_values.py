"""How a round trains is fixed at its start."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.queries import rounds as rows
from mrseg_label.cli.round_text import training_text
from mrseg_label.config import load_settings
from mrseg_label.errors import ConfigurationError, InvalidInput
from mrseg_label.imaging import Geometry
from mrseg_label.nnunet.left_out import check_extent
from mrseg_label.nnunet.planning import spacing_zyx
from mrseg_label.nnunet.profiles import profile_named
from mrseg_label.reports.rounds import read_round
from mrseg_label.rounds.first_weights import FirstWeights
from mrseg_label.rounds.service import start_in_transaction
from mrseg_label.rounds.training import describe_training
from mrseg_label.rounds.training_values import RoundKind, choose_training_values, profile_changes
from mrseg_label.workspace import Workspace


def settings_of(folder: Path, text: str) -> object:
    (folder / "mrseg.toml").write_text(text)
    return load_settings(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[training]\nepoch = 5", r"TRAINING_EPOCH \(did you mean TRAINING_EPOCHS\?\)"),
        ("[training]\nepochs = 0", "TRAINING_EPOCHS: .*greater than or equal to 1.*got 0"),
        ("[training]\nlearning_rate = 2", "TRAINING_LEARNING_RATE: .*less than 1"),
        ("[training]\nspacing_mm = [2, 2]", "TRAINING_SPACING_MM"),
        ("[training]\nspacing_mm = -1", "TRAINING_SPACING_MM.*greater than 0"),
        ("[training]\nfolds = 2.5", "TRAINING_FOLDS"),
        ("training = 5", "no such setting: TRAINING"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        settings_of(tmp_path, text)


def test_the_environment_overrides_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MRSEG_TRAINING_EPOCHS", "7")
    monkeypatch.setenv("MRSEG_TRAINING_SPACING_MM", "2, 2.5, 5")
    (tmp_path / "mrseg.toml").write_text("[training]\nepochs = 5\nspacing_mm = 3\nfolds = 2\n")
    settings = load_settings(tmp_path)
    assert (settings.training_epochs, settings.training_spacing_mm, settings.training_folds) == (7, (2.0, 2.5, 5.0), 2)
    monkeypatch.setenv("MRSEG_TRAINING_SPACING_MM", "4")
    assert load_settings(tmp_path).training_spacing_mm == (4.0, 4.0, 4.0)


def test_a_round_trains_as_it_was_started_whatever_the_settings_say_by_then(tmp_path: Path) -> None:
    text = 'TRAINING_PROFILE = "smoke"\n[training]\nepochs = 3\nspacing_mm = [10, 11, 12]\n'
    Workspace.init(tmp_path / "ws", settings_text=text)
    with closing(open_workspace(tmp_path / "ws")) as workspace:
        with workspace.catalog.begin() as session:
            start_in_transaction(session, workspace.settings, actor="test")
        (tmp_path / "ws" / "mrseg.toml").write_text('TRAINING_PROFILE = "tiny"\n')
    with closing(open_workspace(tmp_path / "ws")) as workspace:
        with workspace.catalog.read() as session:
            row = rows.get(session, 1)
        assert row is not None
        run = describe_training(workspace, row, FirstWeights(), tmp_path / "model", 1)
        document = read_round(workspace.catalog, 1)
    profile = run.training_profile
    assert (profile.name, profile.epochs, profile.iterations_per_epoch) == ("smoke", 3, 2)
    assert profile.target_spacing_mm == [10.0, 11.0, 12.0] and run.seed == 1
    assert training_text(document) == ("first: 3 epochs of 2 iterations, learning rate 0.012, 10 x 11 x 12 mm, seed 1")
    # A round of an earlier version keeps nothing, and trains as its profile says.
    assert profile_changes({}) == {} and training_text(document.model_copy(update={"training": {}})) == ""
    assert replace(profile_named("smoke"), **profile_changes({})) == profile_named("smoke")


def test_three_spacings_are_those_of_the_axes_of_the_body() -> None:
    assert spacing_zyx((2.0, 3.0, 4.0)) == [4.0, 3.0, 2.0]
    assert spacing_zyx(3.0) == [3.0] * 3 and spacing_zyx(None) is None
    thin = np.diag((1.0, 1.0, 1.0, 1.0))[[2, 1, 0, 3]]  # the first axis of the array runs from bottom to top
    check = check_extent([1.0, 1.0, 8.0])
    check(Geometry((9, 3, 3), thin))
    with pytest.raises(InvalidInput, match="of 3 slices of 1 mm nothing is left at the 8 mm"):
        check(Geometry((3, 9, 9), thin))


def test_augmentation_is_kept_and_shown_where_it_is_set(tmp_path: Path) -> None:
    text = "[training]\nmirror_left_right = true\ngamma = 0.25\nsmall_structures = 0.5\n"
    Workspace.init(tmp_path / "ws", settings_text=text)
    with closing(open_workspace(tmp_path / "ws")) as workspace:
        values = choose_training_values(workspace.settings, RoundKind.FIRST, 1)
    profile = replace(profile_named("tiny"), **profile_changes(values))
    assert (profile.mirror_left_right, profile.inversion, profile.gamma) == (True, 0.0, 0.25)
    assert profile.small_structure_exponent == 0.5
    with pytest.raises(ConfigurationError, match="TRAINING_GAMMA"):
        settings_of(tmp_path, "[training]\ngamma = 1.5")
