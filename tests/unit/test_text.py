"""Names and tables that are not UTF-8 become text."""

from __future__ import annotations

import os

import pytest

from mrseg_label.text import decode_text, duration, is_foreign, listed, readable


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"M\xfcller", "Müller"),
        ("Müller/scan 1".encode(), "Müller/scan 1"),
        ("ä/".encode() + b"\xe4\x80", "ä/ä€"),
        (b"a\x81b", "a\\x81b"),
        (b"plain", "plain"),
    ],
)
def test_a_file_name_is_readable(name: bytes, text: str) -> None:
    shown = readable(os.fsdecode(name))
    assert shown == text and shown.encode()
    assert readable(shown) == shown


def test_half_of_a_pair_is_readable_too() -> None:
    assert readable("a\ud83d") == "a\\ud83d"


def test_the_encoding_of_a_table() -> None:
    text = "participant,sex\r\nMüller,F\r\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"):
        assert decode_text(text.encode(encoding)) == text
        assert is_foreign(text.encode(encoding)) == (encoding in ("cp1252", "latin-1"))


@pytest.mark.parametrize(
    ("count", "text"), [(0, ""), (1, "0"), (3, "0, 1, 2"), (4, "0, 1, 2 and 1 more"), (2003, "0, 1, 2 and 2,000 more")]
)
def test_a_list_that_is_cut_says_how_much_it_leaves_out(count: int, text: str) -> None:
    assert listed(range(count), 3) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min"), (90, "1 min 30 s"), (5820, "1 h 37 min"), (3605, "1 h"), (200_000, "2 d 7 h")],
)
def test_a_duration_has_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
