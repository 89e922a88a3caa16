"""API keys of programs, and app passwords of people who sign in through the hospital's identity provider.

Slicer's sign-in form knows a name and a password only. Whoever has no password here makes an app password,
which opens this server alone and can be revoked alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from mrseg_label.accounts.identity import Identity
from mrseg_label.accounts.passwords import digest, new_app_password, new_secret
from mrseg_label.accounts.service import account_name, get
from mrseg_label.accounts.tokens import check_enabled
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import accounts as rows
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.tables import Credential
from mrseg_label.catalog.types import CredentialKind, Role
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized

KEY_PREFIX = "mrseg-key-"  # so that a key that leaked is found by those who look for such
MOST = 20  # in use at one time, of one account
MAX_LABEL = 100
_USE_NOTED = timedelta(hours=1)


def make(catalog: Catalog, name: str, kind: CredentialKind, label: str, *, actor: str) -> tuple[Credential, str]:
    """A new credential, and its secret, which is shown once and stored nowhere.

    Raises
    ------
    NotFound
        There is no such account.
    InvalidInput
        The label cannot be used; or a person asks for a key, or a program for an app password.
    Conflict
        The account is disabled or has too many.
    """
    label = label.strip()
    if not 0 < len(label) <= MAX_LABEL or not label.isprintable():
        raise InvalidInput(f"say in 1 to {MAX_LABEL} printable characters what it is for, such as 'Slicer, room 3'")
    secret = KEY_PREFIX + new_secret() if kind is CredentialKind.API_KEY else new_app_password()
    with catalog.begin() as session:
        owner = get(session, account_name(name))
        if (owner.role is Role.SERVICE) != (kind is CredentialKind.API_KEY):
            raise InvalidInput(
                f"{owner.name} has the role {owner.role}: programs (role service) have API keys, people app passwords"
            )
        if owner.disabled_at is not None:
            raise Conflict(f"{owner.name} is disabled")
        if sum(item.revoked_at is None for item in rows.credentials(session, owner.name)) >= MOST:
            raise Conflict(f"{owner.name} has {MOST} already; revoke those that are not used any more")
        made = Credential(account_name=owner.name, kind=kind, label=label, digest=digest(secret))
        session.add(made)
        session.flush()
        audit.record(session, actor, f"{kind}.add", owner.name, credential=made.id, label=label)
    return made, secret


def listing(catalog: Catalog, name: str | None = None) -> Sequence[Credential]:
    """Credentials of an account, or of all."""
    with catalog.read() as session:
        if name is not None:
            name = get(session, account_name(name)).name
        return rows.credentials(session, name)


def check_may_manage(identity: Identity) -> None:
    """Raise :class:`Forbidden` for who signed in with an app password: one that leaked must not make others."""
    if identity.by_app_password:
        raise Forbidden("app passwords are managed after a sign-in with the password or the hospital's account")


def revoke(catalog: Catalog, credential_id: str, *, actor: str, owner: str | None = None) -> None:
    """End a credential and the tokens that were given for it.

    Parameters
    ----------
    owner : only if it is this account's.

    Raises
    ------
    NotFound
        There is none, or it was revoked.
    """
    with catalog.begin() as session:
        found = session.get(Credential, credential_id)
        if found is None or found.revoked_at is not None or owner not in (None, found.account_name):
            raise NotFound(f"there is no credential {credential_id[:40]!r} in use")
        moment = catalog.now(session)
        found.revoked_at = moment
        rows.revoke_tokens(session, found.account_name, moment, found.id)
        audit.record(session, actor, f"{found.kind}.revoke", found.account_name, credential=found.id, label=found.label)


def identify_key(catalog: Catalog, key: str) -> Identity:
    """Whose API key this is.

    Raises
    ------
    Unauthorized
        It is none, it was revoked, or its account is disabled.
    """
    with catalog.read() as session:
        found = rows.credential(session, digest(key), CredentialKind.API_KEY)
        if found is None:
            raise Unauthorized("this API key is not known here, or was revoked")
        check_enabled(found.account)
        moment = catalog.now(session)
    if not used_lately(found, moment):
        with catalog.begin() as session:
            note_use(session.get(Credential, found.id), moment)
    return Identity(found.account.name, found.account.role)


def used_lately(credential: Credential, moment: datetime) -> bool:
    """Whether the last use is noted closely enough; a write a request would be too many."""
    return credential.last_used_at is not None and moment - credential.last_used_at < _USE_NOTED


def note_use(credential: Credential | None, moment: datetime) -> None:
    """Note when a credential was used."""
    if credential is not None:
        credential.last_used_at = moment
