"""A real server over a small workspace, one for all tests of a session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import SimpleITK as sitk

from mrseg_label.accounts import credentials
from mrseg_label.accounts import service as accounts
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.queries import examinations
from mrseg_label.catalog.tables import BOOTSTRAP, Presegmentation
from mrseg_label.catalog.types import CredentialKind, Role
from mrseg_label.ids import new_id
from mrseg_label.imaging import Geometry, write_nifti
from mrseg_label.intake.service import import_paths
from mrseg_label.simulation.server import Server
from mrseg_label.workspace import Workspace

SETTINGS = 'AUTH = "off"\nWORKERS = 0\nMAX_UPLOAD_MB = 4\n'


def write_image(path: Path, seed: int) -> Path:
    """A tiny oblique MR image with anisotropic voxels."""
    image = sitk.GetImageFromArray(np.random.default_rng(seed).integers(0, 900, (10, 12, 14)).astype(np.int16))
    image.SetSpacing((2.0, 2.5, 3.0))
    image.SetOrigin((-10.5, 3.0, 7.25))
    angle = 0.1 * (seed + 1)
    image.SetDirection((np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1))
    sitk.WriteImage(image, str(path))
    return path


def add_draft(workspace: OpenedWorkspace, examination_id: str) -> str:
    """Store a draft as a worker does: structure 1 in one place, the last structure in another; returns its id."""
    with workspace.catalog.read() as session:
        examination = examinations.get(session, examination_id)
    assert examination is not None
    geometry = Geometry.from_json(examination.geometry)
    label_map = np.zeros(geometry.shape, dtype=np.uint8)
    label_map[2:5, 3:9, 1:8] = 1
    label_map[8:12, 3:9, 1:8] = len(workspace.scheme)
    presegmentation_id = new_id("ps")
    path = f"presegmentations/{examination.acquisition_id}/{presegmentation_id}.nii.gz"
    with workspace.scratch("test-") as folder:
        write_nifti(folder / "draft.nii.gz", label_map, geometry)
        digest = workspace.put_file(path, folder / "draft.nii.gz")
    with workspace.catalog.begin() as session:
        session.add(
            Presegmentation(
                id=presegmentation_id,
                acquisition_id=examination.acquisition_id,
                examination_id=examination.id,
                model_version=BOOTSTRAP,
                source="inverted",
                path=path,
                digest=digest,
            )
        )
    return presegmentation_id


@dataclass(frozen=True)
class Running:
    """A server and what it serves; ``images`` are the imported files by examination id, ``pid`` is its process."""

    url: str
    http: httpx.Client
    workspace: OpenedWorkspace
    images: dict[str, Path]
    pid: int

    @property
    def catalog(self) -> Catalog:
        """The catalogue of the workspace."""
        return self.workspace.catalog


PASSWORD = "four words of a secret"


@dataclass(frozen=True)
class Guarded(Running):
    """A server with sign-in; ``tokens`` are access tokens (of the service account: its key) by role."""

    tokens: dict[Role, str]

    def as_(self, role: Role | None) -> dict[str, str]:
        """Headers of a request by the account of a role, which is named as the role is; None for a stranger."""
        return {} if role is None else {"Authorization": f"Bearer {self.tokens[role]}"}

    def sign_in(self, name: str, password: str = PASSWORD) -> str:
        """A token, as Slicer's form gets one."""
        reply = self.http.post("/auth/token", data={"username": name, "password": password, "grant_type": "password"})
        assert reply.status_code == 200, reply.text
        token: str = reply.json()["access_token"]
        return token


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The server of ``mrseg-label serve`` without workers, over 16 images of which each has a draft."""
    with serving(tmp_path_factory.mktemp("served"), SETTINGS) as server:
        yield server


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The same with sign-in, and with an account for each role."""
    with serving(tmp_path_factory.mktemp("guarded"), SETTINGS.replace('"off"', '"on"'), 64) as server:
        for role in Role:
            password = None if role is Role.SERVICE else PASSWORD
            accounts.add(server.catalog, role, role, password=password, actor="test")
        _, key = credentials.make(server.catalog, Role.SERVICE, CredentialKind.API_KEY, "test", actor="test")
        made = Guarded(**vars(server), tokens={Role.SERVICE: key})
        made.tokens.update({role: made.sign_in(role) for role in Role if role is not Role.SERVICE})
        yield made


@contextmanager
def serving(folder: Path, settings: str, count: int = 16) -> Iterator[Running]:
    """A real server over a small workspace."""
    Workspace.init(folder / "workspace", settings_text=settings)
    workspace = open_workspace(folder / "workspace")
    (folder / "images").mkdir()
    files = [write_image(folder / "images" / f"p{seed}.nii.gz", seed) for seed in range(count)]
    report = import_paths(workspace, files)
    assert not report.refused
    for entry in report.accepted:
        add_draft(workspace, entry.id)
    images = {entry.id: Path(entry.source) for entry in report.accepted}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MRSEG_")}
    with (
        Server(workspace.root, folder / "serve.log", environment=environment) as server,
        httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http,
    ):
        yield Running(server.url, http, workspace, images, server.pid)
    workspace.catalog.close()
