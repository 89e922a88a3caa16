"""Search and import studies of a real Orthanc from the dashboard and over REST."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mrseg_label.catalog.tables import AuditEvent, Examination
from mrseg_label.errors import Unavailable
from mrseg_label.jobs import JobContext, queue
from mrseg_label.jobs.claim import claim
from mrseg_label.worker.handlers import handlers_of
from tests.integration.intake.test_dicomweb import annotate
from tests.integration.web.conftest import URL, Browser, copy_of, open_browser
from tests.integration.web.test_dashboard import words
from tests.support import dicom_files as dcm
from tests.support.orthanc import PASSWORD, USER, Orthanc, orthanc
from tests.support.study_rows import SETTINGS

IMPORT, ARCHIVE = "/dashboard/import", "/dashboard/import/archive"
STUDY = "1.2.826.0.1.3680043.8.498.77"


def fill(server: Orthanc, height: float = 0.0) -> None:
    """Store the study, with its lowest slice at a height."""
    for number, channel in enumerate(("in", "W")):
        server.store(
            dcm.series(
                dcm.noise(number),
                origin=(0.0, 0.0, height),
                uid=f"{STUDY}.{number}",
                study=STUDY,
                SeriesNumber=number,
                SeriesDescription=f"t1_vibe_dixon_tra_{channel}",
                StudyDescription="Whole body",
                AccessionNumber="ACC-77",
            )
        )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        fill(server)
        yield server


@pytest.fixture
def browser(archive: Orthanc, made: Path, tmp_path: Path) -> Iterator[Browser]:
    text = f'DICOMWEB_URL = "{archive.url}"\nDICOMWEB_USER = "{USER}"\nDICOMWEB_PASSWORD = "{PASSWORD}"\n'
    with copy_of(made, tmp_path, SETTINGS + text) as workspace:
        yield open_browser(workspace)


def work(browser: Browser, kind: str = queue.IMPORT_IMAGES) -> None:
    """Run the import, or another job, as a worker does."""
    claimed = claim(browser.workspace.catalog, [queue.LIGHT])
    while claimed is not None and claimed.kind != kind:
        claimed = claim(browser.workspace.catalog, [queue.LIGHT])
    assert claimed is not None
    for run in handlers_of(kind):
        run(JobContext(browser.workspace, claimed, {}))


def result_of(browser: Browser, job: str) -> dict[str, Any]:
    """Work, and return what came of a job that sends annotations, without the name of the archive."""
    work(browser, queue.SEND_ANNOTATIONS)
    document = browser.http.get(f"/api/v1/jobs/{job}").json()
    assert document["state"] == "done"
    found: dict[str, Any] = document["result"]
    assert found.pop("archive").startswith("127.0.0.1")
    return found


def annotated_import(browser: Browser) -> None:
    """Import the study, and annotate one of its images."""
    browser.http.post("/api/v1/dicomweb/import", json={"identifiers": ["ACC-77"], "participant": "W-77"})
    work(browser)
    with browser.workspace.catalog.read() as session:
        images = session.query(Examination).filter_by(sequence="in").filter(Examination.dicom_study.is_not(None))
        examination = images.one().id
    annotate(browser.workspace, examination, 5)


def segmentations(archive: Orthanc) -> int:
    """Number of segmentations that the archive has."""
    return sum(one["MainDicomTags"]["Modality"] == "SEG" for one in archive.http.get("/series?expand").json())


def test_studies_are_searched_and_imported_on_the_page(browser: Browser) -> None:
    assert "From the archive" in browser.get(IMPORT)
    status, _, text = browser.submit(IMPORT, ARCHIVE, description="whole", wanted="search")
    assert status == 200 and "2025-11-24 Whole body 2: t1_vibe_dixon_tra_in, t1_vibe_dixon_tra_W to fetch" in words(
        text
    )
    status, _, text = browser.submit(IMPORT, ARCHIVE, date="2020-01-01", wanted="search")
    assert status == 200 and "no such study" in text and 'value="2020-01-01"' in text
    status, _, text = browser.submit(IMPORT, ARCHIVE, date="yesterday", wanted="import")
    assert status == 422 and "is not a date" in text
    assert browser.submit(IMPORT, ARCHIVE, identifiers="ACC-77\n", wanted="import")[:2] == (
        303,
        f"{IMPORT}?note=started",
    )
    folder = browser.workspace.root
    (query,) = (folder / "inbox").glob(".*.json")
    assert query.stat().st_mode & 0o777 == 0o600
    assert "ACC-77" not in browser.http.get("/api/v1/jobs").text and "DICOM archive" in browser.get(IMPORT)
    work(browser)
    assert "2 new" in words(browser.get(IMPORT)) and not list((folder / "inbox").glob(".*.json"))
    assert "imported" in words(browser.submit(IMPORT, ARCHIVE, wanted="search")[2])
    with browser.workspace.catalog.read() as session:
        assert session.query(Examination).filter(Examination.dicom_study.is_not(None)).count() == 2


def test_studies_are_searched_and_imported_over_rest(browser: Browser) -> None:
    found = browser.http.post("/api/v1/dicomweb/search", json={"date": "2025-11-01..", "modality": "MR"})
    assert found.status_code == 200 and found.json()["more"] is False
    (study,) = found.json()["studies"]
    assert (study["study"], study["imported"], len(study["series"])) == (STUDY, 0, 2)
    started = browser.http.post("/api/v1/dicomweb/import", json={"identifiers": [STUDY], "participant": "W-77"})
    assert started.status_code == 202 and started.json()["kind"] == "import_images"
    work(browser)
    assert browser.http.get(f"/api/v1/jobs/{started.json()['id']}").json()["state"] == "done"
    for body, problem in (
        ({"date": "2025"}, "is not a date"),
        ({"identifiers": ["*"]}, "neither a UID nor an accession number"),
        ({"participant": "\x00"}, ""),
        ({"colour": "red"}, ""),
    ):
        reply = browser.http.post("/api/v1/dicomweb/import", json=body)
        assert reply.status_code == 422 and problem in reply.text, body


def test_annotations_are_sent_over_rest(browser: Browser, archive: Orthanc) -> None:
    send = "/api/v1/dicomweb/send"
    annotated_import(browser)
    body = {"identifiers": ["ACC-77"], "participants": ["W-77"]}
    tried = browser.http.post(send, json={**body, "dry_run": True})
    assert tried.status_code == 202 and tried.json()["kind"] == "send_annotations" and tried.json()["result"] == {}
    nothing = {"present": 0, "refused": 0, "refusals": {}}
    assert result_of(browser, tried.json()["id"]) == {"dry_run": True, "sent": 1, **nothing}
    assert segmentations(archive) == 0

    started = browser.http.post(send, json=body).json()
    (query,) = (browser.workspace.root / "inbox").glob(".*.json")
    assert query.stat().st_mode & 0o777 == 0o600
    assert "ACC-77" not in browser.http.get("/api/v1/jobs").text
    assert result_of(browser, started["id"]) == {"dry_run": False, "sent": 1, **nothing}
    assert segmentations(archive) == 1 and not list((browser.workspace.root / "inbox").glob(".*.json"))
    again = browser.http.post(send, json=body).json()
    assert result_of(browser, again["id"]) == {**nothing, "dry_run": False, "sent": 0, "present": 1}
    other = browser.http.post(send, json={**body, "identifiers": ["ACC-78"]}).json()
    assert result_of(browser, other["id"]) == {"dry_run": False, "sent": 0, **nothing}
    with browser.workspace.catalog.read() as session:
        entries = session.query(AuditEvent).filter_by(action="annotations.send").all()
        assert [entry.subject for entry in entries] == [one["id"] for one in (tried.json(), started, again, other)]

    for wrong, code, problem in (
        ({"participants": ["nobody"]}, 404, "no annotated case of nobody"),
        ({"date": "2025"}, 422, "is not a date"),
        ({"state": "rejected"}, 422, ""),
        ({"colour": "red"}, 422, ""),
    ):
        reply = browser.http.post(send, json=wrong)
        assert reply.status_code == code and problem in reply.text, wrong


def test_annotations_are_counted_and_sent_on_the_page(browser: Browser, archive: Orthanc) -> None:
    back = f"{ARCHIVE}/annotations"
    annotated_import(browser)
    before = segmentations(archive)
    assert browser.submit(IMPORT, back, identifiers="ACC-77", wanted="count")[:2] == (303, f"{IMPORT}?note=sending")
    assert "ACC-77" not in browser.get(IMPORT)
    work(browser, queue.SEND_ANNOTATIONS)
    assert "1 would be sent, 0 there already" in words(browser.get(IMPORT))
    assert segmentations(archive) == before
    assert browser.submit(IMPORT, back, identifiers="ACC-77", wanted="send")[0] == 303
    work(browser, queue.SEND_ANNOTATIONS)
    assert "1 sent, 0 there already" in words(browser.get(IMPORT))
    assert segmentations(archive) == before + 1
    status, _, text = browser.submit(IMPORT, back, date="yesterday", wanted="send")
    assert status == 422 and "is not a date" in text


def test_a_segmentation_that_does_not_fit_is_refused_with_the_reason(browser: Browser, archive: Orthanc) -> None:
    annotated_import(browser)
    archive.empty()
    fill(archive, height=1.0)  # it has another series of this name by now
    started = browser.http.post("/api/v1/dicomweb/send", json={"participants": ["W-77"]}).json()
    found = result_of(browser, started["id"])
    assert (found["sent"], found["refused"]) == (0, 1)
    (reason,) = found["refusals"].values()
    assert "has changed since" in reason and segmentations(archive) == 0
    archive.empty()
    fill(archive)


def test_a_sending_whose_archive_went_away_is_tried_again(
    browser: Browser, archive: Orthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mrseg_label.dicomweb.server.ATTEMPTS", 1)
    annotated_import(browser)
    assert browser.http.post("/api/v1/dicomweb/send", json={}).status_code == 202
    archive.kill()
    with pytest.raises(Unavailable, match="cannot be reached"):
        work(browser, queue.SEND_ANNOTATIONS)
    assert len(list((browser.workspace.root / "inbox").glob(".*.json"))) == 1
    archive.start()


def test_only_administrators_send(signed_in: dict[str, Browser]) -> None:
    for name, status in (("", 401), ("ada", 403), ("rita", 403), ("root", 409)):  # no archive is configured
        reply = signed_in[name].http.post(
            "/api/v1/dicomweb/send", json={}, headers={"Origin": URL, "Sec-Fetch-Site": "same-origin"}
        )
        assert reply.status_code == status, (name, reply.text)


def test_without_an_archive_nothing_is_offered(own: Browser) -> None:
    assert "From the archive" not in own.get(IMPORT) and "To the archive" not in own.get(IMPORT)
    assert own.http.post("/api/v1/dicomweb/search", json={}).status_code == 409
    for what in ("import", "send"):
        refused = own.http.post(f"/api/v1/dicomweb/{what}", json={})
        assert refused.status_code == 409 and "set DICOMWEB_URL" in refused.text


def test_an_import_whose_archive_went_away_is_tried_again(
    browser: Browser, archive: Orthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mrseg_label.dicomweb.server.ATTEMPTS", 1)
    assert browser.submit(IMPORT, ARCHIVE, wanted="import")[0] == 303
    archive.kill()
    with pytest.raises(Unavailable, match="cannot be reached"):
        work(browser)
    assert len(list((browser.workspace.root / "inbox").glob(".*.json"))) == 1
    archive.start()
