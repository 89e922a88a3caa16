"""Models are scored on the structures that readers annotated, and on no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mrseg_label.annotation import effort, readings
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import models, performance
from mrseg_label.catalog.queries.held_out import CaseOrigin, FalsePositives, StructureScore, over_same_cases, summarise
from mrseg_label.catalog.tables import (
    BOOTSTRAP,
    Annotation,
    AnnotationStructure,
    Evaluation,
    Examination,
    Presegmentation,
)
from mrseg_label.catalog.types import StructureState
from mrseg_label.config import Settings
from mrseg_label.errors import MrsegError
from mrseg_label.jobs import JobContext, claim, queue
from mrseg_label.labels import LabelScheme, Structure
from mrseg_label.metrics import score_case
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.rounds.evaluation import Scores, evaluate, evaluation_of, surfaces_of
from mrseg_label.rounds.publishing import decide_promotion
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
    store_case(workspace, "p1", not_annotated=("spleen",), channels=("in",))
    found = scores(workspace)
    assert found.measured.structures == {"liver": StructureScore(1, LIVER)}
    assert (found.measured.cases, found.measured.mean_dsc) == (1, LIVER)
    (stored,) = found.cases
    assert stored.dsc["spleen"] is None and stored.mean_dsc == pytest.approx(LIVER)
    assert stored.apart == {"remnant_dsc": {}, "false_positive_ml": {}}
    with workspace.catalog.begin() as session:
        session.add(stored)
    assert scores(workspace).measured == found.measured  # from the stored evaluation
    with workspace.catalog.read() as session:
        version = models.get(session, BOOTSTRAP)
        assert version is not None
        sums = performance.sums_by_version(session, [version])[BOOTSTRAP]
    assert sums.held_out == found.measured


def test_a_mixed_draft_is_not_what_its_model_makes_of_the_image(tmp_path: Path) -> None:
    Workspace.init(tmp_path / "ws", settings_text=f'TOTALSEG_WEIGHTS_PATH = "{tmp_path / "none"}"\n')
    workspace = open_workspace(tmp_path / "ws")
    store_case(workspace, "p1", channels=("in",))
    assert scores(workspace).measured.cases == 1  # its stored draft is scored
    with workspace.catalog.begin() as session:
        (draft,) = session.query(Presegmentation)
        draft.details = {"mixture": {"structures": {"liver": "r1"}, "sources": {"r1": "r1"}}}
    with pytest.raises(MrsegError, match="TOTALSEG_WEIGHTS_PATH"):  # it would have to be segmented again
        scores(workspace)
    workspace.close()


def test_voxels_of_an_absent_structure_are_false_positives_and_leave_the_means(opened: OpenedWorkspace) -> None:
    workspace = opened
    store_case(workspace, "p1", channels=("in",))  # the pre-segmentation has a spleen, the annotation has none
    measured = scores(workspace).measured
    assert measured.structures.keys() == {"liver"} and measured.mean_dsc == pytest.approx(LIVER)
    (found,) = measured.false_positives.items()
    assert found[0] == "spleen" and found[1].cases == 1
    assert found[1].ml is not None and found[1].ml > 0


def test_every_channel_of_a_case_is_evaluated_and_the_case_counts_once(opened: OpenedWorkspace) -> None:
    case = store_case(opened, "p1", not_annotated=("spleen",))
    with opened.catalog.begin() as session:
        (annotation,) = session.query(Annotation)
        water = session.query(Examination).filter_by(acquisition_id=case, sequence="water").one()
        # So that nothing has to be segmented here: this channel was evaluated before.
        session.add(
            Evaluation(
                model_version=BOOTSTRAP, annotation_id=annotation.id, examination_id=water.id, mean_dsc=0.5,
                dsc={"liver": 0.5}, apart={"false_positive_ml": {"colon": 3.0}},
            )
        )  # fmt: skip
    found = scores(opened)
    assert {row.examination_id for row in found.cases} == {annotation.examination_id, water.id}
    assert (found.measured.cases, found.measured.examinations) == (1, 2)
    assert found.measured.mean_dsc == pytest.approx((LIVER + 0.5) / 2)
    assert found.measured.false_positives == {"colon": FalsePositives(1, 1.5)}  # the mean of its two channels


def test_means_are_not_misled_by_what_is_not_there() -> None:
    """Stray voxels in two of three cases, a tip of the liver in one, and a structure that was missed."""
    grid = (20, 20, 20)
    names = ("liver", "spleen")
    evaluations = []
    for index, (reference_voxels, predicted_voxels, spleen) in enumerate(((4000, 3800, 0), (0, 3, 400), (5, 0, 400))):
        reference, prediction = np.zeros(grid, np.uint8), np.zeros(grid, np.uint8)
        reference.flat[:reference_voxels], prediction.flat[:predicted_voxels] = 1, 1
        reference.flat[7000 : 7000 + spleen] = 2  # never found
        score = score_case(reference, prediction, 2)
        scheme = LabelScheme(tuple(Structure(number, name, "") for number, name in enumerate(names, start=1)))
        evaluations.append(
            evaluation_of("v", (f"an-{index}", f"ex-{index}"), score, scheme, np.array([True, True]), 0.5)
        )
    measured = summarise(evaluations)
    liver = 2 * 3800 / (4000 + 3800)
    assert measured.structures == {"liver": StructureScore(1, liver), "spleen": StructureScore(2, 0.0)}
    assert measured.cases == 3 and measured.mean_dsc == pytest.approx(liver / 3)
    assert measured.false_positives == {"liver": FalsePositives(1, 1.5)}
    assert measured.remnants == {"liver": 1}


def test_versions_are_compared_over_the_same_cases_and_structures() -> None:
    def row(version: str, case: str, **dsc: float | None) -> Evaluation:
        return Evaluation(
            model_version=version, annotation_id=case, examination_id=case, mean_dsc=None, dsc=dsc, apart={}
        )

    old = [row("old", "easy", liver=0.9), row("old", "both", liver=0.6, spleen=0.2), row("old", "empty", liver=None)]
    new = [row("new", "hard", liver=0.1), row("new", "both", liver=0.7, spleen=None), row("new", "empty", liver=0.5)]
    found = over_same_cases({"old": old, "new": new})
    assert found.cases == 1
    assert [found.scores[name].mean_dsc for name in ("old", "new")] == [0.6, 0.7]
    assert found.scores["old"].structures == {"liver": StructureScore(1, 0.6)}
    assert summarise(old).mean_dsc == pytest.approx((0.9 + 0.4) / 2) and summarise(new).mean_dsc < 0.5  # type: ignore[operator]
    settings, scheme = Settings(), LabelScheme.default()
    origins = {row.annotation_id: CaseOrigin("p1", None) for row in (*old, *new)}
    decision, _ = decide_promotion(Scores("new", tuple(new)), Scores("old", tuple(old)), origins, scheme, settings)
    assert decision.promoted and decision.uncertain
    assert "0.700 against 0.600 of old on 1 held-out cases" in decision.reason
    assert "over 1 participants, too few to tell" in decision.reason
    decision, _ = decide_promotion(Scores("new", tuple(new)), Scores("old", (old[0],)), origins, scheme, settings)
    assert not decision.promoted and "could not be evaluated" in decision.reason
    assert over_same_cases({}).cases == over_same_cases({"old": old, "none": []}).cases == 0


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


def test_surfaces_are_measured_of_what_counts_and_an_infinite_distance_is_none() -> None:
    scheme = LabelScheme.parse("id\tname\tnsd_tolerance_mm\n1\tspleen\t2\n2\tliver\t2\n3\taorta\t2\n")
    reference, prediction = np.zeros((12, 12, 12), np.uint8), np.zeros((12, 12, 12), np.uint8)
    reference[2:6, 2:6, 2:6], prediction[3:7, 2:6, 2:6] = 1, 1
    reference[8:11, 8:11, 8:11] = 2  # missed
    prediction[0, 0, 0] = 3  # not there
    found = surfaces_of(reference, prediction, (2, 2, 2), scheme, {"spleen": 0.75, "liver": 0.0, "aorta": None})
    assert found["hd95_mm"] == {"spleen": 2.0, "liver": None}
    assert found["nsd"] == {"spleen": 1.0, "liver": 0.0}
