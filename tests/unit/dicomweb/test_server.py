"""Servers that answer late, half, wrong or with something else: a message, and never half a series."""

from __future__ import annotations

import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509

from mrseg_label.config import Settings
from mrseg_label.dicomweb import DicomwebServer, Series, session
from mrseg_label.dicomweb.query import parse_query
from mrseg_label.dicomweb.server import ATTEMPTS, Incomplete
from mrseg_label.errors import ConfigurationError, InvalidInput, Unavailable
from mrseg_label.imaging.dicom.files import parse
from tests.support import dicom_files as dcm
from tests.support.certificates import make_authority

STUDY, UID = "1.2.3", "1.2.3.4.5"
FILES = [dcm.as_bytes(ds) for ds in dcm.series(dcm.noise(1), uid=UID)]
SERIES = Series(STUDY, UID, "MR", "", 1, 4)
Answer = Callable[[BaseHTTPRequestHandler, int], None]


class Archive:
    """An HTTP server whose answers a test decides by the last part of the path; counts what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        archive = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind = urlsplit(self.path).path.rpartition("/")[2]
                name = kind if kind in archive.answers else "*"
                archive.asked.append(self.path)
                archive.headers.append(dict(self.headers.items()))
                archive.answers[name](self, sum(urlsplit(path).path.endswith(kind) for path in archive.asked))

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/rs"


@pytest.fixture
def archive() -> Iterator[Archive]:
    made = Archive()
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


@pytest.fixture
def server(archive: Archive) -> Iterator[DicomwebServer]:
    made = DicomwebServer(Settings(), archive.url, pause_seconds=0.001)
    yield made
    made.close()


def says(status: int, body: bytes = b"", kind: str = "application/dicom+json", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def lists(*items: dict[str, Any], page: int = 500) -> Answer:
    """A list that is sent in pages of this size, whatever was asked for."""

    def answer(handler: BaseHTTPRequestHandler, count: int) -> None:
        offset = int(parse_qs(urlsplit(handler.path).query).get("offset", ["0"])[0])
        says(200, json.dumps(items[offset : offset + page]).encode())(handler, count)

    return answer


def instances(uids: list[str]) -> Answer:
    return lists(*({"00080018": {"vr": "UI", "Value": [uid]}} for uid in uids))


def sends(files: list[bytes], *, cut: int = 0, end: bool = True) -> Answer:
    """Files as one answer without a length, as Orthanc sends it; ``cut`` bytes are missing at the end."""

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        body = b"".join(b"\r\n--edge\r\nContent-Type: application/dicom\r\n\r\n" + file for file in files)
        body += b"\r\n--edge--\r\n" if end else b""
        handler.send_response(200)
        handler.send_header("Content-Type", 'multipart/related; type="application/dicom"; boundary=edge')
        handler.end_headers()
        handler.wfile.write(body[: len(body) - cut])

    return answer


def in_turn(*answers: Answer) -> Answer:
    def answer(handler: BaseHTTPRequestHandler, count: int) -> None:
        answers[min(count, len(answers)) - 1](handler, count)

    return answer


def uids_of(files: list[bytes]) -> list[str]:
    return [str(parse(data).SOPInstanceUID) for data in files]


def test_a_series_arrives_as_it_is(archive: Archive, server: DicomwebServer, tmp_path: Path) -> None:
    archive.answers = {"instances": instances(uids_of(FILES)), UID: sends(FILES)}
    files = server.fetch(SERIES, tmp_path)
    assert [file.read_bytes() for file in files] == FILES
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_an_answer_that_ends_early_is_asked_for_again_and_only_what_is_missing(
    archive: Archive, server: DicomwebServer, tmp_path: Path
) -> None:
    uids = uids_of(FILES)
    archive.answers = {
        "instances": instances(uids),
        UID: sends(FILES, cut=40),
        "*": sends(FILES[3:]),  # of one instance
    }
    assert len(server.fetch(SERIES, tmp_path)) == 4
    assert [urlsplit(path).path.rpartition("/")[2] for path in archive.asked].count(UID) == 1
    assert archive.asked[-1].endswith(uids[3])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (sends(FILES, cut=9), "ended early"),
        (sends(FILES, end=False), "ended early"),
        (sends(FILES[:2]), "2 of the 4 instances"),
        (says(404), "does not have what it lists"),
        (sends([*FILES[:3], b"nonsense"]), "arrived damaged: not a DICOM file"),
        (sends([*FILES[:3], FILES[3][:-20]]), "without all of its voxels"),
        (sends([dcm.as_bytes(ds) for ds in dcm.series(dcm.noise(2))]), "of another series"),
    ],
)
def test_half_a_series_is_none(
    archive: Archive, server: DicomwebServer, tmp_path: Path, answer: Answer, reason: str
) -> None:
    uids = uids_of(FILES)
    archive.answers = {"instances": instances(uids), UID: answer, "*": answer}
    with pytest.raises(Incomplete, match=reason):
        server.fetch(SERIES, tmp_path)


def test_a_moment_of_failure_is_waited_for(archive: Archive, server: DicomwebServer) -> None:
    studies = lists({"0020000D": {"Value": [STUDY]}, "00080020": {"Value": ["20250301"]}})
    archive.answers = {"studies": in_turn(says(503), says(429, Retry_After="0"), says(500), studies)}
    assert [study.uid for study in server.studies(parse_query())] == [STUDY]
    archive.answers = {"studies": says(503)}
    with pytest.raises(Unavailable, match=f"status 503, tried {ATTEMPTS} times"):
        server.studies(parse_query())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (says(200, b"<html>sign in</html>", "text/html"), "not DICOMweb"),
        (says(200, b'"text"'), "not DICOMweb"),
        (says(200, b'[{"nothing": 1}, 2]'), "not DICOMweb"),
        (says(200, b'[{"0020000D": {"Value": ["../../etc"]}}]'), "not DICOMweb"),
        (says(401), "refuses the sign-in"),
        (says(404), "does not know what was asked for"),
        (says(302, Location="http://elsewhere.example/rs"), "redirects to elsewhere.example"),
        (says(200, b" " * 70_000_000), "more than"),
    ],
)
def test_what_is_no_answer_is_named_and_not_asked_for_again(
    archive: Archive, server: DicomwebServer, answer: Answer, reason: str
) -> None:
    archive.answers = {"studies": answer}
    with pytest.raises(Unavailable, match=reason):
        server.studies(parse_query())
    assert len(archive.asked) == 1


def test_pages_are_joined_and_a_server_that_ignores_the_offset_is_not_asked_for_ever(
    archive: Archive, server: DicomwebServer
) -> None:
    items = [{"0020000D": {"Value": [f"1.2.{number}"]}} for number in range(7)]
    archive.answers = {"studies": lists(*items, page=3)}
    assert len(server.studies(parse_query(modalities="MR"))) == 7
    archive.answers = {"studies": says(200, json.dumps(items).encode())}
    archive.asked.clear()
    assert len(server.studies(parse_query(modalities="MR"))) == 7 and len(archive.asked) == 2


def test_what_was_not_asked_for_is_not_taken(archive: Archive, server: DicomwebServer) -> None:
    def of(uid: str, date: str, accession: str) -> dict[str, Any]:
        return {"0020000D": {"Value": [uid]}, "00080020": {"Value": [date]}, "00080050": {"Value": [accession]}}

    archive.answers = {
        "studies": lists(of("1.2.3", "20250301", "A1"), of("1.2.4", "20240301", "A2")),
        "series": lists(),
    }
    assert [study.uid for study in server.studies(parse_query("2025-01-01.."))] == ["1.2.3"]
    assert [study.uid for study in server.studies(parse_query(identifiers=["A2"]))] == ["1.2.4"]
    assert [study.uid for study in server.studies(parse_query("2025-01-01..", identifiers=["A2"]))] == []
    assert server.studies(parse_query(identifiers=["1.2.9.9.9"])) == []


def test_too_many_studies_are_refused(
    archive: Archive, server: DicomwebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mrseg_label.dicomweb.server.MAX_STUDIES", 3)
    archive.answers = {"studies": lists(*({"0020000D": {"Value": [f"1.2.{number}"]}} for number in range(5)))}
    with pytest.raises(InvalidInput, match="narrow the dates"):
        server.studies(parse_query())


def test_sign_in_is_sent_to_its_own_server_alone(archive: Archive) -> None:
    archive.answers = {"studies": lists()}
    for settings, expected in (
        (Settings(dicomweb_user="anna", dicomweb_password="größe"), "Basic YW5uYTpncsO2w59l"),
        (Settings(dicomweb_token="secret.token"), "Bearer secret.token"),
    ):
        DicomwebServer(settings, archive.url).studies(parse_query())
        assert archive.headers[-1]["Authorization"] == expected
        assert archive.headers[-1]["Host"] == urlsplit(archive.url).netloc
    elsewhere = Settings(dicomweb_url="https://pacs.example/rs", dicomweb_token="secret.token")
    with pytest.raises(ConfigurationError, match="not sent to"):
        DicomwebServer(elsewhere, archive.url)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "no DICOMweb server is configured"),
        ({"dicomweb_url": "pacs.example/rs"}, "is not an address such as"),
        ({"dicomweb_url": "https://a:secret@pacs.example/rs"}, "DICOMWEB_URL is not an address such as"),
        ({"dicomweb_url": "http://192.0.2.7:99999/rs"}, "is not an address"),
        ({"dicomweb_user": "anna"}, "DICOMWEB_USER and DICOMWEB_PASSWORD belong together"),
        ({"dicomweb_user": "a", "dicomweb_password": "secret", "dicomweb_token": "t"}, "two ways to sign in"),
        ({"dicomweb_token": "sécret"}, "DICOMWEB_TOKEN has characters"),
        ({"dicomweb_key": "/none"}, "not DICOMWEB_CERTIFICATE"),
        ({"dicomweb_ca": "/none"}, "there is no file /none"),
        ({"dicomweb_url": "http://8.8.8.8/rs"}, "use https"),
    ],
)
def test_settings_that_cannot_work_are_named_without_their_secrets(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as refused:
        DicomwebServer(Settings(**settings))
    assert "secret" not in str(refused.value) and "sécret" not in str(refused.value)


def test_certificates_are_checked_on_both_sides(archive: Archive, tmp_path: Path) -> None:
    for name in ("archive", "own"):
        (tmp_path / name).mkdir()
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    authority, certificate, key = make_authority(tmp_path / "archive", [address])
    own_authority, own, own_key = make_authority(tmp_path / "own", [address])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(own_authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    archive.http.socket = context.wrap_socket(archive.http.socket, server_side=True)
    url = archive.url.replace("http", "https")

    def answer(handler: BaseHTTPRequestHandler, count: int) -> None:
        says(200 if handler.connection.getpeercert() else 403, b"[]")(handler, count)

    archive.answers = {"studies": answer}
    with pytest.raises(Unavailable, match="certificate.*set DICOMWEB_CA"):
        DicomwebServer(Settings(), url).studies(parse_query())
    known: dict[str, Any] = {"dicomweb_ca": authority}
    with pytest.raises(Unavailable, match="DICOMWEB_CERTIFICATE"):
        DicomwebServer(Settings(**known), url).studies(parse_query())
    known |= {"dicomweb_certificate": own, "dicomweb_key": own_key}
    assert DicomwebServer(Settings(**known), url).studies(parse_query()) == []


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(Unavailable, match="is not known in this network"):
        DicomwebServer(Settings(), "http://no-such-host.invalid/rs")
    with pytest.raises(Unavailable, match=r"cannot be reached \(Connection refused\), tried"):
        DicomwebServer(Settings(), "http://127.0.0.1:1/rs", pause_seconds=0.001).studies(parse_query())
    assert session.reason_of(ValueError("x"))[1] is False
