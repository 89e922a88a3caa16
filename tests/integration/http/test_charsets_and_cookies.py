"""Charsets that a client declares, and cookies of other applications."""

from __future__ import annotations

import pytest

from mrseg_label.catalog.types import Role
from tests.integration.conftest import PASSWORD, Guarded


@pytest.mark.parametrize(
    "charset", ["punycode", "unicode_escape", "utf-7", "latin-1", '"idna"', "utf-8; charset=punycode"]
)
def test_no_client_chooses_the_codec_that_runs_in_the_server(guarded: Guarded, charset: str) -> None:
    """A megabyte of punycode kept the event loop for 28 s."""
    for kind in ("multipart/form-data; boundary=b", "application/x-www-form-urlencoded"):
        field = b'--b\r\nContent-Disposition: form-data; name="username"\r\n\r\n' + b"a" * 900_000 + b"\r\n--b--\r\n"
        headers = {"Content-Type": f"{kind}; charset={charset}"}
        assert guarded.http.post("/auth/token", content=field, headers=headers).status_code == 415
    good = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    form = f"username=radiologist&password={PASSWORD}".replace(" ", "+").encode()
    assert guarded.http.post("/auth/token", content=form, headers=good).status_code == 200


def test_another_applications_cookies_do_not_matter(guarded: Guarded) -> None:
    token = guarded.tokens[Role.RADIOLOGIST]
    for cookie in (
        f"mrseg_session={token}",
        f'odd="x;y; a b=c; ; mrseg_session={token}',
        f"a=b;mrseg_session={token};c=d",
    ):
        assert guarded.http.get("/info/", headers={"Cookie": cookie}).status_code == 200
    for cookie in ('a="' + '\\"' * 20_000 + '"', "mrseg_session=", "mrseg_session=x", "xmrseg_session=" + token):
        assert guarded.http.get("/info/", headers={"Cookie": cookie}).status_code == 401
    large = {"Cookie": 'a="' + '\\"' * 20_000 + '"'}
    assert guarded.http.get("/auth/oidc/login", headers=large).status_code == 431
    changing = {"Cookie": f"mrseg_session={token}"}
    assert guarded.http.post("/activelearning/random", json={}, headers=changing).status_code == 403
    foreign = changing | {"Origin": "https://evil.example"}
    assert guarded.http.post("/activelearning/random", json={}, headers=foreign).status_code == 403
