"""Create, change and disable accounts. None is deleted, since annotations and the audit trail refer to their names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.accounts.passwords import hash_password
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import accounts as rows
from mrseg_label.catalog.queries import assignments, audit
from mrseg_label.catalog.reader import Reader
from mrseg_label.catalog.tables import Account
from mrseg_label.catalog.types import (
    ANONYMOUS,
    DEFAULT_CLIENT,
    IMPORT_AUTHOR,
    LOCAL,
    PROGRAM,
    UNKNOWN,
    CredentialKind,
    Role,
)
from mrseg_label.errors import Conflict, InvalidInput, NotFound

MAX_NAME_LENGTH = 64
_NAME = re.compile(rf"[a-z0-9][a-z0-9._@+-]{{0,{MAX_NAME_LENGTH - 1}}}")
# The audit trail and annotations use these names for requests without an account and for the program itself.
RESERVED = frozenset({ANONYMOUS, DEFAULT_CLIENT, IMPORT_AUTHOR, UNKNOWN, LOCAL, PROGRAM, "monailabel"})


def account_name(text: str) -> str:
    """Return the form in which the name of an account is stored: lower case, so that Anna and anna are the same.

    Raises
    ------
    InvalidInput
        The name is reserved, too long, or has other characters than those permitted.
    """
    name = text.strip().lower()
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise InvalidInput(
            f"{text[:80]!r} cannot be the name of an account: use 1 to 64 of a to z, digits and . _ @ + -, "
            f"but none of {', '.join(sorted(RESERVED))}"
        )
    return name


def add(catalog: Catalog, name: str, role: Role, *, password: str | None, actor: str) -> Account:
    """Create an account.

    Parameters
    ----------
    password : None for the role service, since programs only have API keys.

    Raises
    ------
    InvalidInput
        The name or the password cannot be used.
    Conflict
        The name is taken.
    """
    name = account_name(name)
    if role is Role.SERVICE and password is not None:
        raise InvalidInput(
            f"{name} is a service account, which has API keys and no password; create one with: mrseg-label users key {name}"
        )
    if role is not Role.SERVICE and password is None:
        raise InvalidInput(f"an account with the role {role} needs a password")
    hashed = None if password is None else hash_password(password, name)
    try:
        with catalog.begin() as session:
            if rows.account(session, name) is not None:
                raise Conflict(f"the account {name} already exists")
            made = Account(name=name, role=role, password_hash=hashed, created_by=actor)
            session.add(made)
            session.flush()
            audit.record(session, actor, "account.add", name, role=str(role))
            return made
    except IntegrityError as error:
        raise Conflict(f"the account {name} already exists") from error


def list_accounts(catalog: Catalog) -> Sequence[Account]:
    """List all accounts, by name."""
    with catalog.read() as session:
        return rows.accounts(session)


def set_password(catalog: Catalog, name: str, password: str, *, actor: str) -> None:
    """Change the password of an account; its tokens, tickets and app passwords end.

    Raises
    ------
    NotFound
        There is no such account.
    InvalidInput
        The password cannot be used, or the account signs in without a password of this server.
    """
    name = account_name(name)
    with catalog.read() as session:
        found = get(session, name)
    if found.role is Role.SERVICE:
        raise InvalidInput(f"{name} is a service account, which has API keys and no password")
    if found.issuer is not None:
        raise InvalidInput(
            f"{name} signs in through {found.issuer} and has no password here; create an app password with: mrseg-label users app-password {name}"
        )
    hashed = hash_password(password, name)
    with catalog.begin() as session:
        rows.lock(session, name).password_hash = hashed
        _end_sign_ins(catalog, session, name)
        rows.revoke_credentials(session, name, catalog.now(session))
        audit.record(session, actor, "account.password", name)


def set_role(catalog: Catalog, name: str, role: Role, *, actor: str) -> None:
    """Change the role of an account, with effect from the next request; its addresses for reviews end.

    Raises
    ------
    NotFound
        There is no such account.
    Conflict
        The account is the last admin, or a person's account would become a program's or the other way round.
    """
    with catalog.begin() as session:
        found = get(session, account_name(name))
        if (found.role is Role.SERVICE) != (role is Role.SERVICE):
            raise Conflict(
                f"{found.name} has the role {found.role}: an account is for a person or for a program, and cannot change between them"
            )
        if role is not Role.ADMIN:
            _check_not_last_admin(session, found)
        audit.record(session, actor, "account.role", found.name, before=str(found.role), role=str(role))
        found.role = role
        rows.revoke_credentials(session, found.name, catalog.now(session), CredentialKind.REVIEW_ADDRESS)


def disable(catalog: Catalog, name: str, *, actor: str) -> None:
    """Disable an account: its tokens, tickets, API keys and app passwords end at once and for good.

    The cases assigned to it are returned to the queue.

    Raises
    ------
    NotFound
        There is no such account.
    Conflict
        The account is already disabled, or it is the last admin.
    """
    with catalog.begin() as session:
        found = get(session, account_name(name))
        if found.disabled_at is not None:
            raise Conflict(f"{found.name} is already disabled (by {found.disabled_by})")
        _check_not_last_admin(session, found)
        moment = catalog.now(session)
        found.disabled_at, found.disabled_by = moment, actor
        _end_sign_ins(catalog, session, found.name)
        rows.revoke_credentials(session, found.name, moment)
        audit.record(session, actor, "account.disable", found.name)


def enable(catalog: Catalog, name: str, *, actor: str) -> None:
    """Enable a disabled account.

    Raises
    ------
    NotFound
        There is no such account.
    Conflict
        The account is not disabled.
    """
    with catalog.begin() as session:
        found = get(session, account_name(name))
        if found.disabled_at is None:
            raise Conflict(f"{found.name} is not disabled")
        found.disabled_at = found.disabled_by = None
        audit.record(session, actor, "account.enable", found.name)


def sign_out(catalog: Catalog, name: str, *, actor: str) -> None:
    """End all tokens, tickets and addresses for reviews of an account; its app passwords and API keys keep working.

    Raises
    ------
    NotFound
        There is no such account.
    """
    with catalog.begin() as session:
        found = get(session, account_name(name))
        _end_sign_ins(catalog, session, found.name)
        audit.record(session, actor, "account.sign-out", found.name)


def get(session: Session, name: str) -> Account:
    """Return an account by its stored name. Raises :class:`NotFound`."""
    found = rows.account(session, name)
    if found is None:
        raise NotFound(f"no account {name[:80]!r} exists; see mrseg-label users list")
    return found


def reader_of(catalog: Catalog, name: str) -> Reader:
    """Return the reader of an account, to whom a case can be assigned.

    Raises
    ------
    InvalidInput, NotFound
        There is no such account.
    Conflict
        It is disabled or a program's, so that the case would reach nobody.
    """
    with catalog.read() as session:
        account = get(session, account_name(name))
    if account.disabled_at is not None:
        raise Conflict(f"the account {account.name} is disabled, so nobody would get the case")
    if account.role is Role.SERVICE:
        raise Conflict(f"{account.name} is the account of a program, which annotates nothing; name a reader")
    return Reader.signed_in(account.name, account.role)


def _end_sign_ins(catalog: Catalog, session: Session, name: str) -> None:
    """End the tokens, addresses and assignments of an account; a later submission for such a case is a second reading."""
    moment = catalog.now(session)
    rows.revoke_tokens(session, name, moment)
    rows.revoke_credentials(session, name, moment, CredentialKind.REVIEW_ADDRESS)
    assignments.return_all_of_account(session, name, moment)


def _check_not_last_admin(session: Session, account: Account) -> None:
    if account.role is Role.ADMIN and account.disabled_at is None and rows.active_admins(session) == 1:
        raise Conflict(f"{account.name} is the last admin; give another account the role admin first")
