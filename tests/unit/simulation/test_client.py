"""The client's side of the protocol, against a server that responds as MONAI Label does."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import python_multipart
from requests_toolbelt import MultipartEncoder

from mrseg_label.errors import Conflict, InvalidInput, StoredFileError, Unavailable
from mrseg_label.simulation.client import Sample, SlicerClient
from mrseg_label.simulation.server import free_port

IMAGE = b"an image"
MASK = b"NRRD\r\n\r\n--\r\n\x00\xff binary \r\n--x--\r\n" * 50
LABELS = {"background": 0, "spleen": 1, "liver": 3, "aorta": 2}


class Protocol(BaseHTTPRequestHandler):
    """Responds like the server, and keeps the requests."""

    received: list[dict[str, Any]] = []  # noqa: RUF012 one server per test, which empties it

    def log_message(self, *_: object) -> None:
        pass

    def _respond(self, content: bytes, kind: str = "application/json", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _route(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        parameters = {key: values[0] for key, values in urllib.parse.parse_qs(query).items()}
        self.received.append(
            {"method": self.command, "path": path, "query": parameters, "headers": dict(self.headers), "body": body}
        )
        match self.command, path:
            case "POST", "/activelearning/balanced":
                self._respond(b'{"detail": "all cases are assigned until noon"}', status=409)
            case "POST", "/activelearning/random":
                self._respond(b"{}")
            case "POST", "/activelearning/sequential":
                sample = {
                    "id": "a b+c",
                    "name": "ex-1.nii.gz",
                    "checksum": f"SHA256:{hashlib.sha256(IMAGE).hexdigest()}",
                }
                self._respond(json.dumps(sample).encode())
            case "GET", "/datastore/image":
                self._respond(IMAGE, "application/gzip")
            case "POST", "/infer/mrseg":
                name = parameters["image"]
                fields: dict[str, Any] = {
                    "params": (None, json.dumps({"label_names": LABELS, "model_version": "r1"}), "application/json")
                }
                if name != "no file":
                    fields["image"] = (
                        "sub/x.nrrd" if name == "folder" else "x.nrrd",
                        io.BytesIO(MASK),
                        "application/octet-stream",
                    )
                encoder = MultipartEncoder(fields=fields)
                self._respond(encoder.to_string(), encoder.content_type)
            case "PUT", "/datastore/label":
                self._respond(json.dumps({"image": parameters["image"], "label": "rv-1"}).encode())
            case "GET", "/api/v1/rounds":
                first = "cursor" not in parameters
                self._respond(
                    json.dumps({"items": [{"number": 2 if first else 1}], "next": "more" if first else None}).encode()
                )
            case _:
                self._respond(b"gone", "text/plain", 404)

    do_GET = do_POST = do_PUT = _route  # noqa: N815 names of the standard library


@pytest.fixture
def client() -> Iterator[SlicerClient]:
    Protocol.received = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Protocol)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with SlicerClient(f"http://127.0.0.1:{server.server_port}/", "reader-ada") as client:
        yield client
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_case_is_downloaded_without_additional_headers(client: SlicerClient, tmp_path: Path) -> None:
    sample = client.next_sample("sequential")
    assert sample is not None
    path = client.download_image(sample, tmp_path)
    assert path == tmp_path / "ex-1.nii.gz"
    assert path.read_bytes() == IMAGE
    request, download = Protocol.received
    assert json.loads(request["body"]) == {"client_id": "reader-ada"}
    assert download["query"] == {"image": "a b+c"}
    assert "Authorization" not in download["headers"]


def test_no_cases_left_differs_from_all_cases_assigned(client: SlicerClient) -> None:
    assert client.next_sample("random") is None
    with pytest.raises(Conflict, match="until noon"):
        client.next_sample("balanced")


def test_a_wrong_checksum_is_noticed(client: SlicerClient, tmp_path: Path) -> None:
    with pytest.raises(StoredFileError, match="announced"):
        client.download_image(Sample("a", "a.nii.gz", "SHA256:00"), tmp_path)


def test_a_download_stays_in_its_folder(client: SlicerClient, tmp_path: Path) -> None:
    path = client.download_image(Sample("a", "..\\../../etc/x.nii.gz", ""), tmp_path)
    assert path == tmp_path / "x.nii.gz"


def test_a_presegmentation_is_complete_and_its_names_are_in_the_order_of_label_ids(
    client: SlicerClient, tmp_path: Path
) -> None:
    inference = client.infer("mrseg", "ex-1", tmp_path)
    assert inference.file.read_bytes() == MASK
    assert inference.names == ["spleen", "aorta", "liver"]
    assert inference.params["model_version"] == "r1"
    sent = _form(Protocol.received[-1])
    assert json.loads(sent["params"]) == {
        "result_extension": ".nrrd",
        "result_dtype": "uint8",
        "client_id": "reader-ada",
    }


@pytest.mark.parametrize("image", ["no file", "folder"])
def test_a_response_that_would_break_the_module_is_refused(client: SlicerClient, tmp_path: Path, image: str) -> None:
    with pytest.raises(InvalidInput, match="/infer/mrseg"):
        client.infer("mrseg", image, tmp_path)


def test_a_submission_names_its_segments_in_order_and_the_full_path(client: SlicerClient, tmp_path: Path) -> None:
    label = tmp_path / "label.nrrd"
    label.write_bytes(MASK)
    response = client.submit("ex-1", label, ["liver", "spleen"], "mrseg", hidden_before=1)
    assert response == {"image": "ex-1", "label": "rv-1"}
    request = Protocol.received[-1]
    assert request["query"] == {"image": "ex-1"}
    sent = _form(request)
    assert json.loads(sent["params"])["label_info"] == [{"name": "liver", "idx": 1}, {"name": "spleen", "idx": 2}]
    assert sent[str(label)] == MASK


def test_lists_are_read_page_by_page(client: SlicerClient) -> None:
    assert [row["number"] for row in client.items("/api/v1/rounds")] == [2, 1]


def test_a_missing_server_is_reported() -> None:
    with (
        SlicerClient(f"http://127.0.0.1:{free_port()}", "x") as client,
        pytest.raises(Unavailable, match="no response"),
    ):
        client.info()


def _form(request: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        found[file.file_name.decode()] = file.file_object.read()

    def on_field(field: Any) -> None:
        found[field.field_name.decode()] = field.value.decode()

    headers = {"Content-Type": request["headers"]["Content-Type"].encode()}
    python_multipart.parse_form(headers, io.BytesIO(request["body"]), on_field, on_file)
    return found
