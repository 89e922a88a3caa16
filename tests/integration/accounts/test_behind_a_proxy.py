"""Under a path of a host that serves other applications too: browser, identity provider, Slicer's module and REST."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urljoin, urlsplit
from urllib.request import urlretrieve

import httpx
import pytest
from monailabel.client import MONAILabelClient

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.types import Role
from tests.integration.conftest import PASSWORD, Running, serving
from tests.support.browsers import CALLBACK, READER, settings_text
from tests.support.identity_provider import IdentityProvider
from tests.support.path_proxy import PREFIX, Proxy, path_proxy

LINK = re.compile(r'<(a|form|link|img|script)\b[^>]*?\b(?:href|action|src)="([^"]*)"')


@pytest.fixture(scope="module")
def public(hospital: IdentityProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Running]]:
    """A server with sign-in under a path of a proxy, and the proxy."""
    with path_proxy() as proxy:
        text = f'{settings_text(hospital.url)}PUBLIC_URL = "{proxy.url}/"\nMAX_UPLOAD_MB = 4\n'
        with serving(tmp_path_factory.mktemp("under-a-path"), text, 3) as server:
            proxy.upstream = server.url
            hospital.register_client(proxy.url + CALLBACK)
            for role in (Role.RADIOLOGIST, Role.ADMIN):
                accounts.add(server.catalog, f"local.{role}", role, password=PASSWORD, actor="test")
            yield proxy, server


# As nginx with and without a slash after proxy_pass; the latter also without the browser's Host.
@pytest.fixture(params=[(True, True), (False, True), (True, False)], ids=["strips", "keeps-path", "own-host"])
def proxy(public: tuple[Proxy, Running], request: pytest.FixtureRequest) -> Proxy:
    made = public[0]
    made.strips, made.keeps_host = request.param
    made.headers = {"X-Forwarded-Prefix": "/from-a-stranger"}  # changes nothing: PUBLIC_URL decides
    made.astray.clear()
    return made


@pytest.fixture
def browser(proxy: Proxy) -> Iterator[httpx.Client]:
    headers = {"Accept": "text/html", "Origin": proxy.origin}
    with httpx.Client(timeout=60, trust_env=False, headers=headers) as made:
        yield made


def follow(browser: httpx.Client, reply: httpx.Response) -> httpx.Response:
    """Follow redirects as a browser does; cookies that are not for an address are not sent there."""
    while reply.is_redirect:
        reply = browser.get(urljoin(str(reply.url), reply.headers["location"]))
    return reply


def links(reply: httpx.Response) -> set[tuple[str, str]]:
    return {
        (kind, urljoin(str(reply.url), unescape(target)))
        for kind, target in LINK.findall(reply.text)
        if target != "#main"
    }


def sign_in(browser: httpx.Client, proxy: Proxy, name: str) -> httpx.Response:
    page = browser.get(f"{proxy.url}/account/sign-in")
    (form,) = {target for kind, target in links(page) if kind == "form"}
    return follow(browser, browser.post(form, data={"username": name, "password": PASSWORD}))


def test_no_page_leads_out_of_the_path(proxy: Proxy, browser: httpx.Client) -> None:
    signed = sign_in(browser, proxy, "local.radiologist")
    assert signed.status_code == 200 and str(signed.url) == f"{proxy.url}/dashboard/mine"
    account = browser.get(f"{proxy.url}/account")
    assert f"enter the server's address <strong>{proxy.url}</strong>" in account.text
    assert proxy.url in browser.get(f"{proxy.url}/dashboard/connect").text
    (token,) = set(re.findall(r'name="form_token" value="(\w+)"', account.text))
    assert all(PREFIX in cookie.path for cookie in browser.cookies.jar)
    made = browser.post(f"{proxy.url}/account/app-passwords", data={"label": "room 3", "form_token": token})
    assert made.status_code == 201
    seen: set[str] = set()
    # Sign-out and then sign-in come last, since they end the session that the token belongs to; the page of an error is any callback without a code.
    pages = [made, browser.get(proxy.url + CALLBACK), browser.get(f"{proxy.url}/account/sign-in")]
    todo = sorted(
        set().union(*map(links, pages)), key=lambda link: (link[1].endswith("sign-in"), link[1].endswith("sign-out"))
    )
    assert {target.rpartition("/")[2] for _, target in todo} >= {"app-passwords", "revoke", "sign-out", "login"}
    for kind, target in todo:
        assert target.startswith(f"{proxy.url}/"), target
        if target in seen or target.endswith("/login"):  # which leads to the provider: below
            continue
        seen.add(target)
        data = {"form_token": token, "label": "x", "username": "local.radiologist", "password": PASSWORD}
        reply = follow(browser, browser.post(target, data=data) if kind == "form" else browser.get(target))
        assert reply.status_code in (200, 201), target
        assert all(further.startswith(f"{proxy.url}/") for _, further in links(reply)), target
    assert not proxy.astray


@pytest.mark.parametrize("proxy", [(True, False)], indirect=True)
def test_the_dashboard_stays_under_the_path(proxy: Proxy, browser: httpx.Client) -> None:
    """One page of each kind that an admin can reach by links, with all that it refers to, scripts' data too."""
    page = sign_in(browser, proxy, "local.admin")
    todo, kinds = [str(page.url)], set[str]()
    while todo:
        address = todo.pop()
        kind = re.sub(r"(?<=/)([a-z]+-[0-9a-z]{16}|\d+)(?=/|$)", "*", urlsplit(address).path)
        if kind in kinds or "/static/" in kind or kind.endswith(("/sign-in", "/login", "/docs", "/openapi.json")):
            continue
        kinds.add(kind)
        reply = follow(browser, browser.get(address))
        assert reply.status_code < 500 and not proxy.astray, address
        if reply.headers["content-type"].startswith("text/html"):
            assert all(
                target.startswith(f"{PREFIX}/") for target in re.findall(r' data-[a-z-]+="(/[^"]*)"', reply.text)
            )
            found = links(reply)
            assert all(target.startswith(f"{proxy.url}/") for _, target in found), address
            todo += sorted(target for kind, target in found if kind == "a")
    assert len(kinds) > 12, kinds


def test_a_stranger_is_led_to_the_sign_in(proxy: Proxy, browser: httpx.Client) -> None:
    assert str(follow(browser, browser.get(f"{proxy.url}/account")).url) == f"{proxy.url}/account/sign-in"
    refused = browser.post(f"{proxy.url}/account/sign-in", headers={"Origin": "https://evil.example"})
    assert refused.status_code == 403 and not proxy.astray


def test_the_identity_provider_leads_back(proxy: Proxy, browser: httpx.Client, hospital: IdentityProvider) -> None:
    hospital.set_user("petra", READER)
    sent = browser.get(f"{proxy.url}/auth/oidc/login")
    assert f"path={PREFIX}/auth/oidc;" in sent.headers["set-cookie"].lower()
    with httpx.Client(timeout=60, trust_env=False) as elsewhere:
        back = hospital.sign_in(elsewhere, sent.headers["location"], "petra")
    assert back.startswith(proxy.url + CALLBACK)
    page = follow(browser, browser.get(back))
    assert page.status_code == 200 and str(page.url) == f"{proxy.url}/dashboard/mine" and not proxy.astray


def test_slicers_module_annotates(proxy: Proxy, public: tuple[Proxy, Running], tmp_path: Path) -> None:
    name = f"reader.{tmp_path.name[-1]}"
    accounts.add(public[1].catalog, name, Role.RADIOLOGIST, password=PASSWORD, actor="test")
    client = MONAILabelClient(f"{proxy.url}/", tmpdir=str(tmp_path), client_id="user-xyz")
    assert client.auth_enabled()
    client.update_auth(client.auth_token(name, PASSWORD))
    assert client.auth_valid_token() and client.info()["labels"]
    sample = client.next_sample("sequential", {})
    urlretrieve(f"{proxy.url}/datastore/image?image={sample['id']}", tmp_path / sample["name"])
    assert sample["id"] in client.datastore()["objects"]
    mask, params = client.infer("mrseg", sample["id"], {"result_extension": ".nrrd", "result_dtype": "uint8"})
    info = [{"name": label, "idx": index} for label, index in params["label_names"].items()]
    stored = client.save_label(sample["id"], mask, params={"label_info": info})
    assert stored["image"].startswith("ex-") and not proxy.astray


def test_rest_names_public_addresses(proxy: Proxy) -> None:
    with httpx.Client(base_url=proxy.url, timeout=60, trust_env=False) as http:
        root = http.get("/").json()
        assert http.get(f"{proxy.origin}{PREFIX}").json() == root
        document = http.get(urljoin(proxy.url, root["openapi"])).json()
        assert document["servers"] == [{"url": PREFIX}]
        page = http.get(urljoin(proxy.url, root["docs"]))
        files = [target for _, target in links(page) if not target.startswith("data:")]
        assert len(files) == 4 and all(http.get(file).status_code == 200 for file in files)
        form = {"username": "local.admin", "password": PASSWORD}
        flow = document["components"]["securitySchemes"]["password"]["flows"]["password"]
        token = http.post(urljoin(proxy.url, flow["tokenUrl"]), data=form).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        first = http.get(urljoin(proxy.url, root["rest"] + "/examinations"), params={"limit": 1}).json()
        second = http.get("/api/v1/examinations", params={"limit": 1, "cursor": first["next"]}).json()
        assert first["items"][0]["id"] != second["items"][0]["id"]
        missing = http.get("/api/v1/models/none")
        assert missing.status_code == 404 and missing.json()["instance"] == f"{PREFIX}/api/v1/models/none"
        redirected = http.get("/info?x=1%202")
        assert (redirected.status_code, redirected.headers["location"]) == (307, f"{PREFIX}/info/?x=1%202")
        assert http.get(f"/mrseg-other{PREFIX}/info/").status_code == 404
    assert not proxy.astray
