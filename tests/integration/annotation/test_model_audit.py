"""A model that was promoted is compared with the annotations so far, behind all drafts, and what it disagrees with is listed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mrseg_label.annotation import checks
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import model_audits, models
from mrseg_label.catalog.queries.suspicions import SuspicionKind
from mrseg_label.catalog.tables import Annotation, Job, ModelAudit, ModelVersion
from mrseg_label.catalog.types import JobState, ModelStatus
from mrseg_label.jobs import JobContext, claim, queue
from mrseg_label.presegmentation import audit_annotations
from mrseg_label.registry import service as registry
from mrseg_label.reports.attention import find_attention
from mrseg_label.reports.suspicious import read_suspicious
from mrseg_label.workspace import Workspace
from tests.support.round_cases import NAMES, annotate, round_workspace, run_round
from tests.support.stored_cases import store_case


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws")
    with workspace.catalog.begin() as session:
        session.add(ModelVersion(version="r1", status=ModelStatus.CANDIDATE, path="models/r1"))
    yield workspace
    workspace.close()


def run_next(workspace: OpenedWorkspace) -> JobContext:
    """Run the audit as the worker that claims it does, without ending it where it ends itself."""
    claimed = claim(workspace.catalog, [queue.DRAFTS])
    assert claimed is not None and claimed.kind == queue.AUDIT_ANNOTATIONS
    context = JobContext(workspace, claimed, {})
    audit_annotations.run(context)
    return context


def waiting(workspace: OpenedWorkspace) -> list[Job]:
    with workspace.catalog.read() as session:
        return [
            job for job in session.query(Job) if job.kind == queue.AUDIT_ANNOTATIONS and job.state is JobState.QUEUED
        ]


def test_a_promotion_enqueues_the_audit_behind_everything(opened: OpenedWorkspace) -> None:
    with opened.catalog.begin() as session:
        session.get_one(ModelVersion, "r1").tried_at = opened.catalog.now(session)
    registry.promote(opened, "r1", actor="root")
    (job,) = waiting(opened)
    assert (job.payload, job.priority) == ({"model_version": "r1"}, queue.BACKGROUND_PRIORITY)
    with opened.catalog.begin() as session:
        queue.enqueue(session, queue.PRESEGMENT, {}, key="a draft", priority=-500)
    first = claim(opened.catalog, [queue.DRAFTS])
    assert first is not None and first.kind == queue.PRESEGMENT


def test_it_gives_way_to_a_draft_and_goes_on_later(opened: OpenedWorkspace) -> None:
    store_case(opened, "p1")
    make_current(opened)
    claimed = claim(opened.catalog, [queue.DRAFTS])
    assert claimed is not None
    with opened.catalog.begin() as session:
        draft = queue.enqueue(session, queue.PRESEGMENT, {}, key="a draft").id
    context = JobContext(opened, claimed, {})
    audit_annotations.run(context)
    assert context.finished and len(waiting(opened)) == 1
    with opened.catalog.read() as session:
        assert session.query(ModelAudit).count() == 0 and session.get_one(Job, draft).state is JobState.QUEUED
        assert model_audits.progress(session, "r1") == model_audits.AuditProgress(0, 1)


def test_another_promotion_or_the_setting_ends_it(opened: OpenedWorkspace) -> None:
    store_case(opened, "p1")
    make_current(opened)
    off = replace(opened, settings=opened.settings.model_copy(update={"audit_annotations": "off"}))
    assert not run_next(off).finished, "the worker ends it, and nothing is left"
    make_current(opened, "another")
    with opened.catalog.begin() as session:
        models.current(session).status = ModelStatus.RETIRED
        session.flush()
        session.get_one(ModelVersion, "bootstrap").status = ModelStatus.CURRENT
    assert run_next(opened).finished and waiting(opened) == []


def make_current(workspace: OpenedWorkspace, key: str = "r1") -> None:
    with workspace.catalog.begin() as session:
        present = models.current(session)
        if present.version != "r1":
            present.status = ModelStatus.RETIRED
            session.flush()
            session.get_one(ModelVersion, "r1").status = ModelStatus.CURRENT
        queue.enqueue(
            session, queue.AUDIT_ANNOTATIONS, {"model_version": "r1"}, key=key, priority=queue.BACKGROUND_PRIORITY
        )


def test_what_the_model_disagrees_with_is_listed_and_told(opened: OpenedWorkspace) -> None:
    cases = [store_case(opened, f"p{number}") for number in range(12)]
    make_current(opened)
    with opened.catalog.begin() as session:
        rows = {row.acquisition_id: row.id for row in session.query(Annotation)}
        for number, case in enumerate(cases):
            liver = {"dsc": 0.9, "hd95_mm": 4.0, "ml": [1.2, 1.2]}
            spleen = {"dsc": 0.85, "hd95_mm": 3.0, "ml": [9.0, 9.0]}
            if number == 3:
                liver = {"dsc": 0.2, "hd95_mm": 60.0, "ml": [1.2, 1.0]}
            if number == 4:
                spleen = {"dsc": 0.0, "hd95_mm": None, "ml": [0.0, 8.5]}
            structures = {"liver": liver, "spleen": spleen}
            model_audits.store(session, ModelAudit(model_version="r1", annotation_id=rows[case], structures=structures))
        queue.enqueue(session, queue.CHECK_ANNOTATIONS, {}, key="check", priority=100)
    claimed = claim(opened.catalog, [queue.LIGHT])
    assert claimed is not None
    checks.run(JobContext(opened, claimed, {}))
    found = read_suspicious(opened.catalog, 10, kind=SuspicionKind.MODEL).items
    assert {one.id for one in found} == {rows[cases[3]], rows[cases[4]]}
    texts = {reason.text for one in found for reason in one.reasons if reason.kind == "model"}
    assert texts == {
        "DSC 0.20 with r1, whose median over 11 other cases is 0.90",
        "HD95 60 mm with r1, whose median over 11 other cases is 4 mm",
        "marked absent, but r1 finds 8 ml of it; in 11 other cases the median is 9 ml",
    }
    (told,) = [one for one in find_attention(opened) if one.kind == "model_disagrees"]
    assert told.message.startswith("a model disagrees with 2 annotations") and "p3" not in told.notice


@pytest.mark.soak
def test_a_real_round_is_audited_and_what_was_left_is_seen_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model of a round of seconds looks at every annotation, each once, also when its worker is stopped between."""
    with round_workspace(tmp_path) as workspace:
        for seed in range(4):
            annotate(workspace, tmp_path, seed, NAMES, held_out=seed == 3)
        document = run_round(workspace)
        assert document.model_version == "r1"
        with workspace.catalog.begin() as session:
            if models.current(session).version != "r1":
                registry.promote_in(session, "r1", actor="root")
            for job in session.query(Job).filter(Job.state == JobState.QUEUED, Job.kind != queue.AUDIT_ANNOTATIONS):
                job.state = JobState.CANCELLED
        claimed = claim(workspace.catalog, [queue.DRAFTS])
        assert claimed is not None and claimed.kind == queue.AUDIT_ANNOTATIONS
        context = JobContext(workspace, claimed, {})
        compare = audit_annotations._compare

        def stop_after_one(*given: object) -> object:
            context.stopping.set()
            return compare(*given)  # type: ignore[arg-type]

        with monkeypatch.context() as patched:
            patched.setattr(audit_annotations, "_compare", stop_after_one)
            audit_annotations.run(context)
        with workspace.catalog.read() as session:
            assert model_audits.progress(session, "r1") == model_audits.AuditProgress(1, 4)
        run_next(workspace)
        with workspace.catalog.read() as session:
            assert model_audits.progress(session, "r1") == model_audits.AuditProgress(4, 4)
            found = model_audits.current(session)
        assert found is not None and found[0] == "r1" and waiting(workspace) == []
        assert sorted(one.seen for one in found[1].values()) == [False, True, True, True]
        for one in found[1].values():
            assert one.structures and all(
                0 <= value["dsc"] <= 1 and value["ml"][0] >= 0 for value in one.structures.values()
            )
