"""From which weights a round starts, and which licences its version inherits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.tables import ModelVersion, Round
from mrseg_label.catalog.types import ModelStatus, RoundState
from mrseg_label.cli import app
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.registry.archive import write_archive
from mrseg_label.registry.importing import import_zip
from mrseg_label.registry.lineage import licences_of, state_licence
from mrseg_label.reports.models import read_card, read_model
from mrseg_label.rounds.first_weights import choose_first_weights
from mrseg_label.workspace import Workspace

TRAINED = "Dataset500_mrseg/nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws", settings_text='AUTH = "off"\n')
    workspace = open_workspace(tmp_path / "ws")
    yield workspace
    workspace.catalog.close()


def archive(folder: Path, workspace: OpenedWorkspace, card: dict[str, Any] | None = None) -> Path:
    """The archive of a model that another group trained; its checkpoint is not read here."""
    trained = folder / "m" / TRAINED
    (trained / "fold_0").mkdir(parents=True)
    labels = {"background": 0, **workspace.scheme.label_names}
    content = {"labels": labels, "channel_names": {"0": "MR"}, "file_ending": ".nii.gz"}
    (trained / "dataset.json").write_text(json.dumps(content))
    (trained / "plans.json").write_text(json.dumps({"image_reader_writer": "NibabelIOWithReorient"}))
    (trained / "fold_0/checkpoint_final.pth").write_bytes(b"weights")
    if card is not None:
        (trained / "data_set_card.json").write_text(json.dumps(card))
    write_archive(folder / "m", folder / "m.zip")
    return folder / "m.zip"


def round_from(parent: str) -> Round:
    return Round(number=7, state=RoundState.QUEUED, profile="smoke", parent=parent)


def licences(workspace: OpenedWorkspace, version: str) -> list[str]:
    with workspace.catalog.read() as session:
        model = session.get(ModelVersion, version)
        assert model is not None
        return licences_of(session, model)


def test_no_round_starts_from_weights_that_forbid_it(opened: OpenedWorkspace, tmp_path: Path) -> None:
    version = import_zip(opened, archive(tmp_path, opened), licence="CC BY-NC-ND 4.0").version
    chosen = choose_first_weights(opened, round_from(version))
    assert (chosen.source, chosen.folder) == ("random", None)
    assert chosen.warning is not None and "CC BY-NC-ND 4.0" in chosen.warning and "models licence" in chosen.warning
    # What was stated wrongly can be corrected; the audit trail knows both.
    result = CliRunner().invoke(app, ["models", "licence", version, "CC BY-NC 4.0", "--workspace", str(opened.root)])
    assert result.exit_code == 0 and "CC BY-NC 4.0" in result.output
    chosen = choose_first_weights(opened, round_from(version))
    assert (chosen.source, chosen.licences, chosen.warning) == (version, ("CC BY-NC 4.0",), None)
    assert chosen.folder is not None and (chosen.folder / "plans.json").is_file()


def test_weights_of_which_nobody_states_a_licence_bring_a_warning(opened: OpenedWorkspace, tmp_path: Path) -> None:
    version = import_zip(opened, archive(tmp_path, opened)).version
    chosen = choose_first_weights(opened, round_from(version))
    assert chosen.source == version and chosen.warning is not None and "nobody stated the licence" in chosen.warning
    with pytest.raises(InvalidInput, match="one line"):
        state_licence(opened, version, "\n")
    with pytest.raises(Conflict, match="TotalSegmentator"):
        state_licence(opened, "bootstrap", "MIT")


def test_licences_stand_in_the_lineage(opened: OpenedWorkspace, tmp_path: Path) -> None:
    assert licences(opened, "bootstrap") == ["Apache-2.0"]
    first = {"source": "TotalSegmentator", "licences": ["Apache-2.0"]}
    card = {"round": 3, "snapshot": "0" * 64, "training": {"participants": 5}, "held_out": {}, "structures": {}}
    version = import_zip(opened, archive(tmp_path, opened, card | {"first_weights": first}), licence="MIT").version
    assert licences(opened, version) == ["MIT", "Apache-2.0"]
    chosen = choose_first_weights(opened, round_from(version))
    with opened.catalog.begin() as session:
        session.add(
            ModelVersion(
                version="r7", parent=version, status=ModelStatus.CANDIDATE, record={"first_weights": chosen.to_json()}
            )
        )
        # Of an earlier release, without a record: its lineage is that of its parents.
        session.add(ModelVersion(version="r8", parent="r7", status=ModelStatus.CANDIDATE))
    assert licences(opened, "r7") == licences(opened, "r8") == ["MIT", "Apache-2.0"]
    assert read_model(opened.catalog, "r8").licences == ["MIT", "Apache-2.0"]
    # The card of the other group came with its model.
    shown = CliRunner().invoke(app, ["models", "card", version, "--workspace", str(opened.root)])
    assert "| participants | 5 |" in shown.output and read_card(opened.catalog, version).card["round"] == 3
    missing = CliRunner().invoke(app, ["models", "card", "r8", "--workspace", str(opened.root)])
    assert missing.exit_code != 0
