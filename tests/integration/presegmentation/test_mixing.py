"""Annotated cases decide which source a structure of the next draft is from; it is stored, shown and accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mrseg_label.annotation import effort
from mrseg_label.catalog.draft_details import mixture_text
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import acquisitions, models, performance, source_scores
from mrseg_label.catalog.tables import BOOTSTRAP, Acquisition, Annotation, ModelVersion, Participant, SourceScore
from mrseg_label.catalog.types import CaseRole, ModelStatus
from mrseg_label.cli import app
from mrseg_label.clock import now
from mrseg_label.errors import ConfigurationError
from mrseg_label.jobs import JobContext, claim, queue
from mrseg_label.presegmentation.candidates import candidates_of, choose_sources
from mrseg_label.presegmentation.evidence import choose
from mrseg_label.presegmentation.loaded_models import LoadedModels
from mrseg_label.presegmentation.measuring import measure_sources
from mrseg_label.presegmentation.mixture import Segmented, mix
from mrseg_label.presegmentation.sources import sources_in_use
from mrseg_label.reports.cases import read_examination
from mrseg_label.workspace import Workspace
from tests.support.catalog_rows import add_round
from tests.support.stored_cases import SHAPE, add_draft, store_case

CT = "TotalSegmentator inverted"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws")
    with workspace.catalog.begin() as session:
        bootstrap = models.current(session)
        bootstrap.status = ModelStatus.RETIRED
        session.add(ModelVersion(version="r1", status=ModelStatus.CURRENT, promoted_at=now(), path="models/r1"))
    yield workspace
    workspace.close()


def annotated(workspace: OpenedWorkspace, code: str, liver: int, version: str = "r1") -> str:
    """A case whose annotation has a liver of three slices, and whose draft by a version one of so many."""
    case = store_case(workspace, code, channels=("in",))
    draft = np.zeros(SHAPE, dtype=np.uint8)
    draft[:liver] = workspace.scheme["liver"].id
    with workspace.catalog.begin() as session:
        row = session.get(Acquisition, case)
        assert row is not None
        add_draft(workspace, session, row, draft, version)
    return case


def measured(workspace: OpenedWorkspace, version: str) -> int:
    """Measure the sources that would be mixed into drafts by a version."""
    with workspace.catalog.read() as session:
        model = models.get(session, version)
        annotations = session.query(Annotation).all()
    assert model is not None
    return measure_sources(workspace, LoadedModels(workspace), model, annotations, lambda: None, 100)


def score(workspace: OpenedWorkspace, source: str, edited: float) -> None:
    """State what a source would have needed on every annotated case."""
    with workspace.catalog.begin() as session:
        for annotation in session.query(Annotation):
            session.merge(
                SourceScore(
                    source=source,
                    annotation_id=annotation.id,
                    examination_id=annotation.examination_id,
                    structures={"liver": [edited, 1.0, 1.0]},
                )
            )


def test_stored_drafts_are_measured_once_and_the_better_source_is_chosen(opened: OpenedWorkspace) -> None:
    cases = [annotated(opened, f"p{number}", liver=1) for number in range(4)]
    assert measured(opened, "r1") == 4  # the bootstrap's drafts are there, and nothing has to be segmented
    assert measured(opened, "r1") == 0
    with opened.catalog.read() as session:
        rows = session.query(SourceScore).all()
        voxel_ml = 2.0 * 2.5 * 4.0 / 1000
        # The bootstrap's liver has one voxel too many, and the annotation no spleen.
        for row in rows:
            assert (row.source, set(row.structures)) == (CT, {"liver", "spleen"})
            assert row.structures["liver"] == pytest.approx([voxel_ml, 60 * voxel_ml, 59 * voxel_ml], abs=1e-4)
            assert row.structures["spleen"] == pytest.approx([60 * voxel_ml, 60 * voxel_ml, 0], abs=1e-4)
    score(opened, "r1", edited=0.9)
    with opened.catalog.read() as session:
        model = models.current(session)
        examination = acquisitions.primary_of(session, cases[0])
        assert examination is not None
        assert [one.name for one in candidates_of(opened, session, model, "in")] == ["r1", CT]
        choice = choose_sources(opened, session, model, examination)
    assert choice.chosen["liver"].source == CT and choice.chosen["heart"].source == "r1"
    assert [one.name for one in choice.needed] == ["r1", CT]
    score(opened, "r1", edited=0.01)
    with opened.catalog.read() as session:
        choice = choose_sources(opened, session, model, examination)
    assert choice.chosen["liver"].source == "r1" and [one.name for one in choice.needed] == ["r1"]
    # The labels began as the bootstrap's drafts, which favours it: by so much that r1 is better, or by less.
    score(opened, "r1", edited=0.3)
    for advantage, source in ((0.2, "r1"), (0.055, CT)):
        settings = opened.settings.model_copy(update={"promotion_draft_advantage": advantage})
        with opened.catalog.read() as session:
            choice = choose_sources(replace(opened, settings=settings), session, model, examination)
        assert choice.chosen["liver"].source == source


def test_sources_that_the_setting_joins_are_candidates_of_the_bootstrap(opened: OpenedWorkspace) -> None:
    case = store_case(opened, "p1", channels=("in",))
    text = "in=total_fast+total_mr+mrsegmentator:inverted+model:r1+model:r1:raw"
    with pytest.raises(ConfigurationError, match="names a source twice"):
        list(sources_in_use(text))
    settings = opened.settings.model_copy(update={"bootstrap_sources": text.removesuffix("+model:r1:raw")})
    workspace = replace(opened, settings=settings)
    with opened.catalog.read() as session:
        examination = acquisitions.primary_of(session, case)
        bootstrap = models.get(session, BOOTSTRAP)
        assert examination is not None and bootstrap is not None
        found = candidates_of(workspace, session, bootstrap, "in")
        choice = choose_sources(workspace, session, bootstrap, examination)
    assert [(one.name, one.model.version, str(one.source)) for one in found] == [
        (CT, BOOTSTRAP, "inverted"),
        ("TotalSegmentator total_mr", BOOTSTRAP, "total_mr"),
        ("MRSegmentator inverted", BOOTSTRAP, "mrsegmentator:inverted"),
        ("r1", "r1", "None"),
    ]
    assert len(choice.knows) == 4 and all(len(known) == len(opened.scheme) for known in choice.knows.values())


def test_a_model_is_not_judged_by_what_it_was_trained_on(opened: OpenedWorkspace) -> None:
    case, *_ = [annotated(opened, f"p{number}", liver=1) for number in range(4)]
    measured(opened, "r1")
    score(opened, "r1", edited=0.9)
    with opened.catalog.begin() as session:
        annotations = session.query(Annotation).order_by(Annotation.id).all()
        add_round(session, 1, [(one, CaseRole.TRAINING) for one in annotations])
        current = models.current(session)
        current.round_number = 1
        people = {one.id for one in session.query(Participant)}
    with opened.catalog.begin() as session:
        session.add(ModelVersion(version="r2", parent="r1", status=ModelStatus.CANDIDATE))
        session.flush()
        assert source_scores.trained_on(session, ["r1", "r2", BOOTSTRAP]) == {
            "r1": people, "r2": people, BOOTSTRAP: frozenset(),
        }  # fmt: skip
        # The spleen was judged absent in all of them: the model knows it, though no case had one to show.
        assert "spleen" in source_scores.judged_in_training(session, "r2")
        examination = acquisitions.primary_of(session, case)
        assert examination is not None
        choice = choose_sources(opened, session, models.current(session), examination)
    assert {one.source for one in choice.chosen.values()} == {"r1"}


def test_a_mixed_draft_says_whose_each_structure_is_and_so_does_its_effort(opened: OpenedWorkspace) -> None:
    case = store_case(opened, "p1", drafted=False, channels=("in",))
    liver, spleen = opened.scheme["liver"].id, opened.scheme["spleen"].id
    own, other = np.zeros(SHAPE, dtype=np.uint8), np.zeros(SHAPE, dtype=np.uint8)
    own[:3], other[3:] = liver, spleen
    knows = {"r1": frozenset({"liver"}), CT: frozenset({"spleen"})}
    segmented = [Segmented(own, "nnunet", "r1", "r1"), Segmented(other, "inverted", BOOTSTRAP, CT)]
    mixed = mix(segmented, choose([], list(knows), knows, ["liver", "spleen"], "in", "abdomen", 0.0), opened.scheme)
    with opened.catalog.begin() as session:
        row = session.get(Acquisition, case)
        assert row is not None
        draft = add_draft(opened, session, row, mixed.label_map, "r1")
        draft.details = dict(mixed.details)
        (annotation,) = session.query(Annotation)
        annotation.presegmentation_id, annotation.model_version = draft.id, "r1"
        queue.enqueue(session, queue.MEASURE_EFFORT, {"annotation": annotation.id}, key=annotation.id)
        assert mixture_text(draft) == f"spleen: {CT}; liver: r1"
        examination = row.primary_examination_id
    assert examination is not None
    document = read_examination(opened.catalog, examination).draft
    assert document is not None and document.structures == {"liver": "r1", "spleen": CT}
    assert document.mixture == f"spleen: {CT}; liver: r1"
    shown = CliRunner().invoke(app, ["examinations", "show", examination, "--workspace", str(opened.root)])
    assert shown.exit_code == 0 and f"spleen: {CT}; liver: r1" in shown.output
    held = claim(opened.catalog, [queue.LIGHT])
    assert held is not None
    effort.run(JobContext(opened, held, {}))
    with opened.catalog.read() as session:
        (annotation,) = session.query(Annotation)
        assert annotation.effort is not None and annotation.effort["edited_voxels"] == 61
        found = performance.effort_by_structure(session, ["r1", BOOTSTRAP])
        whole = performance.sums_by_version(session, list(models.promoted(session)))
    assert (found["r1"]["liver"].edited_voxels, "spleen" in found["r1"]) == (1, False)
    assert (found[BOOTSTRAP]["spleen"].edited_voxels, "liver" in found[BOOTSTRAP]) == (60, False)
    assert (whole["r1"].presegmented_cases, whole[BOOTSTRAP].presegmented_cases) == (1, 0)  # the draft stays r1's
