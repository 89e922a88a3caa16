"""Sign-in through a hospital's identity provider, which runs as a process of its own; the pages behind it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import itsdangerous
import pytest
from starlette.requests import Request

from mrseg_label.accounts import service as accounts
from mrseg_label.accounts.oidc.claims import claim_entries, provider_user_of
from mrseg_label.accounts.oidc.settings import check_sign_in_settings
from mrseg_label.accounts.oidc.state_cookie import COOKIE, state_key
from mrseg_label.accounts.tokens import signing_secret
from mrseg_label.catalog.tables import AuditEvent
from mrseg_label.catalog.types import Role
from mrseg_label.config import Settings
from mrseg_label.errors import ConfigurationError, MrsegError
from mrseg_label.web.routes import redirect_uri
from mrseg_label.workspace import Workspace
from tests.integration.conftest import PASSWORD, Running, serving
from tests.support.identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider

READER, REVIEWER, ADMIN = "monailabel-annotator", "monailabel-reviewer", "monailabel-admin"
CALLBACK = "/auth/oidc/callback"
Browser = httpx.Client


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    with IdentityProvider(tmp_path_factory.mktemp("provider") / "provider.log") as provider:
        yield provider


@pytest.fixture(scope="module")
def served(hospital: IdentityProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("single-sign-on"), settings_text(hospital.url), 1) as server:
        hospital.client(server.url + CALLBACK)
        accounts.add(server.catalog, "house", Role.RADIOLOGIST, password=PASSWORD, actor="test")
        yield server


def settings_text(issuer: str) -> str:
    return (
        f'AUTH = "on"\nWORKERS = 0\nOIDC_ISSUER = "{issuer}"\nOIDC_CLIENT_ID = "{CLIENT_ID}"\n'
        f'OIDC_CLIENT_SECRET = "{CLIENT_SECRET}"\nOIDC_SCOPES = "openid profile groups"\nOIDC_ROLE_CLAIM = "groups"\n'
    )


@contextmanager
def a_browser(served: Running) -> Iterator[Browser]:
    with httpx.Client(base_url=served.url, timeout=60, trust_env=False, headers={"Accept": "text/html"}) as made:
        yield made


@pytest.fixture
def browser(served: Running) -> Iterator[Browser]:
    with a_browser(served) as made:
        yield made


def led_back(browser: Browser, hospital: IdentityProvider, name: str, answer: str = "accept") -> str:
    """Go to the provider and sign in there; the address to which it leads back."""
    sent = browser.get("/auth/oidc/login")
    assert sent.status_code == 302
    return hospital.sign_in(browser, sent.headers["location"], name, answer)


def sign_in(browser: Browser, hospital: IdentityProvider, name: str) -> httpx.Response:
    return browser.get(led_back(browser, hospital, name))


def text_of(reply: httpx.Response) -> str:
    html = re.sub(r"<style>.*?</style>|<[^>]*>", " ", reply.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html).replace("&#39;", "'")


def post(browser: Browser, path: str, **fields: str) -> httpx.Response:
    """As a browser sends a form of the server's own page."""
    return browser.post(path, data=fields, headers={"Origin": str(browser.base_url).rstrip("/")})


def role_of(served: Running, name: str) -> Role:
    return next(account.role for account in accounts.listing(served.catalog) if account.name == name)


def test_saying_no_at_the_provider_is_no_sign_in(hospital: IdentityProvider, browser: Browser) -> None:
    hospital.person("nils", READER)
    reply = browser.get(led_back(browser, hospital, "nils", answer="deny"))
    assert reply.status_code == 403 and "you declined it" in text_of(reply)


def changed(cookie: str) -> str:
    """A cookie with one character of its content changed."""
    return cookie[:20] + ("A" if cookie[20] != "A" else "B") + cookie[21:]


def test_the_way_there_is_the_code_flow_with_pkce_state_and_nonce(served: Running, browser: Browser) -> None:
    sent = browser.get("/auth/oidc/login")
    query = {key: value[0] for key, value in parse_qs(urlsplit(sent.headers["location"]).query).items()}
    assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
    assert query["redirect_uri"] == served.url + CALLBACK
    assert all(len(query[key]) >= 20 for key in ("state", "nonce", "code_challenge"))
    cookie = sent.headers["set-cookie"].lower()
    assert (
        "httponly" in cookie and "samesite=lax" in cookie and "path=/auth/oidc;" in cookie and "max-age=600" in cookie
    )
    assert CLIENT_SECRET not in sent.text + str(sent.headers)


def test_the_first_sign_in_makes_the_account_and_each_one_brings_the_role(
    served: Running, hospital: IdentityProvider, browser: Browser
) -> None:
    hospital.person("ada", READER, "staff")
    reply = sign_in(browser, hospital, "ada")
    assert (reply.status_code, reply.headers["location"]) == (303, "/account")
    cookie = next(line for line in reply.headers.get_list("set-cookie") if line.startswith("mrseg_session="))
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=36000"} <= set(cookie.split("; "))
    page = browser.get("/account")
    assert page.status_code == 200 and "ada Signed in as radiologist" in text_of(page)
    assert role_of(served, "ada") is Role.RADIOLOGIST
    valid = browser.get("/auth/token/valid").json()
    assert valid["username"] == "ada" and "monailabel-reviewer" not in valid["roles"]
    for groups, role in (
        ((READER, ADMIN), Role.ADMIN),
        ((REVIEWER, READER), Role.REVIEWER),
        ((READER,), Role.RADIOLOGIST),
    ):
        hospital.person("ada", *groups)
        with a_browser(served) as again:
            assert sign_in(again, hospital, "ada").status_code == 303
            assert f"Signed in as {role}" in text_of(again.get("/account"))
        assert role_of(served, "ada") is role
    with served.catalog.read() as session:
        assert session.query(AuditEvent).filter_by(action="account.add", subject="ada").count() == 1


def test_nobody_without_a_role_gets_in(served: Running, hospital: IdentityProvider, browser: Browser) -> None:
    for groups in ((), ("staff", "monailabel-annotators")):
        hospital.person("norah", *groups)
        reply = sign_in(browser, hospital, "norah")
        assert reply.status_code == 403
        assert "norah" in text_of(reply) and "'groups'" in text_of(reply) and READER in text_of(reply)
        assert "mrseg_session" not in str(reply.headers)
    assert "norah" not in [account.name for account in accounts.listing(served.catalog)]
    hospital.person("norah", REVIEWER)  # who then loses it does not get in any more
    assert sign_in(browser, hospital, "norah").status_code == 303
    hospital.person("norah")
    assert sign_in(browser, hospital, "norah").status_code == 403


def test_a_name_of_a_local_account_is_nobody_elses(
    served: Running, hospital: IdentityProvider, browser: Browser
) -> None:
    hospital.person("house", ADMIN)
    reply = sign_in(browser, hospital, "house")
    assert reply.status_code == 401 and "not of this identity provider" in text_of(reply)
    assert role_of(served, "house") is Role.RADIOLOGIST
    assert browser.get("/account").headers["location"] == "/account/sign-in"


def test_a_disabled_account_stays_out(served: Running, hospital: IdentityProvider, browser: Browser) -> None:
    hospital.person("dora", READER)
    assert sign_in(browser, hospital, "dora").status_code == 303
    accounts.disable(served.catalog, "dora", actor="test")
    assert browser.get("/account").headers["location"] == "/account/sign-in"  # at once
    reply = sign_in(browser, hospital, "dora")
    assert reply.status_code == 401 and "dora is disabled" in text_of(reply)


def test_what_the_provider_did_not_send_for_this_browser_now_is_refused(
    served: Running, hospital: IdentityProvider, browser: Browser
) -> None:
    hospital.person("eve", READER)
    address = led_back(browser, hospital, "eve")
    state_cookie = browser.cookies[COOKIE]
    query = {key: value[0] for key, value in parse_qs(urlsplit(address).query).items()}

    def come(cookie: str | None = "the browser's", **others: str | None) -> httpx.Response:
        sent = {key: value for key, value in {**query, **others}.items() if value is not None}
        held = state_cookie if cookie == "the browser's" else cookie
        cookies = {} if held is None else {"Cookie": f"{COOKIE}={held}"}
        with a_browser(served) as other:
            reply = other.get(CALLBACK, params=sent, headers=cookies)
        assert "mrseg_session" not in str(reply.headers) or reply.status_code == 303
        return reply

    def forged(**values: str) -> str:
        """The cookie with other values, signed with the server's own key."""
        content = json.loads(base64.b64decode(state_cookie.split(".")[0]))
        (held,) = content.values()
        held["data"] |= values
        signer = itsdangerous.TimestampSigner(state_key(signing_secret(served.catalog)))
        return signer.sign(base64.b64encode(json.dumps(content).encode())).decode()

    wrong: dict[str, dict[str, str | None]] = {
        "another state": {"state": "x" * 30},
        "another browser: nobody is signed in as somebody else": {"cookie": None},
        "a cookie that was changed": {"cookie": changed(state_cookie)},
        "no cookie of ours": {"cookie": "x"},
        "no state": {"state": None},
        "no code": {"code": None},
        "another provider": {"iss": "https://another.example"},
        "a code that the provider never gave": {"code": "guessed"},
        "an error with a text": {"error": "invalid_scope", "error_description": "<b>text</b>"},
    }
    for what, values in wrong.items():
        reply = come(**values)
        assert 400 <= reply.status_code < 500, what
        assert "<b>text</b>" not in reply.text and CLIENT_SECRET not in reply.text, what
        assert "Traceback" not in reply.text, what
    with a_browser(served) as other:
        twice = other.get(f"{address}&code=another", headers={"Cookie": f"{COOKIE}={state_cookie}"})
        assert twice.status_code == 422
    # The provider signed another nonce than the one that this browser was sent away with.
    fresh = led_back(browser, hospital, "eve")
    state_cookie = browser.cookies[COOKIE]
    query = {key: value[0] for key, value in parse_qs(urlsplit(fresh).query).items()}
    reply = come(cookie=forged(nonce="another nonce of enough length"))
    assert reply.status_code == 401 and "not valid for this sign-in" in text_of(reply)
    fresh = led_back(browser, hospital, "eve")
    state_cookie = browser.cookies[COOKIE]
    query = {key: value[0] for key, value in parse_qs(urlsplit(fresh).query).items()}
    reply = come(cookie=forged(code_verifier="w" * 48))
    assert reply.status_code == 401
    # And as it should be, once.
    fresh = led_back(browser, hospital, "eve")
    state_cookie = browser.cookies[COOKIE]
    query = {key: value[0] for key, value in parse_qs(urlsplit(fresh).query).items()}
    assert come().status_code == 303
    assert come().status_code == 401


def test_app_passwords_are_made_shown_once_used_and_revoked(
    served: Running, hospital: IdentityProvider, browser: Browser
) -> None:
    hospital.person("ines", READER)
    sign_in(browser, hospital, "ines")
    made = post(browser, "/account/app-passwords", label="Slicer <room> 3")
    assert made.status_code == 201 and "Slicer &lt;room&gt; 3" in made.text
    found = re.search(r'<code class="secret">([^<]+)</code>', made.text)
    assert found is not None
    page = browser.get("/account")
    assert found[1] not in page.text and "Slicer &lt;room&gt; 3" in page.text
    form = {"username": "ines", "password": found[1], "grant_type": "password"}
    signed = served.http.post("/auth/token", data=form)
    assert signed.status_code == 200
    bearer = {"Authorization": f"Bearer {signed.json()['access_token']}"}
    assert served.http.get("/info/", headers=bearer).status_code == 200
    action = re.search(r'action="(/account/app-passwords/[^"]+/revoke)"', page.text)
    assert action is not None
    with a_browser(served) as other:  # who knows an app password alone gets no others by it, and ends none
        assert post(other, "/account/sign-in", username="ines", password=found[1]).status_code == 303
        refused = post(other, "/account/app-passwords", label="another")
        assert refused.status_code == 403 and 'class="secret"' not in refused.text
        assert post(other, action[1]).status_code == 403
    with a_browser(served) as other:  # somebody else's page does not end it
        post(other, "/account/sign-in", username="house", password=PASSWORD)
        post(other, action[1])
    assert served.http.get("/info/", headers=bearer).status_code == 200
    assert post(browser, action[1]).headers["location"] == "/account"
    assert post(browser, action[1]).status_code == 303  # a second click
    assert served.http.get("/info/", headers=bearer).status_code == 401
    assert served.http.post("/auth/token", data=form).status_code == 401
    assert "You have no app passwords yet" in browser.get("/account").text
    empty = post(browser, "/account/app-passwords", label=" ")
    assert empty.status_code == 422 and "where it is used" in text_of(empty)


def test_signing_out_ends_the_session_and_not_only_the_cookie(
    served: Running, hospital: IdentityProvider, browser: Browser
) -> None:
    hospital.person("olga", READER)
    sign_in(browser, hospital, "olga")
    token = browser.cookies["mrseg_session"]
    out = post(browser, "/account/sign-out")
    assert out.status_code == 303 and "mrseg_session" not in browser.cookies
    assert "signed out" in browser.get(out.headers["location"]).text
    bearer = {"Authorization": f"Bearer {token}"}
    assert served.http.get("/info/", headers=bearer).status_code == 401


def test_pages_of_other_sites_can_send_nothing(served: Running, hospital: IdentityProvider, browser: Browser) -> None:
    hospital.person("rosa", READER)
    form = {"username": "house", "password": PASSWORD}
    foreign = [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {},
        {"Origin": served.url, "Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    ]  # fmt: skip
    for headers in foreign:
        reply = browser.post("/account/sign-in", data=form, headers=headers)  # nobody is signed in by another's page
        assert reply.status_code == 403 and "set-cookie" not in reply.headers, headers
    sign_in(browser, hospital, "rosa")
    for headers in foreign:
        for path in ("/account/app-passwords", "/account/sign-out", "/account/app-passwords/x/revoke"):
            assert browser.post(path, data={"label": "x"}, headers=headers).status_code == 403, (path, headers)
    assert "You have no app passwords yet" in browser.get("/account").text


def test_no_address_leads_elsewhere(served: Running, hospital: IdentityProvider, browser: Browser) -> None:
    away = dict.fromkeys(("next", "redirect", "redirect_uri", "return_to", "url"), "https://evil.example/")
    sent = browser.get("/auth/oidc/login", params=away)
    assert (
        sent.headers["location"].startswith(f"{hospital.url}/oauth/authorize?")
        and "evil" not in sent.headers["location"]
    )
    hospital.person("mia", READER)
    back = led_back(browser, hospital, "mia")
    assert browser.get(back + "&next=https://evil.example/").headers["location"] == "/account"
    signed = post(browser, "/account/sign-in?next=//evil.example", username="house", password=PASSWORD)
    assert signed.headers["location"] == "/account"
    # What a request calls the server is believed by nobody: the provider knows the address that was registered.
    evil = browser.get("/auth/oidc/login", headers={"Host": "evil.example"})
    with a_browser(served) as other, pytest.raises(AssertionError, match="^400 "):
        hospital.sign_in(other, evil.headers["location"], "mia")
    assert browser.get("/auth/oidc/login", headers={"Host": "evil.example/x?"}).status_code == 422


def test_local_accounts_sign_in_by_form(browser: Browser) -> None:
    page = browser.get("/account/sign-in")
    assert "Sign in with your hospital account" in page.text and page.headers["cache-control"] == "no-store"
    wrong = post(browser, "/account/sign-in", username="house", password="not the words")
    assert wrong.status_code == 401 and "Wrong name or password." in wrong.text and "set-cookie" not in wrong.headers
    assert post(browser, "/account/sign-in", username="house", password=PASSWORD).headers["location"] == "/account"
    assert "house Signed in as radiologist" in text_of(browser.get("/account"))


def test_the_policy_allows_the_style_and_nothing_else(browser: Browser) -> None:
    page = browser.get("/account/sign-in")
    policy = page.headers["content-security-policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", page.text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy and "unsafe" not in policy
    assert "<script" not in page.text and " style=" not in page.text
    assert page.headers["x-frame-options"] == "DENY"


def test_a_silent_provider_keeps_nobody_else_out(tmp_path: Path) -> None:
    settings = settings_text("http://127.0.0.1:9/realm") + 'PUBLIC_URL = "https://mrseg.hospital.example"\n'
    with serving(tmp_path, settings, 1) as server:
        accounts.add(server.catalog, "house", Role.ADMIN, password=PASSWORD, actor="test")
        with a_browser(server) as browser:
            reply = browser.get("/auth/oidc/login")
            assert reply.status_code == 503 and "does not answer" in text_of(reply) and "Traceback" not in reply.text
            signed = post(browser, "/account/sign-in", username="house", password=PASSWORD)
            assert signed.status_code == 303
            assert "secure" in signed.headers["set-cookie"].lower().split("; ")  # browsers know it by https
        assert CLIENT_SECRET not in (tmp_path / "serve.log").read_text()


def test_without_sign_in_the_pages_say_so(running: Running) -> None:
    for path in ("/account/sign-in", "/account", "/auth/oidc/login", CALLBACK):
        reply = running.http.get(path)
        assert reply.status_code == 409 and "AUTH=off" in reply.json()["detail"], path


def test_the_provider_leads_back_to_the_public_address() -> None:
    scope = {"type": "http", "scheme": "http", "headers": [(b"host", b"10.0.0.7:8000")]}
    assert redirect_uri(Settings(), Request(scope)) == f"http://10.0.0.7:8000{CALLBACK}"
    settings = Settings(public_url="https://mrseg.hospital.example/")
    assert redirect_uri(settings, Request(scope)) == f"https://mrseg.hospital.example{CALLBACK}"


def test_serve_does_not_start_with_settings_that_contradict(tmp_path: Path) -> None:
    Workspace.init(tmp_path / "ws", settings_text='OIDC_ISSUER = "http://id.hospital.example"\nOIDC_CLIENT_ID = "x"\n')
    command = [sys.executable, "-m", "mrseg_label.cli", "serve", "--workspace", str(tmp_path / "ws")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "OIDC_ISSUER" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"oidc_issuer": "https://id.example"}, "OIDC_CLIENT_ID"),
        ({"oidc_client_id": "x"}, "OIDC_ISSUER"),
        ({"oidc_issuer": "http://id.example", "oidc_client_id": "x"}, "OIDC_ISSUER"),
        ({"oidc_issuer": "id.example", "oidc_client_id": "x"}, "OIDC_ISSUER"),
        ({"oidc_issuer": "https://id.example", "oidc_client_id": "x", "oidc_scopes": "profile"}, "OIDC_SCOPES"),
        ({"oidc_issuer": "https://id.example", "oidc_client_id": "x", "oidc_role_admin": ""}, "OIDC_ROLE_ADMIN"),
        ({"oidc_issuer": "https://id.example", "oidc_client_id": "x", "oidc_name_claim": ""}, "OIDC_NAME_CLAIM"),
        ({"public_url": "mrseg.example"}, "PUBLIC_URL"),
        ({"public_url": "https://mrseg.example/sub"}, "PUBLIC_URL"),
    ],
)
def test_settings_that_cannot_work_name_their_keys(values: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        check_sign_in_settings(Settings.model_validate(values))
    check_sign_in_settings(
        Settings(oidc_issuer="https://id.example/realms/x", oidc_client_id="x", public_url="https://m.example/")
    )


def test_roles_are_found_where_providers_put_them() -> None:
    claims = {"realm_access": {"roles": ["a", 7, "b"]}, "https://h/roles": "c", "x": 1}
    assert claim_entries(claims, "realm_access.roles") == {"a", "b"}
    assert claim_entries(claims, "https://h/roles") == {"c"}
    for path in ("x", "x.y", "realm_access", "realm_access.roles.a", "none"):
        assert claim_entries(claims, path) == frozenset()
    settings = Settings(oidc_issuer="https://id.example", oidc_client_id="x")
    claims = {"sub": "1", "preferred_username": "ada", "realm_access": {"roles": [REVIEWER, READER]}}
    assert provider_user_of(claims, settings, "i").role is Role.REVIEWER
    nameless: list[Callable[[], dict[str, object]]] = [
        lambda: {**claims, "sub": ""}, lambda: {**claims, "preferred_username": ["ada"]}, lambda: {"sub": "1"},
    ]  # fmt: skip
    for make in nameless:
        with pytest.raises(MrsegError, match="preferred_username"):
            provider_user_of(make(), settings, "i")
