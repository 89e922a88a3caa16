"""Forms sent by other sites' pages, names that are markup, replies that no identity provider sent."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

from tests.integration.conftest import PASSWORD
from tests.support.hostile import FORM, JSON, SQL, exchange, request, upload
from tests.support.hostile_scene import Scene, check_no_trace, check_refused, check_unchanged


def pages_and_their_forms(s: Scene) -> dict[str, bytes]:
    cookie = f"Cookie: mrseg_session={s.tokens['mallory']}"
    own, html = "Origin: http://localhost", "Accept: text/html"
    good = f"username=mallory&password={quote(PASSWORD)}".encode()
    elsewhere = {
        "another site": "Origin: https://evil.example",
        "nowhere": "Origin: null",
        "who knows where": "X-A: b",
        "a name that begins alike": "Origin: http://localhost.evil.example",
        "a name that ends alike": "Origin: http://evil-localhost",
        "another port": "Origin: http://localhost:8080",
        "another scheme": "Origin: https://localhost",
        "a site beside": "Sec-Fetch-Site: same-site",
        "a referrer alone": "Referer: http://localhost/account",
    }
    forms = {
        "/account/sign-in": good,
        "/account/sign-out": b"",
        "/account/app-passwords": b"label=Slicer",
        f"/account/app-passwords/{s.app_password}/revoke": b"",
    }
    found = {
        f"{path} from {what}": request("POST", path, cookie, origin, html, FORM, body=body)
        for path, body in forms.items()
        for what, origin in elsewhere.items()
    }
    page = s.server.http.get("/account", headers={"Cookie": cookie.partition(": ")[2]}).text
    (token,) = set(re.findall(r'name="form_token" value="(\w+)"', page))
    markup = "<script>alert(1)</script>"
    for name in (
        markup,
        '"><img src=x onerror=alert(1)>',
        "{{7*7}}",
        "{% raw %}",
        SQL[0],
        "a\0b",
        "a\r\nSet-Cookie: a=b",
        "x" * 5000,
    ):
        body = f"username={quote(name)}&password=x".encode()
        found[f"sign-in as {name[:30]!a}"] = request("POST", "/account/sign-in", own, html, FORM, body=body)
        found[f"app password for {name[:30]!a}"] = request(
            "POST",
            "/account/app-passwords",
            cookie,
            own,
            html,
            FORM,
            body=f"form_token={token}&label={quote(name + chr(7))}".encode(),
        )
    answers = ("", "?code=x&state=y", "?error=access_denied", f"?error={quote(markup)}&error_description={quote(markup)}",
               "?code=a&code=b&state=c", "?code=x&state=y&iss=https://evil.example", "?code=%0d%0aX-Injected:1&state=y")  # fmt: skip
    forged = base64.b64encode(
        b'{"_state_provider_y": {"data": {"redirect_uri": "https://evil.example"}, "exp": 9999999999}}'
    )
    for answer in answers:
        found[f"the provider's answer {answer}"] = request(
            "GET", f"/auth/oidc/callback{answer}", html, f"Cookie: mrseg_oidc={forged.decode()}.x.y"
        )
    found |= {
        "the way to a provider": request("GET", "/auth/oidc/login?redirect_uri=https://evil.example", html),
        "a page for a program": request("GET", "/account", s.by("robot"), html),
        "a page with a spoiled cookie, as a program": request("GET", "/account", "Cookie: mrseg_session=x"),
        "a path instead of an id": request("POST", "/account/app-passwords/..%2f..%2fetc/revoke", cookie, own, html, FORM, body=b""),
        "a page that is none": request("GET", f"/account/{quote(markup)}", cookie, html),
        "a style sheet's folder": request("GET", "/account/../../style.css", cookie, html),
        "a form as JSON": request("POST", "/account/sign-in", own, html, JSON, body=b'{"username": "root"}'),
        "a form of files": upload("POST", "/account/sign-in", own, html, name="a", content=b"x", field="username"),
    }  # fmt: skip
    return found


def test_pages_and_their_forms_refuse(scene: Scene) -> None:
    check_refused(scene, pages_and_their_forms(scene), 65)


def test_what_is_shown_on_a_page_is_text(scene: Scene) -> None:
    """Markup in the label of an app password is shown as text; another account's is neither revoked nor revealed."""
    authorization = {"Authorization": scene.by("rita").partition(": ")[2]}
    label = "<script>alert(1)</script>"
    assert (
        scene.server.http.post("/auth/app-passwords", headers=authorization, json={"label": label}).status_code == 201
    )
    shown = scene.server.http.get("/account", headers=authorization)
    assert shown.status_code == 200 and "&lt;script&gt;" in shown.text and "<script" not in shown.text
    assert "script-src" not in shown.headers["content-security-policy"]
    assert shown.headers["content-security-policy"].startswith("default-src 'none'")
    before = scene.state()
    path = f"/account/app-passwords/{scene.app_password}/revoke"
    (token,) = set(re.findall(r'name="form_token" value="(\w+)"', shown.text))
    body = f"form_token={token}".encode()
    for_another = request("POST", path, scene.by("rita"), "Origin: http://localhost", FORM, body=body)
    mine = exchange(scene.port, for_another)
    none = exchange(scene.port, for_another.replace(scene.app_password.encode(), b"cr-" + b"0" * 16))
    assert (mine.status, mine.body) == (none.status, none.body)
    check_unchanged(scene, before)


def test_no_trace_is_left(scene: Scene) -> None:
    check_no_trace(scene)
