"""Names of accounts that are derived from those of an identity provider."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrseg_label.accounts.derived_names import MAX_PROVIDER_NAME, derived_names, printable
from mrseg_label.accounts.service import account_name


def first(name: str, subject: str = "1") -> str:
    return next(derived_names(name, "https://id.example", subject))


@pytest.mark.parametrize(
    ("given_name", "derived"),
    [
        ("ada", "ada"),
        ("Ada.King@Hospital.example", "ada.king@hospital.example"),
        ("ada-", "ada-"),  # what an account can have stays as it is
        ("o'connor", "oconnor"),
        ("O’Connor", "oconnor"),
        ("müller", "muller"),
        ("HOSPITAL\\müller", "muller"),
        ("HOSPITAL\\ada\\", "ada"),
        ("Anna Maria  Huber", "anna.maria.huber"),
        ("Ødegård, Åse (extern)", "odegard-.ase.-extern"),
        ("Иванов", "ivanov"),
        ("王小明", "wangxiaoming"),
        ("ada/admin#EXT#@x", "ada-admin-ext-@x"),
        ("_ada_", "ada"),
        ("x" * 100, "x" * 64),
        ("unknown", "unknown-2"),  # reserved
    ],
)
def test_names_are_derived_and_can_be_recognised(given_name: str, derived: str) -> None:
    assert first(given_name) == derived == account_name(derived)


@pytest.mark.parametrize("name", ["", "-", "'", "\\", "\u3000", "\U000e0100"])
def test_without_a_usable_name_the_identifier_decides(name: str) -> None:
    assert first(name) == first("") == first(name, "1") != first(name, "2")
    assert first(name).startswith("user-")


def test_names_that_are_taken_get_a_number() -> None:
    assert list(islice(derived_names("o'connor", "i", "1"), 3)) == ["oconnor", "oconnor-2", "oconnor-3"]
    assert [len(name) for name in islice(derived_names("é" * 90, "i", "1"), 12)] == [64] * 12


@given(st.text(max_size=120), st.text(max_size=20))
@settings(max_examples=200, deadline=None)
def test_every_name_is_legal_stable_and_unique(name: str, subject: str) -> None:
    shown = printable(name)
    assert len(shown) <= MAX_PROVIDER_NAME and (shown.isprintable() or not shown) and "\n" not in shown
    shown.encode()
    derived = list(islice(derived_names(shown, "i", subject), 5))
    assert derived == list(islice(derived_names(shown, "i", subject), 5))
    assert all(account_name(item) == item for item in derived)
    assert len(set(derived)) >= 4  # the first may come twice
