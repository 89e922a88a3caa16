"""Requests of browsers: those of the server's own pages, and those that want a page."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from mrseg_label.errors import Forbidden
from mrseg_label.http.browsers import accepts_html, check_same_origin, is_same_origin

HOST = {"host": "mrseg.hospital.example"}


@pytest.mark.parametrize(
    ("scheme", "headers"),
    [
        ("https", {"origin": "https://mrseg.hospital.example"}),
        ("http", {"origin": "http://mrseg.hospital.example"}),
        ("https", {"origin": "https://MRSEG.hospital.example"}),
        ("https", {"sec-fetch-site": "same-origin"}),
        # The browser itself sets Sec-Fetch-Site, and behind a proxy only this header knows that the page is ours.
        ("http", {"sec-fetch-site": "same-origin", "origin": "https://mrseg.hospital.example"}),
    ],
)
def test_a_page_of_this_server_is_recognised(scheme: str, headers: dict[str, str]) -> None:
    assert is_same_origin(scheme, Headers(HOST | headers))
    check_same_origin(scheme, Headers(HOST | headers))


@pytest.mark.parametrize(
    ("scheme", "headers"),
    [
        ("https", {}),
        ("https", {"origin": "null"}),
        ("https", {"origin": "https://evil.example"}),
        ("https", {"origin": "http://mrseg.hospital.example"}),
        ("https", {"origin": "https://mrseg.hospital.example:8443"}),
        ("https", {"origin": "https://mrseg.hospital.example.evil.example"}),
        ("https", {"referer": "https://mrseg.hospital.example/account"}),
        ("https", {"sec-fetch-site": "same-site", "origin": "https://mrseg.hospital.example"}),
        ("https", {"sec-fetch-site": "cross-site", "origin": "https://mrseg.hospital.example"}),
        ("https", {"sec-fetch-site": "none"}),
        ("https", {"sec-fetch-site": ""}),
    ],
)
def test_any_other_page_is_refused(scheme: str, headers: dict[str, str]) -> None:
    assert not is_same_origin(scheme, Headers(HOST | headers))
    with pytest.raises(Forbidden, match="another site"):
        check_same_origin(scheme, Headers(HOST | headers))


def test_behind_a_proxy_a_page_has_the_public_origin() -> None:
    behind = {"host": "127.0.0.1:8000", "origin": "https://pacs.hospital.example"}
    assert is_same_origin("http", Headers(behind), "https://pacs.hospital.example")
    assert not is_same_origin("http", Headers(behind), "https://mrseg.hospital.example")
    assert not is_same_origin(
        "http", Headers(behind | {"sec-fetch-site": "cross-site"}), "https://pacs.hospital.example"
    )
    assert not is_same_origin("http", Headers({"host": "127.0.0.1:8000"}), "")
    assert not is_same_origin("http", Headers({"host": "127.0.0.1:8000", "origin": ""}), "")


def test_browsers_want_a_page_and_programs_do_not() -> None:
    assert accepts_html(Headers({"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}))
    assert not accepts_html(Headers({"accept": "application/json"}))
    assert not accepts_html(Headers({"accept": "*/*"}))
    assert not accepts_html(Headers({}))
