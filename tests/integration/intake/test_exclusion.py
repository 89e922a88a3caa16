"""Exclusion of examinations and participants."""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from sqlalchemy import select

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.tables import Acquisition, AuditEvent, Participant
from mrseg_label.errors import Conflict, InvalidInput, NotFound
from mrseg_label.intake.exclusion import exclude, include
from mrseg_label.intake.options import ImportOptions
from mrseg_label.intake.service import import_paths
from mrseg_label.workspace import Workspace


def test_exclusion_of_an_acquisition_and_of_a_participant(tmp_path: Path) -> None:
    Workspace.init(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws")
    options = ImportOptions(pattern="{participant}/{station}_{sequence}.nii.gz")

    def add(*names: str) -> list[str]:
        for name in names:
            file = tmp_path / "d" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            seed = zlib.crc32(name.encode())
            nib.save(
                nib.Nifti1Image(np.random.default_rng(seed).normal(size=(4, 5, 6)).astype(np.float32), np.eye(4)), file
            )
        return [entry.id for entry in import_paths(workspace, [tmp_path / "d"], options).accepted]

    first, _, _, other = add(
        "P1/abdomen_in.nii.gz", "P1/abdomen_opp.nii.gz", "P1/pelvis_in.nii.gz", "P2/pelvis_in.nii.gz"
    )

    def excluded() -> set[tuple[str, str]]:
        with workspace.catalog.read() as session:
            rows = session.scalars(select(Acquisition).where(Acquisition.excluded_at.is_not(None)))
            return {(row.participant.code, row.station) for row in rows}

    with pytest.raises(InvalidInput, match="reason"):
        exclude(workspace.catalog, first, reason=" ", actor="anna")
    with pytest.raises(NotFound):
        exclude(workspace.catalog, "nobody", reason="x", actor="anna")
    assert len(exclude(workspace.catalog, first, reason="fat and water swapped", actor="anna")) == 1
    assert excluded() == {("P1", "abdomen")}
    with pytest.raises(Conflict, match="already"):
        exclude(workspace.catalog, first, reason="again", actor="anna")
    assert len(exclude(workspace.catalog, "P1", reason="withdrew", actor="ben")) == 1
    assert excluded() == {("P1", "abdomen"), ("P1", "pelvis")}
    add("P1/chest_in.nii.gz")
    assert ("P1", "chest") in excluded()
    with pytest.raises(Conflict, match="whole participant"):
        include(workspace.catalog, first, actor="anna")
    with pytest.raises(Conflict, match="not excluded"):
        include(workspace.catalog, other, actor="anna")
    with workspace.catalog.read() as session:
        rows = {
            row.station: (row.excluded_by, row.excluded_reason)
            for row in session.scalars(select(Acquisition))
            if row.excluded_at
        }
        assert rows["abdomen"] == ("anna", "fat and water swapped")
        assert rows["chest"] == ("ben", "withdrew")
        person = session.scalars(select(Participant).where(Participant.code == "P1")).one()
        assert (person.excluded_by, person.excluded_reason) == ("ben", "withdrew")
    assert len(include(workspace.catalog, "P1", actor="anna")) == 3
    assert not excluded()
    with workspace.catalog.read() as session:
        trail = [
            (event.actor, event.action, event.subject)
            for event in session.scalars(select(AuditEvent))
            if event.action != "import"
        ]
    assert trail == [("anna", "exclude", first), ("ben", "exclude", "P1"), ("anna", "include", "P1")]
    workspace.catalog.close()
