"""The page of models links the report of the study, for administrators."""

from __future__ import annotations

from mrseg_label.catalog.queries import audit
from mrseg_label.reports.agreement import read_agreement
from mrseg_label.reports.stored_report import STUDY_REPORT
from mrseg_label.reports.study.agreement import agreement_tables
from tests.integration.web.conftest import Browser

PAGE, REPORT = "/dashboard/models", "/dashboard/report"


def test_the_report_is_downloaded_by_administrators(signed_in: dict[str, Browser]) -> None:
    root, reviewer = signed_in["root"], signed_in["rita"]
    file = root.workspace.path(STUDY_REPORT)
    file.unlink(missing_ok=True)
    assert "mrseg-label report OUT" in root.get(PAGE)
    assert "there is no report of a study yet" in root.get(REPORT, 404).lower()
    file.write_text("<!doctype html><title>Study</title>", encoding="utf-8")
    try:
        assert f'href="{REPORT}" download' in root.get(PAGE)
        reply = root.http.get(REPORT)
        assert reply.status_code == 200
        assert reply.text == file.read_text(encoding="utf-8")
        assert reply.headers["content-disposition"].startswith('attachment; filename="report-20')
        assert root.http.get(REPORT, headers={"If-None-Match": reply.headers["etag"]}).status_code == 304
        with root.workspace.catalog.read() as session:
            (entry, *_) = audit.page(session, 1, actions=["downloaded"])
            assert entry.actor == "root"
        assert REPORT not in reviewer.get(PAGE)
        reviewer.get(REPORT, 403)
    finally:
        file.unlink()


def test_the_tables_of_agreement_say_what_the_quality_page_says(pages: Browser) -> None:
    document = read_agreement(pages.workspace)
    structures, pairs = agreement_tables(pages.workspace)
    assert structures.frame["structure"].tolist() == list(document.overall.structures)
    assert structures.frame["hd95_infinite"].sum() == sum(
        one.hd95_infinite for one in document.overall.structures.values()
    )
    assert [row[0] for row in pairs.cells] == [f"{one.first}, {one.second}" for one in document.readers]
    assert all(len(row) == len(structures.columns) for row in structures.cells)
