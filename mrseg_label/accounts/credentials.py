"""API keys for programs; app passwords for Slicer, and addresses for its extension that knows no sign-in.

Slicer's sign-in form takes only a name and a password. People who sign in through the hospital's identity provider
have no password here, so they create an app password: it works on this server only and can be revoked by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from mrseg_label.accounts.identity import Identity
from mrseg_label.accounts.passwords import digest, new_app_password, new_secret
from mrseg_label.accounts.service import account_name, get
from mrseg_label.accounts.tokens import check_enabled
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import accounts as rows
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.tables import Credential
from mrseg_label.catalog.types import CredentialKind, Role, Scope
from mrseg_label.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized

KEY_PREFIX = "mrseg-key-"  # lets secret scanners find a leaked key
MAX_CREDENTIALS = 20  # in use at the same time, per account
MAX_LABEL_LENGTH = 100
REVIEWING_ROLES = (Role.REVIEWER, Role.ADMIN)
_USE_RECORDED_EVERY = timedelta(hours=1)
_SECRETS = {
    CredentialKind.API_KEY: lambda: KEY_PREFIX + new_secret(),
    CredentialKind.APP_PASSWORD: new_app_password,
    CredentialKind.REVIEW_ADDRESS: new_secret,
}


def make(
    catalog: Catalog,
    name: str,
    kind: CredentialKind,
    label: str,
    *,
    actor: str,
    scopes: Collection[Scope] = (),
    hours: float | None = None,
) -> tuple[Credential, str]:
    """Create a credential; returns its row and its secret, which is shown once and never stored.

    Parameters
    ----------
    scopes : what an API key may fetch beside what its account may.
    hours : how long it is valid; None until it is revoked.

    Raises
    ------
    NotFound
        There is no such account.
    InvalidInput
        The label is empty, too long or not printable; or an API key is for a person, an app password for a program.
    Forbidden
        An address for reviews is for an account that may not review.
    Conflict
        The account is disabled or has too many credentials.
    """
    label = label.strip()
    if not 0 < len(label) <= MAX_LABEL_LENGTH or not label.isprintable():
        raise InvalidInput(
            f"the label must have 1 to {MAX_LABEL_LENGTH} printable characters that say where it is used, such as 'Slicer, room 3'"
        )
    if scopes and kind is not CredentialKind.API_KEY:
        raise InvalidInput("an app password has no scopes: it may do what its account may, from Slicer")
    secret = _SECRETS[kind]()
    with catalog.begin() as session:
        owner = get(session, account_name(name))
        if (owner.role is Role.SERVICE) != (kind is CredentialKind.API_KEY):
            raise InvalidInput(
                f"{owner.name} has the role {owner.role}: API keys are for programs (role service), app passwords for people"
            )
        if kind is CredentialKind.REVIEW_ADDRESS and owner.role not in REVIEWING_ROLES:
            raise Forbidden(
                f"{owner.name} has the role {owner.role}; addresses for reviews are for reviewers and admins"
            )
        if owner.disabled_at is not None:
            raise Conflict(f"{owner.name} is disabled; enable it first with: mrseg-label users enable {owner.name}")
        moment = catalog.now(session)
        if sum(item.is_in_use(moment) for item in rows.credentials(session, owner.name)) >= MAX_CREDENTIALS:
            raise Conflict(
                f"{owner.name} already has {MAX_CREDENTIALS} credentials; revoke those that are no longer used"
            )
        made = Credential(
            account_name=owner.name,
            kind=kind,
            label=label,
            digest=digest(secret),
            scopes=sorted(scopes),
            created_at=moment,
            expires_at=None if hours is None else moment + timedelta(hours=hours),
        )
        session.add(made)
        session.flush()
        audit.record(session, actor, f"{kind}.add", owner.name, credential=made.id, label=label, scopes=made.scopes)
    return made, secret


def list_credentials(catalog: Catalog, name: str | None = None, *, in_use: bool = False) -> Sequence[Credential]:
    """List the credentials of an account, or of all accounts; all, or those that are in use."""
    with catalog.read() as session:
        if name is not None:
            name = get(session, account_name(name)).name
        found, moment = rows.credentials(session, name), catalog.now(session)
    return [item for item in found if item.is_in_use(moment)] if in_use else found


def check_may_manage_app_passwords(identity: Identity) -> None:
    """Raise :class:`Forbidden` after a sign-in with an app password: a leaked one must not be able to create others."""
    if identity.by_app_password:
        raise Forbidden(
            "you signed in with an app password; to manage app passwords, sign in with your password or hospital account"
        )


def check_may_manage_accounts(identity: Identity | None) -> None:
    """Raise :class:`Forbidden` after a sign-in with an app password: a leaked one must not be able to make accounts.

    Parameters
    ----------
    identity : None without sign-in, where everything is permitted.
    """
    if identity is not None and identity.by_app_password:
        raise Forbidden(
            "you signed in with an app password; to manage accounts, sign in with your password or hospital account"
        )


def revoke(catalog: Catalog, credential_id: str, *, actor: str, owner: str | None = None) -> None:
    """Revoke a credential and the tokens that were issued for it.

    Parameters
    ----------
    owner : if given, the account that must own the credential.

    Raises
    ------
    NotFound
        No such credential is in use.
    """
    with catalog.begin() as session:
        found = session.get(Credential, credential_id)
        if found is None or found.revoked_at is not None or owner not in (None, found.account_name):
            raise NotFound(f"no credential {credential_id[:40]!r} is in use; see mrseg-label users list")
        moment = catalog.now(session)
        found.revoked_at = moment
        rows.revoke_tokens(session, found.account_name, moment, found.id)
        audit.record(session, actor, f"{found.kind}.revoke", found.account_name, credential=found.id, label=found.label)


def identify_key(catalog: Catalog, key: str) -> Identity:
    """Identify the account that an API key belongs to.

    Raises
    ------
    Unauthorized
        The key is unknown or revoked, or its account is disabled.
    """
    with catalog.read() as session:
        found = rows.credential(session, digest(key), CredentialKind.API_KEY)
        if found is None:
            raise Unauthorized("this API key is unknown or was revoked")
        check_enabled(found.account)
        moment = catalog.now(session)
    if not was_used_recently(found, moment):
        with catalog.begin() as session:
            record_use(session.get(Credential, found.id), moment)
    # A scope that a later version knows permits nothing here.
    scopes = frozenset(scope for scope in Scope if scope.value in found.scopes)
    return Identity(found.account.name, found.account.role, scopes=scopes, key_id=found.id)


def was_used_recently(credential: Credential, moment: datetime) -> bool:
    """Whether a recent use is recorded already, since one write per request would be too many."""
    return credential.last_used_at is not None and moment - credential.last_used_at < _USE_RECORDED_EVERY


def record_use(credential: Credential | None, moment: datetime) -> None:
    """Record when a credential was used."""
    if credential is not None:
        credential.last_used_at = moment
