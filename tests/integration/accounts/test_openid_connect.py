"""Sign-in through a hospital's identity provider, which runs as a process of its own."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import itsdangerous
import pytest

from mrseg_label.accounts import service as accounts
from mrseg_label.accounts.oidc.state_cookie import COOKIE, state_key
from mrseg_label.accounts.tokens import signing_secret
from mrseg_label.catalog.tables import AuditEvent
from mrseg_label.catalog.types import Role
from mrseg_label.workspace import Workspace
from tests.integration.conftest import PASSWORD, Running, serving
from tests.support.browsers import (
    ADMIN,
    CALLBACK,
    READER,
    REVIEWER,
    Browser,
    open_browser,
    post_form,
    settings_text,
    sign_in,
    sign_in_at_provider,
    visible_text,
)
from tests.support.identity_provider import CLIENT_SECRET, IdentityProvider


def role_of(served: Running, name: str) -> Role:
    return next(account.role for account in accounts.list_accounts(served.catalog) if account.name == name)


def test_declining_at_the_provider_is_no_sign_in(hospital: IdentityProvider, browser: Browser) -> None:
    hospital.set_user("nils", READER)
    reply = browser.get(sign_in_at_provider(browser, hospital, "nils", answer="deny"))
    assert reply.status_code == 403 and "you declined it" in visible_text(reply)


def changed(cookie: str) -> str:
    """A cookie with one character of its content changed."""
    return cookie[:20] + ("A" if cookie[20] != "A" else "B") + cookie[21:]


def test_the_redirect_starts_the_code_flow_with_pkce_state_and_nonce(served: Running, browser: Browser) -> None:
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


def test_the_first_sign_in_creates_the_account_and_each_one_updates_its_role(
    served: Running, hospital: IdentityProvider, browser: Browser
) -> None:
    hospital.set_user("ada", READER, "staff")
    reply = sign_in(browser, hospital, "ada")
    assert (reply.status_code, reply.headers["location"]) == (303, "/dashboard/mine")
    cookie = next(line for line in reply.headers.get_list("set-cookie") if line.startswith("mrseg_session="))
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=36000"} <= set(cookie.split("; "))
    page = browser.get("/account")
    assert page.status_code == 200 and "ada Signed in as radiologist" in visible_text(page)
    assert role_of(served, "ada") is Role.RADIOLOGIST
    valid = browser.get("/auth/token/valid").json()
    assert valid["username"] == "ada" and "monailabel-reviewer" not in valid["roles"]
    for groups, role in (
        ((READER, ADMIN), Role.ADMIN),
        ((REVIEWER, READER), Role.REVIEWER),
        ((READER,), Role.RADIOLOGIST),
    ):
        hospital.set_user("ada", *groups)
        with open_browser(served) as again:
            assert sign_in(again, hospital, "ada").status_code == 303
            assert f"Signed in as {role}" in visible_text(again.get("/account"))
        assert role_of(served, "ada") is role
    with served.catalog.read() as session:
        assert session.query(AuditEvent).filter_by(action="account.add", subject="ada").count() == 1


def test_a_user_without_a_role_is_refused(served: Running, hospital: IdentityProvider, browser: Browser) -> None:
    for groups in ((), ("staff", "monailabel-annotators")):
        hospital.set_user("norah", *groups)
        reply = sign_in(browser, hospital, "norah")
        assert reply.status_code == 403
        assert "norah" in visible_text(reply) and "'groups'" in visible_text(reply) and READER in visible_text(reply)
        assert "mrseg_session" not in str(reply.headers)
    assert "norah" not in [account.name for account in accounts.list_accounts(served.catalog)]
    hospital.set_user("norah", REVIEWER)  # who then loses it does not get in any more
    assert sign_in(browser, hospital, "norah").status_code == 303
    hospital.set_user("norah")
    assert sign_in(browser, hospital, "norah").status_code == 403


def test_the_name_of_a_local_account_cannot_be_taken_over(
    served: Running, hospital: IdentityProvider, browser: Browser
) -> None:
    hospital.set_user("house", ADMIN)
    assert sign_in(browser, hospital, "house").status_code == 303
    assert "house-2 Signed in as admin Your hospital account is called house." in visible_text(browser.get("/account"))
    assert (role_of(served, "house"), role_of(served, "house-2")) == (Role.RADIOLOGIST, Role.ADMIN)
    with open_browser(served) as other:  # whose password still belongs to the local account alone
        assert post_form(other, "/account/sign-in", username="house", password=PASSWORD).status_code == 303
        assert "house Signed in as radiologist" in visible_text(other.get("/account"))


def test_a_disabled_account_is_refused(served: Running, hospital: IdentityProvider, browser: Browser) -> None:
    hospital.set_user("dora", READER)
    assert sign_in(browser, hospital, "dora").status_code == 303
    accounts.disable(served.catalog, "dora", actor="test")
    assert browser.get("/account").headers["location"] == "/account/sign-in"  # at once
    reply = sign_in(browser, hospital, "dora")
    assert reply.status_code == 401 and "dora is disabled" in visible_text(reply)


def test_a_forged_or_repeated_callback_is_refused(
    served: Running, hospital: IdentityProvider, browser: Browser
) -> None:
    hospital.set_user("eve", READER)
    address = sign_in_at_provider(browser, hospital, "eve")
    state_cookie = browser.cookies[COOKIE]
    query = {key: value[0] for key, value in parse_qs(urlsplit(address).query).items()}

    def come(cookie: str | None = "the browser's", **others: str | None) -> httpx.Response:
        sent = {key: value for key, value in {**query, **others}.items() if value is not None}
        held = state_cookie if cookie == "the browser's" else cookie
        cookies = {} if held is None else {"Cookie": f"{COOKIE}={held}"}
        with open_browser(served) as other:
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
        "another browser, which must not be signed in as this user": {"cookie": None},
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
    with open_browser(served) as other:
        twice = other.get(f"{address}&code=another", headers={"Cookie": f"{COOKIE}={state_cookie}"})
        assert twice.status_code == 422
    # The provider signed another nonce than the one that this browser was sent away with.
    fresh = sign_in_at_provider(browser, hospital, "eve")
    state_cookie = browser.cookies[COOKIE]
    query = {key: value[0] for key, value in parse_qs(urlsplit(fresh).query).items()}
    reply = come(cookie=forged(nonce="another nonce of enough length"))
    assert reply.status_code == 401 and "not valid for this sign-in" in visible_text(reply)
    fresh = sign_in_at_provider(browser, hospital, "eve")
    state_cookie = browser.cookies[COOKIE]
    query = {key: value[0] for key, value in parse_qs(urlsplit(fresh).query).items()}
    reply = come(cookie=forged(code_verifier="w" * 48))
    assert reply.status_code == 401
    # And as it should be, once.
    fresh = sign_in_at_provider(browser, hospital, "eve")
    state_cookie = browser.cookies[COOKIE]
    query = {key: value[0] for key, value in parse_qs(urlsplit(fresh).query).items()}
    assert come().status_code == 303
    assert come().status_code == 401


def test_no_parameter_redirects_to_another_site(served: Running, hospital: IdentityProvider, browser: Browser) -> None:
    away = dict.fromkeys(("next", "redirect", "redirect_uri", "return_to", "url"), "https://evil.example/")
    sent = browser.get("/auth/oidc/login", params=away)
    assert (
        sent.headers["location"].startswith(f"{hospital.url}/oauth/authorize?")
        and "evil" not in sent.headers["location"]
    )
    hospital.set_user("mia", READER)
    back = sign_in_at_provider(browser, hospital, "mia")
    assert browser.get(back + "&next=https://evil.example/").headers["location"] == "/dashboard/mine"
    signed = post_form(browser, "/account/sign-in?next=//evil.example", username="house", password=PASSWORD)
    assert signed.headers["location"] == "/dashboard/mine"
    # The Host of a request changes nothing: the provider accepts only the registered address.
    evil = browser.get("/auth/oidc/login", headers={"Host": "evil.example"})
    with open_browser(served) as other, pytest.raises(AssertionError, match="^400 "):
        hospital.sign_in(other, evil.headers["location"], "mia")
    assert browser.get("/auth/oidc/login", headers={"Host": "evil.example/x?"}).status_code == 422


def test_local_accounts_sign_in_while_the_provider_is_down(tmp_path: Path) -> None:
    settings = settings_text("http://127.0.0.1:9/realm") + 'PUBLIC_URL = "https://mrseg.hospital.example"\n'
    with serving(tmp_path, settings, 1) as server:
        accounts.add(server.catalog, "house", Role.ADMIN, password=PASSWORD, actor="test")
        with open_browser(server) as browser:
            reply = browser.get("/auth/oidc/login")
            assert (
                reply.status_code == 503 and "does not answer" in visible_text(reply) and "Traceback" not in reply.text
            )
            signed = post_form(browser, "/account/sign-in", username="house", password=PASSWORD)
            assert signed.status_code == 303
            assert "secure" in signed.headers["set-cookie"].lower().split("; ")  # browsers know it by https
        assert CLIENT_SECRET not in (tmp_path / "serve.log").read_text()


def test_serve_does_not_start_with_settings_that_contradict(tmp_path: Path) -> None:
    Workspace.init(tmp_path / "ws", settings_text='OIDC_ISSUER = "http://id.hospital.example"\nOIDC_CLIENT_ID = "x"\n')
    command = [sys.executable, "-m", "mrseg_label.cli", "serve", "--workspace", str(tmp_path / "ws")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "OIDC_ISSUER" in done.stderr and "Traceback" not in done.stderr
