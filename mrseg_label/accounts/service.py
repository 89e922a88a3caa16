"""Accounts: made, changed and disabled by an admin. Nothing is deleted: names stand in the history of annotations."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.accounts.passwords import hash_password
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import accounts as rows
from mrseg_label.catalog.queries import assignments, audit
from mrseg_label.catalog.tables import Account
from mrseg_label.catalog.types import ANONYMOUS, DEFAULT_CLIENT, IMPORT_AUTHOR, UNKNOWN, Role
from mrseg_label.errors import Conflict, InvalidInput, NotFound

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
# What somebody without a name, and the program itself, are called in histories.
RESERVED = frozenset({ANONYMOUS, DEFAULT_CLIENT, IMPORT_AUTHOR, UNKNOWN, "local", "monailabel"})


def account_name(text: str) -> str:
    """The form in which an account's name is kept: lower case, so that Anna and anna are one.

    Raises
    ------
    InvalidInput
        It has characters that are not allowed.
    """
    name = text.strip().lower()
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise InvalidInput(
            f"an account's name has 1 to 64 letters a to z, digits and . _ @ + -, and is none of {', '.join(sorted(RESERVED))}; "
            f"{text[:80]!r} cannot be used"
        )
    return name


def add(catalog: Catalog, name: str, role: Role, *, password: str | None, actor: str) -> Account:
    """Make an account.

    Parameters
    ----------
    password : None for a program, which has keys alone.

    Raises
    ------
    InvalidInput
        The name or the password cannot be used.
    Conflict
        There is an account of that name.
    """
    name = account_name(name)
    if role is Role.SERVICE and password is not None:
        raise InvalidInput("a service account has keys and no password; make one with: mrseg-label users key NAME")
    if role is not Role.SERVICE and password is None:
        raise InvalidInput(f"an account with the role {role} needs a password")
    hashed = None if password is None else hash_password(password, name)
    try:
        with catalog.begin() as session:
            if rows.account(session, name) is not None:
                raise Conflict(f"there is an account {name} already")
            made = Account(name=name, role=role, password_hash=hashed, created_by=actor)
            session.add(made)
            session.flush()
            audit.record(session, actor, "account.add", name, role=str(role))
            return made
    except IntegrityError as error:
        raise Conflict(f"there is an account {name} already") from error


def listing(catalog: Catalog) -> Sequence[Account]:
    """All accounts, by name."""
    with catalog.read() as session:
        return rows.accounts(session)


def set_password(catalog: Catalog, name: str, password: str, *, actor: str) -> None:
    """Give an account a new password; all that it signed in with before ends: tokens, tickets, app passwords.

    Raises
    ------
    NotFound
        There is no such account.
    InvalidInput
        The password cannot be used, or the account signs in otherwise.
    """
    name = account_name(name)
    with catalog.read() as session:
        found = get(session, name)
    if found.role is Role.SERVICE:
        raise InvalidInput(f"{name} is a service account: it has keys and no password")
    if found.issuer is not None:
        raise InvalidInput(f"{name} signs in through {found.issuer} and has no password here; make an app password")
    hashed = hash_password(password, name)
    with catalog.begin() as session:
        rows.lock(session, name).password_hash = hashed
        _close(catalog, session, name)
        rows.revoke_credentials(session, name, catalog.now(session))
        audit.record(session, actor, "account.password", name)


def set_role(catalog: Catalog, name: str, role: Role, *, actor: str) -> None:
    """Change an account's role; it holds from the next request on.

    Raises
    ------
    NotFound
        There is no such account.
    Conflict
        It is the last admin, or a person would become a program or the other way round.
    """
    with catalog.begin() as session:
        found = get(session, account_name(name))
        if (found.role is Role.SERVICE) != (role is Role.SERVICE):
            raise Conflict(f"{found.name} is a {found.role} account: people and programs have accounts of their own")
        if role is not Role.ADMIN:
            _not_the_last_admin(session, found)
        audit.record(session, actor, "account.role", found.name, before=str(found.role), role=str(role))
        found.role = role


def disable(catalog: Catalog, name: str, *, actor: str) -> None:
    """Let an account in no more: its tokens, tickets, keys and app passwords end at once, and for good.

    Its cases go back to the others.

    Raises
    ------
    NotFound
        There is no such account.
    Conflict
        It is disabled already, or it is the last admin.
    """
    with catalog.begin() as session:
        found = get(session, account_name(name))
        if found.disabled_at is not None:
            raise Conflict(f"{found.name} was disabled already, by {found.disabled_by}")
        _not_the_last_admin(session, found)
        moment = catalog.now(session)
        found.disabled_at, found.disabled_by = moment, actor
        _close(catalog, session, found.name)
        rows.revoke_credentials(session, found.name, moment)
        audit.record(session, actor, "account.disable", found.name)


def enable(catalog: Catalog, name: str, *, actor: str) -> None:
    """Let an account in again.

    Raises
    ------
    NotFound
        There is no such account.
    Conflict
        It is not disabled.
    """
    with catalog.begin() as session:
        found = get(session, account_name(name))
        if found.disabled_at is None:
            raise Conflict(f"{found.name} is not disabled")
        found.disabled_at = found.disabled_by = None
        audit.record(session, actor, "account.enable", found.name)


def sign_out(catalog: Catalog, name: str, *, actor: str) -> None:
    """End all tokens and tickets of an account; app passwords and keys stay.

    Raises
    ------
    NotFound
        There is no such account.
    """
    with catalog.begin() as session:
        found = get(session, account_name(name))
        _close(catalog, session, found.name)
        audit.record(session, actor, "account.sign-out", found.name)


def get(session: Session, name: str) -> Account:
    """An account by its name as it is kept. Raises :class:`NotFound`."""
    found = rows.account(session, name)
    if found is None:
        raise NotFound(f"there is no account {name[:80]!r}; see mrseg-label users list")
    return found


def _close(catalog: Catalog, session: Session, name: str) -> None:
    """End the tokens and tickets of an account; what is submitted later for such a case is kept beside others'."""
    moment = catalog.now(session)
    rows.revoke_tokens(session, name, moment)
    assignments.return_all_of_account(session, name, moment)


def _not_the_last_admin(session: Session, account: Account) -> None:
    if account.role is Role.ADMIN and account.disabled_at is None and rows.active_admins(session) == 1:
        raise Conflict(f"{account.name} is the last admin; make another one first")
