"""People whom the hospital's identity provider knows under names that no account can have."""

from __future__ import annotations

import re
from html import unescape

import pytest

from mrseg_label.accounts import service as accounts
from mrseg_label.accounts.sign_in import SignIn
from mrseg_label.catalog.tables import Account, AuditEvent
from mrseg_label.catalog.types import Role
from mrseg_label.reports.accounts import read_accounts
from tests.integration.conftest import Running
from tests.support.browsers import READER, Browser, open_browser, post_form, sign_in, visible_text
from tests.support.identity_provider import IdentityProvider

ISSUER = "https://id.hospital.example/realms/x"


def account_of(served: Running, subject: str) -> Account:
    return next(row for row in accounts.list_accounts(served.catalog) if row.subject == subject)


@pytest.mark.parametrize(
    ("login", "called", "derived"),
    [
        ("p1", "o'connor", "oconnor"),
        ("p2", "HOSPITAL\\Müller", "muller"),
        ("p3", "Petra.Meier@hospital.example", "petra.meier@hospital.example"),
        ("p4", "Anna Maria <b>Huber</b> " + "von und zu " * 10, None),
        ("p5", "\N{GRINNING FACE}", "grinning"),
        ("p6", "", "p6-2"),  # no claim of this name; another claim has one, which p6 has here already
        ("p7", "import", "import-2"),
    ],
)
def test_everybody_gets_in(
    served: Running, hospital: IdentityProvider, browser: Browser, login: str, called: str, derived: str | None
) -> None:
    if login == "p6":
        accounts.add(served.catalog, "p6", Role.RADIOLOGIST, password="four words of a secret", actor="test")
    hospital.set_user(login, READER, called=called)
    assert sign_in(browser, hospital, login).status_code == 303
    row = account_of(served, f"{login}-id")
    assert row.name == (derived or row.name) and accounts.account_name(row.name) == row.name
    page = browser.get("/account")
    assert "<b>Huber" not in page.text and f"your name is {row.name}." in re.sub(r"\s+\.", ".", visible_text(page))
    assert row.provider_name is not None and row.provider_name in unescape(page.text)
    # Slicer signs in under the name that the page shows.
    found = re.search(
        r'<code class="secret">([^<]+)</code>', post_form(browser, "/account/app-passwords", label="x").text
    )
    assert found is not None
    form = {"username": row.name, "password": found[1], "grant_type": "password"}
    assert served.http.post("/auth/token", data=form).status_code == 200
    shown = {item.name: item.provider_name for item in read_accounts(served.catalog)}
    assert shown[row.name] == row.provider_name


def test_a_name_that_changes_at_the_provider_stays_the_same_account(
    served: Running, hospital: IdentityProvider, browser: Browser
) -> None:
    hospital.set_user("p10", READER, called="Maier, Ute")
    assert sign_in(browser, hospital, "p10").status_code == 303
    before = account_of(served, "p10-id")
    hospital.set_user("p10", READER, called="oconnor")  # which another person's account has
    with open_browser(served) as again:
        assert sign_in(again, hospital, "p10").status_code == 303
        assert f"called oconnor. On this server and in 3D Slicer your name is {before.name}" in visible_text(
            again.get("/account")
        )
    after = account_of(served, "p10-id")
    assert (after.name, after.provider_name) == (before.name, "oconnor")
    with served.catalog.read() as session:
        (event,) = session.query(AuditEvent).filter_by(action="account.provider-name", subject=before.name)
        assert event.detail == {"before": "Maier, Ute", "provider_name": "oconnor"}


def test_two_people_of_one_name_have_two_accounts(served: Running) -> None:
    people = SignIn(served.catalog, 1.0)
    for subject, name in (("a", "Björk"), ("b", "bjork"), ("c", "BJØRK"), ("b", "bjork")):
        people.sign_in_with_provider(ISSUER, subject, name, Role.RADIOLOGIST, "test")
    found = {row.subject: row.name for row in accounts.list_accounts(served.catalog) if row.issuer == ISSUER}
    assert found == {"a": "bjork", "b": "bjork-2", "c": "bjork-3"}


def test_accounts_from_before_stay_with_their_person(served: Running) -> None:
    """Rows as version 0.2.0 wrote them: bound to the identifier, without the provider's name."""
    with served.catalog.begin() as session:
        session.add(
            Account(name="old.hand", role=Role.RADIOLOGIST, issuer=f"{ISSUER}/", subject="old", created_by=ISSUER)
        )
    people = SignIn(served.catalog, 1.0)
    # The setting lost the slash at its end, and the person has another name by now.
    people.sign_in_with_provider(ISSUER, "old", "New Hand", Role.REVIEWER, "test")
    people.sign_in_with_provider(ISSUER, "another", "old.hand", Role.RADIOLOGIST, "test")
    found = {row.subject: row for row in accounts.list_accounts(served.catalog) if row.subject in ("old", "another")}
    assert (found["old"].name, found["old"].role, found["old"].provider_name) == ("old.hand", Role.REVIEWER, "New Hand")
    assert found["another"].name == "old.hand-2"
