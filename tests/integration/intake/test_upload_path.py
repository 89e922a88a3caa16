"""The way of an upload through our files, from the route to its row, as docs/architecture.md shows it.

A file of ours is *crossed* where one of its functions receives the upload as an argument or returns it. The upload is
the file of the request, the path of a file that holds it or was made from it, its voxels, its grid, a value that holds
one of these (such as a prepared image), and finally the row. Every call is followed, from the function of the route
until it returns.

Not counted are helpers that get only a name, an id or a digest (ids, queries, settings, the audit trail): they do not
see the upload and cannot change it. Two libraries count as one file each, whichever of their modules is called first:
the room ``imaging``, pure functions with a module for each format, and the storage of files, ``workspace`` with
``files`` under it. Their other modules are noted separately.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path, PurePath
from types import FrameType
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from fastapi import FastAPI
from starlette.datastructures import UploadFile
from starlette.testclient import TestClient

import mrseg_label
import mrseg_monailabel
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.tables import Annotation, Examination
from mrseg_label.imaging import Geometry
from mrseg_label.workspace import Workspace
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.server import build
from tests.support.paths import ROOT

MOST_FILES = 8
# The tables in docs/architecture.md show these lists.
IMAGE_UPLOAD = (
    "mrseg_monailabel/routes/datastore.py",
    "mrseg_label/files.py",
    "mrseg_monailabel/datastore.py",
    "mrseg_label/intake/uploads.py",
    "mrseg_label/intake/files/prepare.py",
    "mrseg_label/imaging/volume.py",
    "mrseg_label/intake/record.py",
    "mrseg_label/intake/twins.py",
)
MASK_UPLOAD = (
    "mrseg_monailabel/routes/datastore.py",
    "mrseg_label/files.py",
    "mrseg_monailabel/datastore.py",
    "mrseg_label/annotation/service.py",
    "mrseg_label/segments/decode.py",
    "mrseg_label/segments/files.py",
    "mrseg_label/imaging/formats.py",
    "mrseg_label/annotation/record.py",
)
# Each counts as one file: whichever of its modules is crossed first.
LIBRARIES = (
    ("mrseg_label/imaging/",),
    ("mrseg_label/workspace.py", "mrseg_label/files.py", "mrseg_label/private.py"),
)
PACKAGES = tuple(Path(package.__path__[0]) for package in (mrseg_label, mrseg_monailabel))


class Follower:
    """Notes the files of ours that an upload crosses.

    Attributes
    ----------
    crossed : in the order in which they were first crossed; of a library the first module alone.
    inner : the other modules of the libraries.

    Parameters
    ----------
    route : name of the function of the route.
    data : types whose values are the upload or were made from it.
    """

    def __init__(self, workspace: Workspace, route: str, *data: type) -> None:
        self.crossed: list[str] = []
        self.inner: list[str] = []
        self._root = workspace.root
        self._route = route
        self._data = (UploadFile, *data)
        self._thread: int | None = None  # in which the route runs

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follow the calls of all threads that start in this context."""
        threading.setprofile(self._profile)
        try:
            yield
        finally:
            threading.setprofile(None)

    def _profile(self, frame: FrameType, event: str, returned: object) -> None:
        file = _file_of_ours(frame)
        if file is None or event not in ("call", "return"):
            return
        is_route = frame.f_code.co_name == self._route
        if is_route and event == "call":
            self._thread = threading.get_ident()
        if self._thread == threading.get_ident():
            values = list(frame.f_locals.values()) if event == "call" else [returned]
            if any(map(self._carries, values)):
                self._note(file)
        if is_route and event == "return":
            self._thread = None

    def _note(self, file: str) -> None:
        if file in self.crossed:
            return
        is_inner = any(
            file.startswith(library) and any(other.startswith(library) for other in self.crossed)
            for library in LIBRARIES
        )
        noted = self.inner if is_inner else self.crossed
        if file not in noted:
            noted.append(file)

    def _carries(self, value: object) -> bool:
        if isinstance(value, self._data):
            return True
        if isinstance(value, np.ndarray):
            return value.ndim >= 3
        if isinstance(value, PurePath):
            return value.is_relative_to(self._root) and len(value.relative_to(self._root).parts) > 2
        if isinstance(value, list | tuple):
            return any(map(self._carries, value))
        if isinstance(value, dict):
            return any(map(self._carries, value.values()))
        if is_dataclass(value) and not isinstance(value, type | Workspace):
            return any(self._carries(getattr(value, field.name)) for field in fields(value))
        return False


def _file_of_ours(frame: FrameType) -> str | None:
    path = Path(frame.f_code.co_filename)
    for package in PACKAGES:
        if path.is_relative_to(package):
            return path.relative_to(package.parent).as_posix()
    return None


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[OpenedWorkspace]:
    Workspace.init(tmp_path / "ws", settings_text='AUTH = "off"\nWORKERS = 0\n')
    workspace = open_workspace(tmp_path / "ws")
    yield workspace
    workspace.close()


@pytest.fixture
def application(workspace: OpenedWorkspace) -> FastAPI:
    return build(ProtocolApp(workspace))


def put(application: FastAPI, path: str, **request: Any) -> dict[str, Any]:
    client = TestClient(application, base_url="http://localhost", client=("127.0.0.1", 50000))
    answer = client.put(path, **request)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def image_file(folder: Path) -> Path:
    array = np.random.default_rng(0).integers(0, 900, (6, 7, 8)).astype(np.int16)
    nib.save(nib.Nifti1Image(array, np.diag((-2.0, -2.0, 3.0, 1.0))), folder / "image.nii.gz")
    return folder / "image.nii.gz"


def test_an_image_crosses_few_files(application: FastAPI, workspace: OpenedWorkspace, tmp_path: Path) -> None:
    follower = Follower(workspace, "put_image", Geometry, Examination)
    with follower.following(), image_file(tmp_path).open("rb") as file:
        answer = put(application, "/datastore/image", params={"image": "3: T1"}, files={"file": ("a.nii.gz", file)})
    with workspace.catalog.read() as session:
        row = session.get_one(Examination, answer["image"])
        workspace.verify(row.path, row.digest)
    assert tuple(follower.crossed) == IMAGE_UPLOAD
    assert len(follower.crossed) <= MOST_FILES


def test_a_mask_goes_from_the_route_to_its_row(
    application: FastAPI, workspace: OpenedWorkspace, tmp_path: Path
) -> None:
    with image_file(tmp_path).open("rb") as file:
        image = put(application, "/datastore/image", params={"image": "T1"}, files={"file": ("a.nii.gz", file)})
    mask = np.zeros((6, 7, 8), np.uint8)
    mask[1:3] = 1
    nib.save(nib.Nifti1Image(mask, np.diag((-2.0, -2.0, 3.0, 1.0))), tmp_path / "mask.nii.gz")
    params = json.dumps({"label_info": [{"name": workspace.scheme.names[0], "idx": 1}]})
    follower = Follower(workspace, "put_label", Annotation)
    with follower.following(), (tmp_path / "mask.nii.gz").open("rb") as file:
        put(
            application,
            "/datastore/label",
            params={"image": image["image"]},
            data={"params": params},
            files={"label": ("mask.nii.gz", file)},
        )
    assert tuple(follower.crossed) == MASK_UPLOAD
    assert len(follower.crossed) <= MOST_FILES


@pytest.mark.parametrize("path", [IMAGE_UPLOAD, MASK_UPLOAD], ids=["image", "mask"])
def test_the_documentation_lists_the_same_files(path: tuple[str, ...]) -> None:
    rows = [line for line in (ROOT / "docs/architecture.md").read_text().splitlines() if re.match(r"\| \d \|", line)]
    listed = [re.findall(r"`([\w/]+\.py)`", row)[0] for row in rows]
    count = len(path)
    assert list(path) in (listed[:count], listed[-count:])
