"""Search and import studies of a real Orthanc from the dashboard and over REST."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mrseg_label.catalog.tables import Examination
from mrseg_label.errors import Unavailable
from mrseg_label.intake import inbox
from mrseg_label.jobs import JobContext, queue
from mrseg_label.jobs.claim import claim
from tests.integration.web.conftest import Browser, copy_of, open_browser
from tests.integration.web.test_dashboard import words
from tests.support import dicom_files as dcm
from tests.support.orthanc import PASSWORD, USER, Orthanc, orthanc
from tests.support.study_rows import SETTINGS

IMPORT, ARCHIVE = "/dashboard/import", "/dashboard/import/archive"
STUDY = "1.2.826.0.1.3680043.8.498.77"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        for number, channel in enumerate(("in", "W")):
            server.store(
                dcm.series(
                    dcm.noise(number),
                    uid=f"{STUDY}.{number}",
                    study=STUDY,
                    SeriesNumber=number,
                    SeriesDescription=f"t1_vibe_dixon_tra_{channel}",
                    StudyDescription="Whole body",
                    AccessionNumber="ACC-77",
                )
            )
        yield server


@pytest.fixture
def browser(archive: Orthanc, made: Path, tmp_path: Path) -> Iterator[Browser]:
    text = f'DICOMWEB_URL = "{archive.url}"\nDICOMWEB_USER = "{USER}"\nDICOMWEB_PASSWORD = "{PASSWORD}"\n'
    with copy_of(made, tmp_path, SETTINGS + text) as workspace:
        yield open_browser(workspace)


def work(browser: Browser) -> None:
    """Run the import as a worker does."""
    claimed = claim(browser.workspace.catalog, [queue.LIGHT])
    while claimed is not None and claimed.kind != queue.IMPORT_IMAGES:
        claimed = claim(browser.workspace.catalog, [queue.LIGHT])
    assert claimed is not None
    inbox.run(JobContext(browser.workspace, claimed, {}))


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


def test_without_an_archive_nothing_is_offered(own: Browser) -> None:
    assert "From the archive" not in own.get(IMPORT)
    assert own.http.post("/api/v1/dicomweb/search", json={}).status_code == 409
    refused = own.http.post("/api/v1/dicomweb/import", json={})
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
