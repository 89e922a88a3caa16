"""Two servers of one workspace on one PostgreSQL, as behind a proxy: whom one knows the other knows, and whom one ends the other ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle

import httpx
import pytest

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.opening import OpenedWorkspace, open_workspace
from mrseg_label.catalog.types import Role
from mrseg_label.intake.service import import_paths
from mrseg_label.simulation.server import Server
from mrseg_label.workspace import Workspace
from tests.integration.conftest import PASSWORD, add_draft, write_image
from tests.support.browsers import Browser, form_token, post_form
from tests.support.signed_in import bearer

pytestmark = pytest.mark.postgresql
CASES = 6
FREE = 5  # wrong passwords for a name from one machine before the next must wait


@dataclass(frozen=True)
class Pair:
    """Both servers: their addresses, and a client that keeps no cookies."""

    workspace: OpenedWorkspace
    one: str
    other: str
    http: httpx.Client

    def sign_in(self, server: str, name: str, password: str = PASSWORD) -> httpx.Response:
        """Sign in at a server as Slicer's form does."""
        return self.http.post(f"{server}/auth/token", data={"username": name, "password": password})

    def token(self, server: str, name: str) -> str:
        """Sign in at a server; returns the token."""
        reply = self.sign_in(server, name)
        assert reply.status_code == 200, reply.text
        token: str = reply.json()["access_token"]
        return token


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("two-servers")
    Workspace.init(folder / "ws", settings_text="WORKERS = 0\n")
    with ExitStack() as stack:
        workspace = open_workspace(folder / "ws")
        stack.callback(workspace.close)
        report = import_paths(workspace, [write_image(folder / f"p{n}.nii.gz", 900 + n) for n in range(CASES)])
        for entry in report.accepted:
            add_draft(workspace, entry.id)
        for name, role in (("ada", Role.RADIOLOGIST), ("ben", Role.RADIOLOGIST), ("rita", Role.REVIEWER)):
            accounts.add(workspace.catalog, name, role, password=PASSWORD, actor="test")
        first, second = (stack.enter_context(Server(folder / "ws", folder / f"{n}.log")) for n in ("one", "other"))
        http = stack.enter_context(httpx.Client(timeout=60, trust_env=False))
        yield Pair(workspace, first.url, second.url, http)


@pytest.fixture
def browser(pair: Pair) -> Iterator[Browser]:
    """A browser at the first server; to it the other, another port of the same machine, has the same cookies."""
    with httpx.Client(base_url=pair.one, timeout=60, trust_env=False, headers={"Accept": "text/html"}) as made:
        yield made


def test_wrong_passwords_are_counted_over_both_servers(pair: Pair) -> None:
    servers = cycle((pair.one, pair.other))
    guesses = [
        pair.sign_in(server, "ben", f"guess number {n}") for n, server in zip(range(FREE), servers, strict=False)
    ]
    assert [reply.status_code for reply in guesses] == [401] * FREE
    for server in (pair.one, pair.other):  # neither had as many as would be refused there
        for password in ("another guess", PASSWORD):
            reply = pair.sign_in(server, "ben", password)
            assert reply.status_code == 429 and int(reply.headers["retry-after"]) >= 1
    assert pair.token(pair.one, "ada") and pair.token(pair.other, "ada")  # others do not wait


def test_a_browser_goes_on_at_the_other_server_and_signs_out_there(pair: Pair, browser: Browser) -> None:
    signed = post_form(browser, "/account/sign-in", username="ada", password=PASSWORD)
    assert signed.status_code == 303, signed.text
    made_at_first = form_token(browser)
    browser.base_url = httpx.URL(pair.other)
    assert browser.get("/dashboard/mine").status_code == 200
    # A form of one server is taken by the other, as behind a proxy.
    form = {"form_token": made_at_first, "label": "reading room"}
    made = browser.post("/account/app-passwords", data=form, headers={"Origin": pair.other})
    assert made.status_code == 201, made.text
    found = re.search(r'<code class="secret">([^<]+)</code>', made.text)
    assert found is not None
    assert pair.sign_in(pair.one, "ada", found[1]).status_code == 200
    session = browser.cookies["mrseg_session"]
    assert post_form(browser, "/account/sign-out").status_code == 303
    browser.cookies.set("mrseg_session", session, domain="127.0.0.1")  # a copy of it is worth nothing, at either
    for server in (pair.one, pair.other):
        browser.base_url = httpx.URL(server)
        assert browser.get("/dashboard/mine").headers["location"].startswith("/account/sign-in")
        assert pair.http.get(f"{server}/info/", headers=bearer(session)).status_code == 401


def test_a_ticket_of_one_server_opens_its_image_at_the_other_until_it_ends(pair: Pair) -> None:
    token = bearer(pair.token(pair.one, "ada"))

    def take(server: str) -> dict[str, str]:
        reply = pair.http.post(f"{server}/activelearning/sequential", headers=token, json={"client_id": "user-xyz"})
        assert reply.status_code == 200, reply.text
        case: dict[str, str] = reply.json()
        return case

    def download(server: str, ticket: str) -> httpx.Response:
        return pair.http.get(f"{server}/datastore/image", params={"image": ticket})

    case = take(pair.one)
    images = [download(server, case["id"]) for server in (pair.other, pair.one, pair.other)]
    assert [image.status_code for image in images] == [200] * 3  # Slicer may ask again: it is good until its case ends
    assert len({image.content for image in images}) == 1
    assert take(pair.other)["id"] == case["id"], "the other server gives the same case again, and no other"
    mine = pair.http.get(f"{pair.other}/api/v1/mine", headers=token).json()["open"]
    assert len(mine) == 1
    returned = pair.http.post(
        f"{pair.other}/api/v1/examinations/{mine[0]['examination']}/return", headers=token, json={}
    )
    assert returned.status_code == 200, returned.text
    assert [download(server, case["id"]).status_code for server in (pair.one, pair.other)] == [401, 401]


def test_an_address_of_a_reviewer_works_at_both_servers_until_one_ends_it(pair: Pair, browser: Browser) -> None:
    assert post_form(browser, "/account/sign-in", username="rita", password=PASSWORD).status_code == 303
    made = post_form(browser, "/account/review-addresses")
    found = re.search(r"/as/([A-Za-z0-9_-]{43})/", made.text)
    assert found is not None, made.text
    paths = [f"{server}/as/{found[1]}/" for server in (pair.one, pair.other)]
    assert [pair.http.get(path).status_code for path in paths] == [200, 200]
    browser.base_url = httpx.URL(pair.other)
    action = re.search(r'action="(/account/[^"]+/revoke)"', browser.get("/account").text)
    assert action is not None
    assert post_form(browser, action[1]).status_code == 303
    assert [pair.http.get(path).status_code for path in paths] == [401, 401]
