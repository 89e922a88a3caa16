"""Models are scored on the structures that readers annotated, and on no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mrseg_label.annotation import effort, readings
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import models, performance
from mrseg_label.catalog.tables import BOOTSTRAP, Annotation, AnnotationStructure
from mrseg_label.catalog.types import StructureState
from mrseg_label.jobs import JobContext, claim, queue
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.rounds.evaluation import Scores, evaluate, evaluation_rows
from mrseg_label.workspace import Workspace
from tests.support.stored_cases import store_case

LIVER = (
    2 * (3 * 5 * 4 - 1) / (2 * 3 * 5 * 4 - 1)
)  # the annotation of a stored case is one voxel smaller than its pre-segmentation


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws")
    yield workspace
    workspace.catalog.close()


def scores(workspace: OpenedWorkspace) -> Scores:
    with workspace.catalog.read() as session:
        model = models.get(session, BOOTSTRAP)
        annotations = session.query(Annotation).order_by(Annotation.acquisition_id).all()
    assert model is not None
    return evaluate(workspace, LoadedModels(workspace), model, annotations, lambda: None)


def test_a_structure_that_was_not_annotated_is_not_scored(opened: OpenedWorkspace) -> None:
    workspace = opened
    store_case(workspace, "p1", not_annotated=("spleen",))
    found = scores(workspace)
    names = workspace.scheme.names
    assert found.per_structure(names)["liver"] == pytest.approx(LIVER)
    assert found.per_structure(names)["spleen"] is None
    assert found.mean == pytest.approx(LIVER)
    (stored,) = evaluation_rows(found, names)
    assert stored.dsc["spleen"] is None and stored.mean_dsc == pytest.approx(LIVER)
    with workspace.catalog.begin() as session:
        session.add(stored)
    again = scores(workspace)  # from the stored evaluation
    np.testing.assert_array_equal(again.dsc, found.dsc)
    with workspace.catalog.read() as session:
        version = models.get(session, BOOTSTRAP)
        assert version is not None
        sums = performance.sums_by_version(session, [version])[BOOTSTRAP]
    assert sums.held_out_structures == {"liver": pytest.approx(LIVER)}
    assert sums.held_out_dsc == pytest.approx(LIVER)


def test_a_false_positive_of_an_absent_structure_counts_against_the_model(opened: OpenedWorkspace) -> None:
    workspace = opened
    store_case(workspace, "p1")
    assert scores(workspace).per_structure(workspace.scheme.names)["spleen"] == 0
    assert scores(workspace).mean == pytest.approx(LIVER / 2)


def test_effort_leaves_out_structures_that_were_not_annotated(opened: OpenedWorkspace) -> None:
    workspace = opened
    case = store_case(workspace, "p1", not_annotated=("spleen",))
    with workspace.catalog.begin() as session:
        annotation = session.query(Annotation).filter_by(acquisition_id=case).one().id
        queue.enqueue(session, queue.MEASURE_EFFORT, {"annotation": annotation}, key=annotation)
    held = claim(workspace.catalog, [queue.LIGHT])
    assert held is not None
    effort.run(JobContext(workspace, held, {}))
    with workspace.catalog.read() as session:
        version = models.get(session, BOOTSTRAP)
        assert version is not None
        sums = performance.sums_by_version(session, [version])[BOOTSTRAP]
    # The spleen fills half of the pre-segmentation; not annotating it is not an edit.
    assert sums.edited_voxels == 1
    assert sums.presegmentation_dsc == pytest.approx(LIVER)
    assert list(sums.structures) == ["liver"]


def test_two_readings_are_compared_on_structures_that_both_annotated(opened: OpenedWorkspace) -> None:
    workspace = opened
    case = store_case(workspace, "p1", not_annotated=("spleen",))
    with workspace.catalog.begin() as session:
        first = session.query(Annotation).filter_by(acquisition_id=case).one()
        second = Annotation(
            **{
                column.key: getattr(first, column.key)
                for column in Annotation.__table__.columns
                if column.key not in ("id", "number")
            },
            number=2,
            structures=[
                AnnotationStructure(
                    structure=name, state=StructureState.ABSENT if name != "aorta" else "filled", voxels=0
                )
                for name in workspace.scheme.names
            ],
        )
        session.add(second)
        session.flush()
        ids = first.id, second.id
    compared = readings.compare(workspace, *ids)
    assert "liver" in compared and not {"spleen", "aorta"} & compared.keys()
