"""The dashboard of a study in full swing, in this process: without sign-in, and with an account for each role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser as ChromiumBrowser
from starlette.testclient import TestClient

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.types import Role
from mrseg_label.web.navigation import first_page
from mrseg_monailabel.protocol_app import ProtocolApp
from mrseg_monailabel.server import build
from tests.integration.conftest import PASSWORD
from tests.support.chromium import chromium, serve_in_thread
from tests.support.postgresql import copy_workspace
from tests.support.study_rows import SETTINGS, study

URL = "http://127.0.0.1"
PEOPLE = {"ada": Role.RADIOLOGIST, "rita": Role.REVIEWER, "root": Role.ADMIN}


@dataclass
class Browser:
    """A browser at the dashboard, signed in or not."""

    http: TestClient
    workspace: OpenedWorkspace

    def get(self, path: str, status: int = 200) -> str:
        """Return the text of a page, which must have that status."""
        reply = self.http.get(path)
        assert reply.status_code == status, (path, reply.status_code, reply.text[:300])
        return reply.text

    def submit(self, page: str, action: str, **fields: str) -> tuple[int, str, str]:
        """Submit the form of a page that has that action; returns status, address of a redirect, and text."""
        text = self.get(page)
        assert f'action="{action}"' in text, action
        token = re.findall(r'name="form_token" value="([0-9a-f]{64})"', text)[0]
        reply = self.http.post(action, data={"form_token": token, **fields}, headers={"Origin": URL})
        return reply.status_code, reply.headers.get("location", ""), reply.text


def open_browser(workspace: OpenedWorkspace) -> Browser:
    application = build(ProtocolApp(workspace))
    client = TestClient(application, URL, follow_redirects=False, headers={"Accept": "text/html"}, client=("127.0.0.1", 50000))  # fmt: skip
    return Browser(client, workspace)


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study as a folder, of which each of the others is a copy."""
    with study(tmp_path_factory.mktemp("study")) as workspace:
        return workspace.root


@contextmanager
def copy_of(made: Path, folder: Path, settings: str = SETTINGS) -> Iterator[OpenedWorkspace]:
    """A copy of the study with other settings."""
    workspace = open_workspace(copy_workspace(made, folder / "copy", settings))
    try:
        yield workspace
    finally:
        workspace.close()


@pytest.fixture(scope="package")
def pages(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Without sign-in; nothing is changed there."""
    with copy_of(made, tmp_path_factory.mktemp("pages")) as workspace:
        yield open_browser(workspace)


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Iterator[Browser]:
    """Without sign-in, for one test alone."""
    with copy_of(made, tmp_path) as workspace:
        yield open_browser(workspace)


@pytest.fixture(scope="package")
def served(
    made: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ChromiumBrowser, str, OpenedWorkspace]]:
    """Chromium, and the address of a server without sign-in with its workspace."""
    with (
        copy_of(made, tmp_path_factory.mktemp("seen")) as workspace,
        serve_in_thread(workspace) as address,
        chromium() as browser,
    ):
        yield browser, address, workspace


@pytest.fixture(scope="package")
def signed_in(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Browser]]:
    """A browser of each of PEOPLE, and of a stranger (an empty name)."""
    with copy_of(made, tmp_path_factory.mktemp("signed-in"), SETTINGS.replace('"off"', '"on"')) as workspace:
        found = {"": open_browser(workspace)}
        for name, role in PEOPLE.items():
            accounts.add(workspace.catalog, name, role, password=PASSWORD, actor="test")
            found[name] = open_browser(workspace)
            reply = found[name].http.post("/account/sign-in", data={"username": name, "password": PASSWORD}, headers={"Origin": URL})  # fmt: skip
            assert (reply.status_code, reply.headers["location"]) == (303, first_page(role))
        yield found
