"""A client that speaks as the Slicer MONAI Label module does, and a reader of the REST interface.

Only the standard protocol is used, so that whoever works through it could as well sit at Slicer.
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

# A draft may have to be computed first; everything else answers at once, but shares the machine with a training.
INFER_SECONDS = 630.0
ANSWER_SECONDS = 60.0
_ERRORS: dict[int, type[MrsegError]] = {
    401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict, 422: InvalidInput, 503: Unavailable,
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """A case that the server handed out.

    Attributes
    ----------
    id : what the case is called in all further requests; opaque.
    name : file name for the download, with suffix.
    checksum : ``SHA256:<hex>`` of the image; empty if it is not known.
    """

    id: str
    name: str
    checksum: str


@dataclass(frozen=True)
class Inference:
    """An answer to ``/infer``: the mask's file and how to read its values."""

    file: Path
    params: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """Segment names as Slicer derives them: value v of the mask is the v-th of this list."""
        labels: dict[str, int] = self.params["label_names"]
        return [name for name, _ in sorted(labels.items(), key=lambda item: item[1]) if name != "background"]


class SlicerClient:
    """The calls of the MONAI Label module, in its own form.

    Parameters
    ----------
    server : address such as ``http://127.0.0.1:8000``.
    client_id : what the module sends to say who asks.
    """

    def __init__(self, server: str, client_id: str) -> None:
        self.server = server.rstrip("/")
        self.client_id = client_id
        # The server is on this machine: a proxy of the environment must not come between.
        self._http = httpx.Client(base_url=self.server, timeout=ANSWER_SECONDS, trust_env=False)
        self._plain = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __enter__(self) -> SlicerClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def auth_enabled(self) -> bool:
        """Whether the server wants a sign-in."""
        return bool(self._json("GET", "/auth/").get("enabled"))

    def sign_in(self, name: str, password: str) -> None:
        """Sign in by the form, as the module does; all further calls but the download of images show the token.

        Raises
        ------
        Unauthorized
            Wrong name or password, or the account is disabled.
        """
        form = {"username": name, "password": password, "grant_type": "password"}
        token = self._json("POST", "/auth/token", data=form)
        self._http.headers["Authorization"] = f"{token['token_type']} {token['access_token']}"

    def info(self) -> dict[str, Any]:
        """What the server offers: models, labels, strategies, the state of the data."""
        return self._json("GET", "/info/")

    def next_sample(self, strategy: str) -> Sample | None:
        """Ask for the next case; None if nothing is left.

        Raises
        ------
        Conflict
            Other readers hold what is left.
        """
        answer = self._json("POST", f"/activelearning/{strategy}", json={"client_id": self.client_id})
        if not answer:
            return None
        return Sample(answer["id"], answer["name"], answer["checksum"])

    def download_image(self, sample: Sample, folder: Path) -> Path:
        """Download an image the way the module does: by urllib, without any header of ours.

        Raises
        ------
        StoredFileError
            What arrived is not what the checksum says.
        """
        # The name comes from the server; a client that trusted it could be made to write anywhere.
        target = folder / PurePosixPath(sample.name.replace("\\", "/")).name
        url = f"{self.server}/datastore/image?image={urllib.parse.quote_plus(sample.id)}"
        with self._plain.open(url, timeout=ANSWER_SECONDS) as source, target.open("wb") as stream:
            shutil.copyfileobj(source, stream)
        found = hashlib.sha256(target.read_bytes()).hexdigest()
        if sample.checksum and f"SHA256:{found}" != sample.checksum:
            raise StoredFileError(f"image {sample.id} arrived with SHA256:{found}, announced was {sample.checksum}")
        return target

    def original_label(self, sample_id: str, folder: Path) -> tuple[Path, list[str]] | None:
        """The label ``original`` that the module looks up when it opens a case, with its segment names; None without one."""
        objects = self._json("GET", "/datastore/", params={"output": "all"})["objects"]
        original = objects[sample_id]["labels"].get("original")
        if original is None:
            return None
        names = list(original["info"]["params"]["label_names"])
        answer = self._send("GET", "/datastore/label", params={"label": sample_id, "tag": "original"})
        target = folder / f"original{_suffix(answer)}"
        target.write_bytes(answer.content)
        return target, names

    def infer(self, model: str, sample_id: str, folder: Path) -> Inference:
        """Ask for a draft of a case.

        Raises
        ------
        InvalidInput
            The answer is not one multipart document with one file, on which the module would fail.
        """
        params = {"result_extension": ".nrrd", "result_dtype": "uint8", "client_id": self.client_id}
        answer = self._send(
            "POST",
            f"/infer/{model}",
            params={"image": sample_id},
            files={"params": (None, json.dumps(params))},
            timeout=INFER_SECONDS,
        )
        fields, files = _multipart(answer)
        if len(files) != 1 or "params" not in fields:
            raise InvalidInput(f"/infer/{model} answered with {len(files)} files and the fields {sorted(fields)}")
        ((name, content),) = files.items()
        if "/" in name or "\\" in name:
            raise InvalidInput(f"/infer/{model} named its file {name!r}; a folder in it breaks the module")
        target = folder / name
        target.write_bytes(content)
        return Inference(target, json.loads(fields["params"]))

    def submit(
        self, sample_id: str, label: Path, segments: Sequence[str], model: str, hidden_before: int = 0
    ) -> dict[str, Any]:
        """Submit a label map whose k-th segment has the voxel value k.

        Parameters
        ----------
        label : the exported file; it is announced under its full path, as the module does.
        segments : names in the order of the segment list.
        hidden_before : segments before them that are not exported (background, scribbles): the module's
            ``idx`` counts them, which is why a server must not use it.
        """
        label_info = [{"name": name, "idx": index + hidden_before} for index, name in enumerate(segments)]
        params = {"label_info": label_info, "model": model, "client_id": self.client_id}
        with label.open("rb") as stream:
            answer = self._send(
                "PUT",
                "/datastore/label",
                params={"image": sample_id},
                data={"params": json.dumps(params)},
                files={"label": (str(label), stream, "application/octet-stream")},
            )
        result: dict[str, Any] = answer.json()
        return result

    def get(self, path: str, **params: str | int) -> Any:
        """Any JSON of the server, for example ``/api/v1/rounds``."""
        return self._send("GET", path, params=params).json()

    def start_round(self) -> int:
        """Start a round as an admin does, over REST; returns its number."""
        number: int = self._json("POST", "/api/v1/rounds")["number"]
        return number

    def items(self, path: str) -> list[dict[str, Any]]:
        """All items of a list of the REST interface, over its pages."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str | int] = {}
        while True:
            page = self.get(path, limit=100, **cursor)
            found += page["items"]
            if page["next"] is None:
                return found
            cursor = {"cursor": page["next"]}

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._send(method, path, **arguments).json()
        return answer

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise Unavailable(f"{method} {self.server}{path}: no answer ({type(error).__name__}: {error})") from error
        if answer.is_success:
            return answer
        kind = _ERRORS.get(answer.status_code, MrsegError)
        raise kind(f"{method} {path} answered {answer.status_code}: {_detail(answer)}")


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]


def _suffix(answer: httpx.Response) -> str:
    name = answer.headers.get("content-disposition", "").rpartition("filename=")[2].strip('"; ')
    for suffix in (".seg.nrrd", ".nii.gz", ".nrrd", ".nii"):
        if name.endswith(suffix):
            return suffix
    raise InvalidInput(f"a label was sent under the name {name!r}, which says no known format")


def _multipart(answer: httpx.Response) -> tuple[dict[str, str], dict[str, bytes]]:
    """Fields by name and files by file name of a multipart answer."""
    kind = answer.headers.get("content-type", "")
    if not kind.startswith("multipart/"):
        raise InvalidInput(
            f"{answer.url.path} answered with {kind or 'no content type'} instead of a multipart document"
        )
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}

    def on_field(field: Field) -> None:
        fields[(field.field_name or b"").decode()] = (field.value or b"").decode()

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        files[(file.file_name or b"").decode()] = file.file_object.read()

    # The parser knows form-data; what is inside mixed and form-data documents has the same form.
    headers = {"Content-Type": kind.replace("multipart/mixed", "multipart/form-data").encode()}
    python_multipart.parse_form(headers, io.BytesIO(answer.content), on_field, on_file)
    return fields, files
