"""The step of drafting that cleans up: settings, what is stored with a draft, and what readers have taught."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.tables import Acquisition, Annotation, AnnotationStructure, Examination
from mrseg_label.catalog.types import AnnotationState, StructureState
from mrseg_label.clock import now
from mrseg_label.imaging import write_nifti
from mrseg_label.presegmentation.clean_up import clean_up_draft, impossible_structures
from mrseg_label.presegmentation.mixture import DraftMask
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import add_acquisition, add_annotation, add_participant
from tests.support.phantom_masks import SCHEME, phantom, with_sides_swapped


def draft_of_phantom(root: Path, settings: str = "", mirrored: bool = False) -> DraftMask:
    """Clean up a draft with exchanged kidneys, or one that is mirrored, of a phantom's image in a workspace."""
    workspace = Workspace.init(root, settings_text=settings)
    case = phantom(0)
    write_nifti(workspace.root / "images" / "in.nii.gz", case.image, case.geometry)
    examination = Examination(id="ex", path="images/in.nii.gz", geometry=case.geometry.to_json())
    mask = np.flip(case.mask, 0) if mirrored else with_sides_swapped(case.mask, ["left_kidney"])
    return clean_up_draft(DraftMask(mask, "inverted"), workspace, examination, {"heart", "no such structure"})


def test_what_was_changed_is_stored_with_the_draft(tmp_path: Path) -> None:
    draft = draft_of_phantom(tmp_path)
    truth = phantom(0).mask
    assert np.array_equal(draft.label_map, np.where(truth == SCHEME["heart"].id, 0, truth))
    record = draft.details["clean_up"]
    assert record["steps"] == ["places", "edges", "sides", "components"]
    assert {(one["step"], one["structure"], one["became"]) for one in record["changes"]} == {
        ("places", "heart", None),
        ("sides", "left_kidney", "right_kidney"),
        ("sides", "right_kidney", "left_kidney"),
    }
    assert record["voxels"] == sum(one["voxels"] for one in record["changes"]) > 1000
    assert "doubts" not in draft.details


def test_without_the_step_the_sides_stay_and_are_doubted(tmp_path: Path) -> None:
    draft = draft_of_phantom(tmp_path, "[clean_up]\nsides = false\nplaces = false\n")
    assert np.array_equal(draft.label_map, with_sides_swapped(phantom(0).mask, ["left_kidney"]))
    assert draft.details["clean_up"]["changes"] == []
    (doubt,) = draft.details["doubts"]
    assert (doubt["structure"], doubt["other"]) == ("left_kidney", "right_kidney")


def test_without_any_step_only_doubts_are_stored(tmp_path: Path) -> None:
    off = "[clean_up]\nsides = false\nplaces = false\nedges = false\ncomponents = false\n"
    draft = draft_of_phantom(tmp_path, off, mirrored=True)
    assert set(draft.details) == {"doubts"}
    assert draft.details["doubts"][0]["text"].startswith("everything looks mirrored left to right")


def judge(session: Session, code: str, station: str = "abdomen", **voxels: int | None) -> Acquisition:
    """Annotate a case: voxels by structure, 0 where it was judged absent, None where it was not judged."""
    acquisition = add_acquisition(session, add_participant(session, code), station=station)
    annotation = add_annotation(session, acquisition)
    annotation.structures = [
        AnnotationStructure(
            structure=name,
            state=StructureState.NOT_ANNOTATED
            if count is None
            else StructureState.DRAWN
            if count
            else StructureState.ABSENT,
            voxels=count or 0,
        )
        for name, count in voxels.items()
    ]
    session.flush()
    return acquisition


def test_a_structure_cannot_lie_where_readers_found_it_in_nobody(tmp_path: Path, database_settings: str) -> None:
    Workspace.init(tmp_path, settings_text=database_settings)
    with closing(open_workspace(tmp_path)) as workspace, workspace.catalog.begin() as session:
        for number in range(5):
            case = judge(
                session,
                f"p{number}",
                liver=9,
                left_femur=0,
                spleen=9 if number == 2 else 0,
                sacrum=None if number == 0 else 0,
            )
        legs = judge(session, "p9", station="legs", left_femur=9, liver=0)
        nowhere = judge(session, "p10", station="")
        assert impossible_structures(session, case.id) == {"left_femur"}
        assert impossible_structures(session, legs.id) == set(), "a single participant"
        assert impossible_structures(session, nowhere.id) == set()
        assert impossible_structures(session, "no such acquisition") == set()


def test_only_masks_that_count_teach_where_structures_lie(tmp_path: Path, database_settings: str) -> None:
    """A rejected annotation and one of an excluded case say nothing; a participant counts once."""
    Workspace.init(tmp_path, settings_text=database_settings)
    with closing(open_workspace(tmp_path)) as workspace, workspace.catalog.begin() as session:
        cases = [judge(session, f"p{number}", left_femur=0) for number in range(5)]
        assert impossible_structures(session, cases[0].id) == {"left_femur"}
        (first,) = session.scalars(select(Annotation).where(Annotation.acquisition_id == cases[0].id))
        first.state = AnnotationState.REJECTED
        session.flush()
        assert impossible_structures(session, cases[0].id) == set()
        first.state = AnnotationState.ACCEPTED
        cases[0].excluded_at = now()
        session.flush()
        assert impossible_structures(session, cases[0].id) == set()
