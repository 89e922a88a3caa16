"""What an administrator should look at, on the page and over REST."""

from __future__ import annotations

from datetime import timedelta

from mrseg_label.catalog.queries import models, rounds
from mrseg_label.catalog.tables import Job, ModelVersion, SuspiciousMask
from mrseg_label.catalog.types import AttentionKind, JobKind, JobState, ModelStatus, RoundState
from mrseg_label.clock import now
from mrseg_label.reports.overview import read_overview
from tests.integration.web.conftest import Browser
from tests.integration.web.test_dashboard import words


def test_trouble_is_shown_to_administrators(own: Browser) -> None:
    def kinds() -> set[AttentionKind]:
        return {item.kind for item in read_overview(own.workspace).attention} - {AttentionKind.DISK_ALMOST_FULL}

    assert kinds() == {AttentionKind.AWAITING_REVIEW}
    with own.workspace.catalog.begin() as session:
        row = rounds.get(session, 3)
        assert row is not None and row.job_id is not None
        session.get_one(Job, row.job_id).lease_expires_at = now() - timedelta(minutes=2)
        row.state, row.error = RoundState.FAILED, "Traceback\n<b>the GPU</b> is out of memory"
        before = rounds.get(session, 2)
        assert before is not None
        before.result = {**before.result, "warnings": ["it trained on the CPU"]}
        session.add(
            Job(kind=JobKind.PRESEGMENT, queue="drafts", key="x", payload={}, state=JobState.FAILED, error="no")
        )
        session.add(Job(kind=JobKind.IMPORT_MASK, queue="light", key="y", payload={"examination": "ex-1", "digest": "d"}, state=JobState.FAILED, error="grid"))  # fmt: skip
        disputed = session.query(SuspiciousMask).filter(SuspiciousMask.kinds == ",empty,").one()
        disputed.kinds = ",empty,model,"
        models.current(session).status = ModelStatus.RETIRED
        session.flush()
        session.get_one(ModelVersion, "bootstrap").status = ModelStatus.CURRENT
    assert kinds() == set(AttentionKind) - {AttentionKind.NO_WEIGHTS, AttentionKind.DISK_ALMOST_FULL}
    text = own.get("/dashboard")
    assert "Round 3 failed: &lt;b&gt;the GPU&lt;/b&gt; is out of memory" in text
    shown = words(text)
    assert "a worker on gpu-node-2 no longer answers" in shown.lower() and "1 draft or other job failed" in shown
    assert "1 imported mask was refused" in shown and "2 annotations await review" in shown
    assert "Drafts come from stand-in weights" in shown and "Round 2: it trained on the CPU" in shown
    assert "A model disagrees with 1 annotation far more than with others" in shown and "kind=model#suspicious" in text
    document = own.http.get("/api/v1/overview", headers={"Accept": "application/json"}).json()
    assert {item["kind"] for item in document["attention"]} >= kinds()
    assert document["coverage"][0] == {"station": "abdomen", "sequence": "in", "cases": 23, "annotated": 18}


def test_readers_are_not_bothered_with_it(signed_in: dict[str, Browser]) -> None:
    """Reviewers are told of what awaits their review, and of nothing else."""
    with signed_in["root"].workspace.catalog.begin() as session:
        session.add(Job(kind=JobKind.PRESEGMENT, queue="drafts", key="x", payload={}, state=JobState.FAILED, error="no"))  # fmt: skip
    shown = {name: words(browser.get("/dashboard")) for name, browser in signed_in.items() if name}
    assert "1 draft or other job failed" in shown["root"] and "2 annotations await review" in shown["root"]
    assert "2 annotations await review" in shown["rita"] and "job failed" not in shown["rita"]
    assert "Needs your attention" not in shown["ada"]
    for name in ("ada", "rita"):
        assert signed_in[name].http.get("/api/v1/overview", headers={"Accept": "*/*"}).status_code == 403
