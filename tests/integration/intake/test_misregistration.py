"""A channel that lies elsewhere than the others is suspected at its import, and gets no mask until somebody decides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mrseg_label.catalog.channel_types import Misregistration
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.propagation import without_mask
from mrseg_label.catalog.queries.doubts import MaskKind
from mrseg_label.catalog.tables import Acquisition, Examination
from mrseg_label.cli import app
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.intake.editing import edit_examinations
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.reports.doubts import read_doubts
from mrseg_label.simulation.phantom import Participant, paint, render_all
from mrseg_label.workspace import Workspace

PATTERN = "{participant}/{station}_{sequence}.nii.gz"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws", settings_text='AUTH = "off"\n')
    with closing(open_workspace(tmp_path / "ws")) as workspace:
        yield workspace


def test_a_moved_channel_is_reported_before_anything_is_propagated(opened: OpenedWorkspace, tmp_path: Path) -> None:
    painted = paint(Participant.draw(seed=3, index=2), "abdomen")
    images = render_all(painted, ("in", "opp", "water"))
    images["water"] = np.roll(images["water"], 4, 0)  # towards the left or the right
    images["fat"] = np.roll(images["opp"], 5, 1)
    (tmp_path / "study" / "p1").mkdir(parents=True)
    x, y, z = images["in"].shape
    for name in ("in", "opp", "water", "fat"):
        file = tmp_path / "study" / "p1" / f"abdomen_{name}.nii.gz"
        write_nifti(file, images[name], Geometry((x, y, z), painted.affine))
    later = tmp_path / "study" / "p1" / "abdomen_fat.nii.gz"
    later.rename(tmp_path / "fat.nii.gz")
    options = ImportOptions(pattern=PATTERN)
    first = import_paths(opened, [tmp_path / "study"], options)
    assert not first.refused and len(first.accepted) == 3
    (tmp_path / "fat.nii.gz").rename(later)
    second = import_paths(opened, [tmp_path / "study"], options)
    warned = {
        entry.sequence: [text for text in entry.warnings if "seems to lie elsewhere than the in image" in text]
        for entry in first.accepted + second.accepted
    }
    assert {name for name, texts in warned.items() if texts} == {"water", "fat"}
    assert "10 mm towards the" in warned["water"][0] and "--misregistration confirmed|none" in warned["water"][0]
    with opened.catalog.read() as session:
        (case,) = session.query(Acquisition)
        ids = {one.sequence: one.id for one in case.examinations}
        states = {one.sequence: one.misregistration for one in case.examinations}
        assert without_mask(case, case.examinations, ids["in"]).keys() >= {ids["water"], ids["fat"]}
    suspected = dict.fromkeys(("water", "fat"), Misregistration.SUSPECTED)
    assert {name: state for name, state in states.items() if state} == suspected

    def listed() -> set[str]:
        arguments = [
            "examinations",
            "list",
            "--misregistration",
            "suspected",
            "--json",
            "--workspace",
            str(opened.root),
        ]
        return {row["sequence"] for row in json.loads(CliRunner().invoke(app, arguments).stdout)["items"]}

    assert listed() == {"water", "fat"}
    doubts = {
        one.id: [doubt.text for doubt in one.doubts]
        for one in read_doubts(opened.catalog, 9, kind=MaskKind.CHANNEL).items
    }
    assert any("lie elsewhere" in text for text in doubts[ids["water"]])
    shown = CliRunner().invoke(app, ["doubts", "--kind", "channel", "--workspace", str(opened.root)])
    assert shown.exit_code == 0 and "channel" in shown.stdout
    edit_examinations(opened.catalog, [ids["water"], ids["fat"]], {"misregistration": "none"}, actor="chief")
    assert listed() == set()
    with opened.catalog.read() as session:
        rows = session.query(Examination).filter(Examination.swap.is_(None))
        (case,) = session.query(Acquisition)
        assert not {one.id for one in rows} & without_mask(case, case.examinations, ids["in"]).keys()
