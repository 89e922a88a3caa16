"""The pages: sign-in by form, app passwords, sign-out, and requests of other sites."""

from __future__ import annotations

import re

from tests.integration.conftest import PASSWORD, Running
from tests.support.browsers import (
    CALLBACK,
    READER,
    Browser,
    form_token,
    open_browser,
    post_form,
    sign_in,
    visible_text,
)
from tests.support.identity_provider import IdentityProvider


def test_app_passwords_are_created_shown_once_used_and_revoked(
    served: Running, hospital: IdentityProvider, browser: Browser
) -> None:
    hospital.set_user("ines", READER)
    sign_in(browser, hospital, "ines")
    made = post_form(browser, "/account/app-passwords", label="Slicer <room> 3")
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
    with open_browser(served) as other:  # who knows an app password alone gets no others by it, and ends none
        assert post_form(other, "/account/sign-in", username="ines", password=found[1]).status_code == 303
        refused = post_form(other, "/account/app-passwords", label="another")
        assert refused.status_code == 403 and 'class="secret"' not in refused.text
        assert post_form(other, action[1]).status_code == 403
    with open_browser(served) as other:  # another account's form does not revoke it
        post_form(other, "/account/sign-in", username="house", password=PASSWORD)
        post_form(other, action[1])
    assert served.http.get("/info/", headers=bearer).status_code == 200
    assert post_form(browser, action[1]).headers["location"] == "/account"
    assert post_form(browser, action[1]).status_code == 303  # a second click
    assert served.http.get("/info/", headers=bearer).status_code == 401
    assert served.http.post("/auth/token", data=form).status_code == 401
    assert "You have no app passwords yet" in browser.get("/account").text
    empty = post_form(browser, "/account/app-passwords", label=" ")
    assert empty.status_code == 422 and "where it is used" in visible_text(empty)


def test_signing_out_ends_the_token_as_well_as_the_cookie(
    served: Running, hospital: IdentityProvider, browser: Browser
) -> None:
    hospital.set_user("olga", READER)
    sign_in(browser, hospital, "olga")
    token = browser.cookies["mrseg_session"]
    out = post_form(browser, "/account/sign-out")
    assert out.status_code == 303 and "mrseg_session" not in browser.cookies
    assert "signed out" in browser.get(out.headers["location"]).text
    bearer = {"Authorization": f"Bearer {token}"}
    assert served.http.get("/info/", headers=bearer).status_code == 401


def test_forms_from_other_sites_are_refused(served: Running, hospital: IdentityProvider, browser: Browser) -> None:
    hospital.set_user("rosa", READER)
    form = {"username": "house", "password": PASSWORD}
    foreign = [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {},
        {"Origin": served.url, "Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    ]  # fmt: skip
    for headers in foreign:
        reply = browser.post("/account/sign-in", data=form, headers=headers)  # another site's page signs nobody in
        assert reply.status_code == 403 and "set-cookie" not in reply.headers, headers
    sign_in(browser, hospital, "rosa")
    for headers in foreign:
        for path in ("/account/app-passwords", "/account/sign-out", "/account/app-passwords/x/revoke"):
            assert browser.post(path, data={"label": "x"}, headers=headers).status_code == 403, (path, headers)
    assert "You have no app passwords yet" in browser.get("/account").text


def test_local_accounts_sign_in_by_form(browser: Browser) -> None:
    page = browser.get("/account/sign-in")
    assert "Sign in with your hospital account" in page.text and page.headers["cache-control"] == "no-store"
    wrong = post_form(browser, "/account/sign-in", username="house", password="not the words")
    assert wrong.status_code == 401 and "Wrong name or password." in wrong.text and "set-cookie" not in wrong.headers
    signed = post_form(browser, "/account/sign-in", username="house", password=PASSWORD)
    assert signed.headers["location"] == "/dashboard/mine"
    assert "house Signed in as radiologist" in visible_text(browser.get("/account"))


def test_the_policy_of_the_sign_in_allows_the_style_sheet_and_the_icon_and_nothing_else(browser: Browser) -> None:
    page = browser.get("/account/sign-in")
    policy = page.headers["content-security-policy"]
    assert {"default-src 'none'", "style-src 'self'", "img-src 'self'"} <= set(policy.split("; "))
    assert "unsafe" not in policy and "script-src" not in policy
    assert "<script" not in page.text and "<style" not in page.text and " style=" not in page.text
    assert page.headers["x-frame-options"] == "DENY"
    (sheet,) = re.findall(r'<link rel="stylesheet" href="([^"]+)">', page.text)
    style = browser.get(sheet)
    assert style.status_code == 200 and style.headers["content-type"].startswith("text/css")
    assert "immutable" in style.headers["cache-control"] and "url(" not in style.text


def test_a_form_without_the_token_of_its_session_changes_nothing(
    served: Running, hospital: IdentityProvider, browser: Browser
) -> None:
    hospital.set_user("tess", READER)
    sign_in(browser, hospital, "tess")
    own = {"Origin": served.url}
    with open_browser(served) as other:
        post_form(other, "/account/sign-in", username="house", password=PASSWORD)
        of_another = form_token(other)
    for token in ("", "0" * 64, of_another, "\u00e9"):
        reply = browser.post("/account/app-passwords", data={"label": "x", "form_token": token}, headers=own)
        assert reply.status_code == 403 and "load the page again" in reply.text, token
    assert "You have no app passwords yet" in browser.get("/account").text
    assert post_form(browser, "/account/app-passwords", label="x").status_code == 201


def test_without_sign_in_the_pages_say_so(running: Running) -> None:
    for path in ("/account/sign-in", "/account", "/auth/oidc/login", CALLBACK):
        reply = running.http.get(path)
        assert reply.status_code == 409 and "AUTH=off" in reply.json()["detail"], path
