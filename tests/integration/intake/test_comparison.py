"""Images that were imported before the import compared channels are compared later, and nothing that somebody decided is touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from mrseg_label.catalog.channel_types import Labelled, Misregistration
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries.channels import ChannelFilter, count_with_several, with_several
from mrseg_label.catalog.tables import Acquisition, Annotation, AuditEvent, Examination
from mrseg_label.catalog.types import SwapState
from mrseg_label.cli import app
from mrseg_label.cli.common import interruptible
from mrseg_label.errors import NotFound
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.intake.comparison import compare_channels
from mrseg_label.intake.editing import edit_examinations
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.simulation.phantom import Participant, paint, render_all
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import add_annotation

CHANNELS = ("in", "opp", "fat", "water")


@pytest.fixture
def opened(tmp_path: Path, database_settings: str) -> Iterator[OpenedWorkspace]:
    """Three annotated participants of an earlier version: a moved channel, exchanged fat and water, and all in place."""
    Workspace.init(tmp_path / "ws", settings_text=f'AUTH = "off"\n{database_settings}')
    for index, code in enumerate(("moved", "swapped", "right")):
        painted = paint(Participant.draw(seed=3, index=index), "abdomen")
        images = render_all(painted, CHANNELS)
        if code == "moved":
            images["opp"] = np.roll(images["opp"], 4, 0)
        if code == "swapped":
            images["fat"], images["water"] = images["water"], images["fat"]
        (tmp_path / "study" / code).mkdir(parents=True)
        x, y, z = images["in"].shape
        for name, image in images.items():
            file = tmp_path / "study" / code / f"abdomen_{name}.nii.gz"
            write_nifti(file, image, Geometry((x, y, z), painted.affine))
    with closing(open_workspace(tmp_path / "ws")) as workspace:
        done = import_paths(
            workspace, [tmp_path / "study"], ImportOptions(pattern="{participant}/{station}_{sequence}.nii.gz")
        )
        assert not done.refused
        with workspace.catalog.begin() as session:
            for row in session.query(Examination):
                row.misregistration = row.swap = None
                row.warnings = []
            for case in session.query(Acquisition):
                add_annotation(session, case)
            assert {row.labelled for row in session.query(Examination)} == set(Labelled)
        yield workspace


def run(workspace: OpenedWorkspace, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["examinations", "compare", *arguments, "--workspace", str(workspace.root)])


def found_in(workspace: OpenedWorkspace) -> dict[tuple[str, str], Any]:
    """What is suspected, decided and labelled, by participant and sequence."""
    with workspace.catalog.read() as session:
        return {
            (row.acquisition.participant.code, row.sequence): (row.misregistration, row.swap, row.labelled)
            for row in session.query(Examination)
        }


def test_what_is_found_later_is_suspected_as_at_an_import(opened: OpenedWorkspace) -> None:
    before = found_in(opened)
    with opened.catalog.read() as session:
        annotations = {row.id: (row.state, row.digest, row.examination_id) for row in session.query(Annotation)}
    tried = json.loads(run(opened, "--dry-run", "--json").stdout)
    assert {(one["participant"], one["sequence"], one["what"]) for one in tried["suspected"]} == {
        ("moved", "opp", "misregistration"), ("swapped", "fat", "swap"), ("swapped", "water", "swap")
    }  # fmt: skip
    assert (tried["acquisitions"], tried["compared"], tried["unreadable"]) == (3, 12, [])
    assert found_in(opened) == before

    done = run(opened, "--author", "chief")
    assert done.exit_code == 0
    assert "participant moved, abdomen, opp): it seems to lie elsewhere than the in image" in done.stdout
    assert "the mask of its acquisition was withdrawn from" in done.stdout
    assert "3 acquisitions: 12 images compared, 3 suspected" in done.stdout
    changed = {key: value for key, value in found_in(opened).items() if value != before[key]}
    assert changed == {
        ("moved", "opp"): (Misregistration.SUSPECTED, None, None),
        ("swapped", "fat"): (None, SwapState.SUSPECTED, None),
        ("swapped", "water"): (None, SwapState.SUSPECTED, None),
    }
    with opened.catalog.read() as session:
        assert annotations == {row.id: (row.state, row.digest, row.examination_id) for row in session.query(Annotation)}
        entries = session.query(AuditEvent).filter_by(action="examination.suspect").all()
        assert {entry.actor for entry in entries} == {"chief"} and len(entries) == 3
        warned = {row.sequence for row in session.query(Examination) if row.warnings}
    assert warned == {"opp", "fat", "water"}
    listed = CliRunner().invoke(app, ["doubts", "--kind", "channel", "--json", "--workspace", str(opened.root)])
    assert len(json.loads(listed.stdout)["items"]) == 3


def test_decisions_stay(opened: OpenedWorkspace) -> None:
    run(opened)
    ids = {key: identifier for identifier, key in ids_of(opened).items()}
    edit_examinations(opened.catalog, [ids["moved", "opp"]], {"misregistration": "none"}, actor="chief")
    edit_examinations(opened.catalog, [ids["swapped", "fat"]], {"swap": "confirmed"}, actor="chief")
    decided = found_in(opened)
    assert decided["moved", "opp"] == (Misregistration.NONE, None, Labelled.PROPAGATED)
    again = json.loads(run(opened, "--json").stdout)
    assert again["suspected"] == again["notes"] == []
    assert set(again["left"]) == {ids["moved", "opp"], ids["swapped", "fat"], ids["swapped", "water"]}
    assert found_in(opened) == decided


def test_an_image_that_lies_elsewhere_is_no_measure_for_the_others(opened: OpenedWorkspace) -> None:
    """The one that readers open was found to be moved: the others are compared with each other."""
    ids = {key: identifier for identifier, key in ids_of(opened).items()}
    with opened.catalog.begin() as session:
        case = session.get_one(Examination, ids["moved", "opp"]).acquisition
        case.primary_examination_id = ids["moved", "opp"]
    edit_examinations(opened.catalog, [ids["moved", "opp"]], {"misregistration": "confirmed"}, actor="chief")
    assert json.loads(run(opened, "--json", "--participant", "moved").stdout)["suspected"] == []


def ids_of(workspace: OpenedWorkspace) -> dict[str, tuple[str, str]]:
    with workspace.catalog.read() as session:
        return {row.id: (row.acquisition.participant.code, row.sequence) for row in session.query(Examination)}


def test_a_damaged_image_is_named_and_the_others_are_compared(opened: OpenedWorkspace) -> None:
    ids = {key: identifier for identifier, key in ids_of(opened).items()}
    with opened.catalog.read() as session:
        file = opened.path(session.get_one(Examination, ids["moved", "water"]).path)
    file.chmod(0o600)
    file.write_bytes(b"no image")
    done = run(opened)
    assert done.exit_code == 1
    assert f"not compared: {ids['moved', 'water']}: " in done.stdout and "restore it from a backup" in done.stdout
    assert found_in(opened)["moved", "opp"][0] is Misregistration.SUSPECTED


def test_filters_and_where_to_go_on(opened: OpenedWorkspace) -> None:
    whole = json.loads(run(opened, "--participant", "swapped", "--json").stdout)
    assert whole["acquisitions"] == 1 and {one["participant"] for one in whole["suspected"]} == {"swapped"}
    assert json.loads(run(opened, "--station", "pelvis", "--json").stdout)["acquisitions"] == 0
    with opened.catalog.read() as session:
        every = list(with_several(session, ChannelFilter(), 9))
        assert every == sorted(every) and count_with_several(session, ChannelFilter(after=every[0])) == 2
    seen = [one.acquisition for one in compare_channels(opened, ChannelFilter(after=every[0]), actor="chief")]
    assert seen == every[1:]
    with pytest.raises(NotFound, match="participants list"):
        list(compare_channels(opened, ChannelFilter(participant="nobody"), actor="chief"))
    assert run(opened, "--participant", "nobody").exit_code == 1


def test_a_stopped_command_says_where_to_go_on(opened: OpenedWorkspace, capsys: pytest.CaptureFixture[str]) -> None:
    with opened.catalog.read() as session:
        first = with_several(session, ChannelFilter(), 1)[0]

    def stop(done: int, _total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    compared: list[str] = []
    with pytest.raises(typer.Exit) as ended, interruptible(lambda: f"Go on with --after {compared[-1]}."):
        for one in compare_channels(opened, ChannelFilter(), actor="chief", progress=stop):
            compared.append(one.acquisition)
    assert compared == [first] and ended.value.exit_code == 130
    assert f"stopped by Ctrl-C. Go on with --after {first}." in capsys.readouterr().err
