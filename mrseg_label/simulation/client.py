"""A client that speaks the protocol of Slicer's MONAI Label module and reads the REST API.

For annotation it uses the module's protocol alone, so the server cannot tell it from a radiologist at Slicer.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
import python_multipart
from python_multipart.multipart import Field, File

from mrseg_label.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    MrsegError,
    NotFound,
    StoredFileError,
    Unauthorized,
    Unavailable,
)

# A pre-segmentation may have to be computed first; everything else is quick, but shares the machine with a training.
INFER_TIMEOUT_SECONDS = 630.0
TIMEOUT_SECONDS = 60.0
_ERRORS: dict[int, type[MrsegError]] = {
    401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict, 422: InvalidInput, 503: Unavailable,
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A case as the server assigns it, called a sample in the protocol.

    Attributes
    ----------
    id : identifies the case in all further requests; opaque.
    name : file name for the download, with suffix.
    checksum : ``SHA256:<hex>`` of the image; empty if unknown.
    """

    id: str
    name: str
    checksum: str


@dataclass(frozen=True)
class Inference:
    """A response to ``/infer``: the file of the mask, and the parameters that explain its label ids."""

    file: Path
    params: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """Segment names as Slicer derives them: label id v of the mask is the v-th name."""
        labels: dict[str, int] = self.params["label_names"]
        return [name for name, _ in sorted(labels.items(), key=lambda item: item[1]) if name != "background"]


class SlicerClient:
    """The requests of the MONAI Label module, in the same form.

    Parameters
    ----------
    server : address such as ``http://127.0.0.1:8000``.
    client_id : name of the reader, as the module sends it.
    """

    def __init__(self, server: str, client_id: str) -> None:
        self.server = server.rstrip("/")
        self.client_id = client_id
        # The server is on this machine, so a proxy set in the environment must not be used.
        self._http = httpx.Client(base_url=self.server, timeout=TIMEOUT_SECONDS, trust_env=False)
        self._plain = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __enter__(self) -> SlicerClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def auth_enabled(self) -> bool:
        """Ask whether the server requires a sign-in."""
        return bool(self._json("GET", "/auth/").get("enabled"))

    def sign_in(self, name: str, password: str) -> None:
        """Sign in by form, as the module does; all further requests but image downloads carry the token.

        Raises
        ------
        Unauthorized
            The name or the password is wrong, or the account is disabled.
        """
        form = {"username": name, "password": password, "grant_type": "password"}
        token = self._json("POST", "/auth/token", data=form)
        self._http.headers["Authorization"] = f"{token['token_type']} {token['access_token']}"

    def info(self) -> dict[str, Any]:
        """Get what the server offers: models, labels, strategies, and the state of its data."""
        return self._json("GET", "/info/")

    def next_sample(self, strategy: str) -> Sample | None:
        """Request the next case; None if none is left.

        Raises
        ------
        Conflict
            The remaining cases are assigned to other readers.
        """
        response = self._json("POST", f"/activelearning/{strategy}", json={"client_id": self.client_id})
        if not response:
            return None
        return Sample(response["id"], response["name"], response["checksum"])

    def download_image(self, sample: Sample, folder: Path) -> Path:
        """Download an image as the module does: by urllib, without additional headers.

        Raises
        ------
        StoredFileError
            The image does not match its checksum.
        """
        # Only the last part of the name: a client that trusted the server could be made to write anywhere.
        target = folder / PurePosixPath(sample.name.replace("\\", "/")).name
        url = f"{self.server}/datastore/image?image={urllib.parse.quote_plus(sample.id)}"
        with self._plain.open(url, timeout=TIMEOUT_SECONDS) as source, target.open("wb") as stream:
            shutil.copyfileobj(source, stream)
        found = hashlib.sha256(target.read_bytes()).hexdigest()
        if sample.checksum and f"SHA256:{found}" != sample.checksum:
            raise StoredFileError(
                f"image {sample.id} was received with SHA256:{found}, but the server announced {sample.checksum}"
            )
        return target

    def original_label(self, sample_id: str, folder: Path) -> tuple[Path, list[str]] | None:
        """Download the label ``original``, which the module opens with a case, and its segment names; None without one."""
        objects = self._json("GET", "/datastore/", params={"output": "all"})["objects"]
        original = objects[sample_id]["labels"].get("original")
        if original is None:
            return None
        names = list(original["info"]["params"]["label_names"])
        response = self._send("GET", "/datastore/label", params={"label": sample_id, "tag": "original"})
        target = folder / f"original{_suffix(response)}"
        target.write_bytes(response.content)
        return target, names

    def infer(self, model: str, sample_id: str, folder: Path) -> Inference:
        """Request the pre-segmentation of a case.

        Raises
        ------
        InvalidInput
            The response is not a multipart document with one file, so that the module would fail.
        """
        params = {"result_extension": ".nrrd", "result_dtype": "uint8", "client_id": self.client_id}
        response = self._send(
            "POST",
            f"/infer/{model}",
            params={"image": sample_id},
            files={"params": (None, json.dumps(params))},
            timeout=INFER_TIMEOUT_SECONDS,
        )
        fields, files = _multipart(response)
        if len(files) != 1 or "params" not in fields:
            raise InvalidInput(
                f"/infer/{model} returned {len(files)} files and the fields {sorted(fields)} instead of one file and 'params'"
            )
        ((name, content),) = files.items()
        if "/" in name or "\\" in name:
            raise InvalidInput(f"/infer/{model} named its file {name!r}; the module fails if the name has a folder")
        target = folder / name
        target.write_bytes(content)
        return Inference(target, json.loads(fields["params"]))

    def submit(
        self, sample_id: str, label: Path, segments: Sequence[str], model: str, hidden_before: int = 0
    ) -> dict[str, Any]:
        """Submit a label map in which the k-th segment has the label id k.

        Parameters
        ----------
        label : the exported file; its full path is sent as the file name, as the module does.
        segments : names in the order of the segment list.
        hidden_before : number of segments before them that are not exported (background, scribbles). The module's
            ``idx`` counts them, so a server must not use it.
        """
        label_info = [{"name": name, "idx": index + hidden_before} for index, name in enumerate(segments)]
        params = {"label_info": label_info, "model": model, "client_id": self.client_id}
        with label.open("rb") as stream:
            response = self._send(
                "PUT",
                "/datastore/label",
                params={"image": sample_id},
                data={"params": json.dumps(params)},
                files={"label": (str(label), stream, "application/octet-stream")},
            )
        result: dict[str, Any] = response.json()
        return result

    def get(self, path: str, **params: str | int) -> Any:
        """Get a JSON document, for example of ``/api/v1/rounds``."""
        return self._send("GET", path, params=params).json()

    def start_round(self) -> int:
        """Start a round through the REST API, as an admin does, and return its number."""
        number: int = self._json("POST", "/api/v1/rounds")["number"]
        return number

    def items(self, path: str) -> list[dict[str, Any]]:
        """Get all items of a list of the REST API, page by page."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str | int] = {}
        while True:
            page = self.get(path, limit=100, **cursor)
            found += page["items"]
            if page["next"] is None:
                return found
            cursor = {"cursor": page["next"]}

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        response: dict[str, Any] = self._send(method, path, **arguments).json()
        return response

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise Unavailable(f"{method} {self.server}{path}: no response ({type(error).__name__}: {error})") from error
        if response.is_success:
            return response
        kind = _ERRORS.get(response.status_code, MrsegError)
        raise kind(f"{method} {path} failed with status {response.status_code}: {_detail(response)}")


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:300]


def _suffix(response: httpx.Response) -> str:
    name = response.headers.get("content-disposition", "").rpartition("filename=")[2].strip('"; ')
    for suffix in (".seg.nrrd", ".nii.gz", ".nrrd", ".nii"):
        if name.endswith(suffix):
            return suffix
    raise InvalidInput(f"a label was sent under the name {name!r}, whose suffix is unknown")


def _multipart(response: httpx.Response) -> tuple[dict[str, str], dict[str, bytes]]:
    """Parse a multipart response into fields by name and files by file name."""
    kind = response.headers.get("content-type", "")
    if not kind.startswith("multipart/"):
        raise InvalidInput(f"{response.url.path} returned {kind or 'no content type'} instead of a multipart document")
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}

    def on_field(field: Field) -> None:
        fields[(field.field_name or b"").decode()] = (field.value or b"").decode()

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        files[(file.file_name or b"").decode()] = file.file_object.read()

    # The parser supports form-data only; the content of multipart/mixed has the same form.
    headers = {"Content-Type": kind.replace("multipart/mixed", "multipart/form-data").encode()}
    python_multipart.parse_form(headers, io.BytesIO(response.content), on_field, on_file)
    return fields, files
