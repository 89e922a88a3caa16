"""Accounts in both databases, with many requests at once: nothing is written twice or lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from mrseg_label.accounts import credentials, passwords, service, tokens
from mrseg_label.accounts.sign_in import SignIn
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.catalog.tables import AccessToken, Account, SignInAttempts
from mrseg_label.catalog.types import CredentialKind, Role
from mrseg_label.clock import now
from mrseg_label.errors import Conflict, InvalidInput, TooManyRequests, Unauthorized
from mrseg_label.workspace import Workspace

PASSWORD = "four words of a secret"


@pytest.fixture
def catalog(tmp_path: Path, database_settings: str) -> Iterator[Catalog]:
    Workspace.init(tmp_path / "ws", settings_text=database_settings)
    opened = open_workspace(tmp_path / "ws").catalog
    service.add(opened, "ada", Role.RADIOLOGIST, password=PASSWORD, actor="test")
    yield opened
    opened.close()


def at_once(count: int, act: Callable[[], object]) -> Counter[str]:
    """Count the outcomes of ``count`` calls that start together."""
    start = threading.Barrier(count)

    def call(_: int) -> str:
        start.wait()
        try:
            act()
        except (TooManyRequests, Unauthorized, Conflict, InvalidInput) as error:
            return type(error).__name__
        return "done"

    with ThreadPoolExecutor(count) as pool:
        return Counter(pool.map(call, range(count)))


def test_simultaneous_guesses_are_all_counted(catalog: Catalog) -> None:
    sign_in = SignIn(catalog, 1.0)
    # Too long to be hashed: hashes of 16 would take longer than the first wait, after which one more guess is allowed.
    outcomes = at_once(16, lambda: sign_in.sign_in_with_password("ada", "a wrong password" * 40, "10.0.0.1"))
    assert outcomes["Unauthorized"] == 5
    assert outcomes["TooManyRequests"] == 11
    # From elsewhere the right password still opens, and forgets what others failed at.
    assert sign_in.identify(sign_in.sign_in_with_password("ada", PASSWORD, "10.0.0.2")).name == "ada"


def test_failures_of_unknown_names_are_counted_as_well(catalog: Catalog) -> None:
    sign_in = SignIn(catalog, 1.0)
    for _ in range(5):
        with pytest.raises(Unauthorized, match="wrong name or password"):
            sign_in.sign_in_with_password("nobody", "a wrong password", "10.0.0.1")
    with pytest.raises(TooManyRequests):
        sign_in.sign_in_with_password("nobody", "a wrong password", "10.0.0.1")


def test_a_peer_that_tries_many_names_has_to_wait(catalog: Catalog) -> None:
    sign_in = SignIn(catalog, 1.0)
    outcomes: Counter[str] = Counter()
    for number in range(60):
        try:
            sign_in.sign_in_with_password(f"name{number}", "a wrong password" * 40, "10.0.0.9")  # too long to be hashed
        except (Unauthorized, TooManyRequests) as error:
            outcomes[type(error).__name__] += 1
    assert outcomes == {"Unauthorized": 50, "TooManyRequests": 10}


def test_a_network_is_one_peer_with_ipv6(catalog: Catalog) -> None:
    sign_in = SignIn(catalog, 1.0)
    outcomes: Counter[str] = Counter()
    for number in range(8):
        try:
            sign_in.sign_in_with_password("ada", "a wrong password" * 40, f"2001:db8:1:2::{number:x}")
        except (Unauthorized, TooManyRequests) as error:
            outcomes[type(error).__name__] += 1
    assert outcomes == {"Unauthorized": 5, "TooManyRequests": 3}
    assert sign_in.sign_in_with_password("ada", PASSWORD, "2001:db8:1:3::1")
    for number in range(5):
        with pytest.raises(Unauthorized):
            sign_in.sign_in_with_password(
                "bob", "a wrong password" * 40, "10.0.0.3" if number % 2 else "::ffff:10.0.0.3"
            )
    with pytest.raises(TooManyRequests):
        sign_in.sign_in_with_password("bob", "a wrong password" * 40, "10.0.0.3")


def test_two_admins_cannot_disable_each_other_at_once(catalog: Catalog) -> None:
    for name in ("chief", "deputy"):
        service.add(catalog, name, Role.ADMIN, password=PASSWORD, actor="test")
    names = iter(("chief", "deputy"))
    outcomes = at_once(2, lambda: service.disable(catalog, next(names), actor="test"))
    assert outcomes == {"done": 1, "Conflict": 1}
    assert sum(a.role is Role.ADMIN and a.disabled_at is None for a in service.list_accounts(catalog)) == 1


def test_the_last_admin_cannot_be_removed(catalog: Catalog) -> None:
    service.add(catalog, "chief", Role.ADMIN, password=PASSWORD, actor="test")
    with pytest.raises(Conflict, match="last admin"):
        service.disable(catalog, "chief", actor="test")
    with pytest.raises(Conflict, match="last admin"):
        service.set_role(catalog, "chief", Role.REVIEWER, actor="test")


def test_the_right_password_counts_as_no_failure(catalog: Catalog) -> None:
    sign_in = SignIn(catalog, 1.0)
    for _ in range(12):  # Slicer signs in again and again
        sign_in.sign_in_with_password("ada", PASSWORD, "10.0.0.1")
    with catalog.read() as session:
        assert all(row.failures == 0 for row in session.query(SignInAttempts))
        assert session.query(AccessToken).count() == 12


def test_a_name_has_one_account_and_a_workspace_one_secret(catalog: Catalog) -> None:
    outcomes = at_once(
        6, lambda: service.add(catalog, "Bob", Role.REVIEWER, password="other words of a secret", actor="test")
    )
    assert outcomes == {"done": 1, "Conflict": 5}
    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(lambda _: tokens.signing_secret(catalog), range(6)))) == 1


def test_an_account_of_the_identity_provider(catalog: Catalog) -> None:
    sign_in = SignIn(catalog, 1.0)
    issuer = "https://login.hospital.example"
    token = sign_in.sign_in_with_provider(
        issuer, "subject-1", "Eve.Example@hospital.example", Role.REVIEWER, "10.0.0.1"
    )
    assert sign_in.identify(token).name == "eve.example@hospital.example"
    # The provider's own name for the person counts, whatever the person is called by now; the role is the present one.
    again = sign_in.sign_in_with_provider(issuer, "subject-1", "eve.married", Role.RADIOLOGIST, "10.0.0.1")
    assert (sign_in.identify(again).name, sign_in.identify(again).role) == (
        "eve.example@hospital.example",
        Role.RADIOLOGIST,
    )
    # A name opens nobody else's account: neither a local one, nor that of another provider's user.
    other = sign_in.sign_in_with_provider(issuer, "subject-2", "ada", Role.ADMIN, "10.0.0.1")
    assert sign_in.identify(other).name == "ada-2"
    other = sign_in.sign_in_with_provider(
        "https://other.example", "subject-1", "eve.example@hospital.example", Role.ADMIN, "x"
    )
    assert sign_in.identify(other).name == "eve.example@hospital.example-2"
    with pytest.raises(Unauthorized, match="wrong name"):
        sign_in.sign_in_with_password("eve.example@hospital.example", "", "10.0.0.1")
    _, secret = credentials.make(
        catalog, "eve.example@hospital.example", CredentialKind.APP_PASSWORD, "Slicer", actor="test"
    )
    assert sign_in.identify(sign_in.sign_in_with_password("Eve.Example@hospital.example", secret.upper(), "x"))
    with catalog.begin() as session:
        eve = session.get_one(Account, "eve.example@hospital.example")
        eve.provider_seen_at = now() - timedelta(days=31)
    with pytest.raises(Unauthorized, match="has not signed in through the hospital's identity provider for 30 days"):
        sign_in.sign_in_with_password("eve.example@hospital.example", secret, "x")
    sign_in.sign_in_with_provider(issuer, "subject-1", "eve", Role.RADIOLOGIST, "10.0.0.1")
    assert sign_in.sign_in_with_password("eve.example@hospital.example", secret, "x")
    with pytest.raises(InvalidInput, match="create an app password"):
        service.set_password(catalog, "eve.example@hospital.example", PASSWORD, actor="test")
    service.disable(catalog, "eve.example@hospital.example", actor="test")
    with pytest.raises(Unauthorized, match="disabled"):
        sign_in.sign_in_with_provider(issuer, "subject-1", "eve", Role.ADMIN, "10.0.0.1")
    with catalog.read() as session:
        assert session.query(Account).count() == 4


def test_first_sign_ins_at_once_make_one_account_for_each_person(catalog: Catalog) -> None:
    sign_in = SignIn(catalog, 1.0)
    subjects = iter(["1", "2", "1", "2"])
    outcomes = at_once(
        4, lambda: sign_in.sign_in_with_provider("https://i", next(subjects), "o'hara", Role.REVIEWER, "x")
    )
    assert outcomes == {"done": 4}
    found = sorted(row.name for row in service.list_accounts(catalog) if row.issuer is not None)
    assert found == ["ohara", "ohara-2"]


def test_a_first_sign_in_in_two_windows_makes_one_account(catalog: Catalog) -> None:
    sign_in = SignIn(catalog, 1.0)
    outcomes = at_once(
        4,
        lambda: sign_in.sign_in_with_provider("https://login.hospital.example", "s", "eve", Role.REVIEWER, "10.0.0.1"),
    )
    assert outcomes == {"done": 4}
    with catalog.read() as session:
        assert session.query(Account).filter_by(name="eve").count() == 1


def test_a_label_that_no_database_takes_is_refused(catalog: Catalog) -> None:
    for label in ("", " ", "a\0b", "x" * 200, "a\nb"):
        with pytest.raises(InvalidInput, match="printable"):
            credentials.make(catalog, "ada", CredentialKind.APP_PASSWORD, label, actor="test")
    for number in range(credentials.MAX_CREDENTIALS):
        credentials.make(catalog, "ada", CredentialKind.APP_PASSWORD, f"desk {number}", actor="test")
    with pytest.raises(Conflict, match="revoke"):
        credentials.make(catalog, "ada", CredentialKind.APP_PASSWORD, "one more", actor="test")


def test_changes_during_the_verification_of_a_password_count(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in = SignIn(catalog, 1.0)

    def meanwhile(act: Callable[[], None]) -> None:
        """The real check, during which something else happens."""

        def slow(password: str, stored: str | None) -> bool:
            act()
            return passwords.verify(password, stored)

        monkeypatch.setattr("mrseg_label.accounts.sign_in.verify", slow)

    meanwhile(lambda: service.set_password(catalog, "ada", "a new secret of words", actor="test"))
    with pytest.raises(Unauthorized, match="wrong name or password"):
        sign_in.sign_in_with_password("ada", PASSWORD, "10.0.0.1")
    meanwhile(lambda: service.disable(catalog, "ada", actor="test"))
    with pytest.raises(Unauthorized, match="disabled"):
        sign_in.sign_in_with_password("ada", "a new secret of words", "10.0.0.1")
    with catalog.read() as session:
        assert session.query(AccessToken).count() == 0


def test_a_new_password_and_disabling_end_app_passwords_and_tokens(catalog: Catalog) -> None:
    sign_in = SignIn(catalog, 1.0)

    def app_password() -> str:
        return credentials.make(catalog, "ada", CredentialKind.APP_PASSWORD, "Slicer", actor="test")[1]

    def change_password() -> None:
        service.set_password(catalog, "ada", "a new secret of words", actor="test")

    def disable_and_enable() -> None:
        service.disable(catalog, "ada", actor="test")
        service.enable(catalog, "ada", actor="test")

    for end in (change_password, disable_and_enable):
        secret = app_password()
        token = sign_in.sign_in_with_password("ada", secret, "10.0.0.1")
        end()
        with pytest.raises(Unauthorized):
            sign_in.identify(token)
        with pytest.raises(Unauthorized):
            sign_in.sign_in_with_password("ada", secret, "10.0.0.1")


def test_the_databases_clock_may_be_ahead(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL may run on another machine, whose clock decides how long a token is valid."""
    sign_in = SignIn(catalog, 1.0)
    with monkeypatch.context() as ahead:
        ahead.setattr(catalog, "now", lambda _: now() + timedelta(seconds=90))
        token = sign_in.sign_in_with_password("ada", PASSWORD, "10.0.0.1")
    assert sign_in.identify(token).name == "ada"


def test_a_password_that_is_not_valid_text_is_wrong(catalog: Catalog) -> None:
    with pytest.raises(Unauthorized, match="wrong name or password"):
        SignIn(catalog, 1.0).sign_in_with_password("ada", "\ud800aaaaaaaaaaaa", "10.0.0.1")
