"""A person's browser at the pages of the server and of the hospital's identity provider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.integration.conftest import Running
from tests.support.identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider

READER, REVIEWER, ADMIN = "monailabel-annotator", "monailabel-reviewer", "monailabel-admin"
CALLBACK = "/auth/oidc/callback"
Browser = httpx.Client


def settings_text(issuer: str) -> str:
    """Text for ``mrseg.toml`` that names the provider."""
    return (
        f'AUTH = "on"\nWORKERS = 0\nOIDC_ISSUER = "{issuer}"\nOIDC_CLIENT_ID = "{CLIENT_ID}"\n'
        f'OIDC_CLIENT_SECRET = "{CLIENT_SECRET}"\nOIDC_SCOPES = "openid profile groups"\nOIDC_ROLE_CLAIM = "groups"\n'
    )


@contextmanager
def open_browser(served: Running) -> Iterator[Browser]:
    """Open a browser without cookies at the pages of a server."""
    with httpx.Client(base_url=served.url, timeout=60, trust_env=False, headers={"Accept": "text/html"}) as made:
        yield made


def sign_in_at_provider(browser: Browser, hospital: IdentityProvider, name: str, answer: str = "accept") -> str:
    """Go to the provider and sign in there; returns the address to which it sends the browser back."""
    sent = browser.get("/auth/oidc/login")
    assert sent.status_code == 302
    return hospital.sign_in(browser, sent.headers["location"], name, answer)


def sign_in(browser: Browser, hospital: IdentityProvider, name: str) -> httpx.Response:
    """Sign in through the provider; returns the server's reply when the browser comes back."""
    return browser.get(sign_in_at_provider(browser, hospital, name))


def visible_text(reply: httpx.Response) -> str:
    """Return the text of a page without its markup."""
    html = re.sub(r"<style>.*?</style>|<[^>]*>", " ", reply.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html).replace("&#39;", "'")


def form_token(browser: Browser, page: str = "/account") -> str:
    """Return the token of the forms on a page; empty for somebody who has not signed in."""
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', browser.get(page).text)
    return found[1] if found else ""


def post_form(browser: Browser, path: str, **fields: str) -> httpx.Response:
    """Send a form as a browser does from a page of the server."""
    if not path.startswith("/account/sign-in"):
        fields = {"form_token": form_token(browser), **fields}
    return browser.post(path, data=fields, headers={"Origin": str(browser.base_url).rstrip("/")})
