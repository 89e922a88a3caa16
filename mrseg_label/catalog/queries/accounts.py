"""Accounts, credentials and tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy.orm import Session

from mrseg_label.catalog.tables import AccessToken, Account, Credential, Secret, SignInAttempts
from mrseg_label.catalog.types import CredentialKind, Role


def account(session: Session, name: str) -> Account | None:
    """An account by name."""
    return session.get(Account, name)


def lock(session: Session, name: str) -> Account:
    """An account, locked against changes by others until the end of this transaction."""
    query = select(Account).where(Account.name == name).with_for_update().execution_options(populate_existing=True)
    return session.scalars(query).one()


def accounts(session: Session) -> Sequence[Account]:
    """All accounts, by name."""
    return session.scalars(select(Account).order_by(Account.name)).all()


def by_subject(session: Session, issuer: str, subject: str) -> Account | None:
    """The account of a person by the identity provider and its id of them.

    A provider's address with and without a slash at its end is the same provider.
    """
    same = (issuer, issuer.rstrip("/"), f"{issuer.rstrip('/')}/")
    query = select(Account).where(Account.issuer.in_(same), Account.subject == subject).order_by(Account.created_at)
    found = session.scalars(query).all()
    return next((row for row in found if row.issuer == issuer), found[0] if found else None)


def active_admins(session: Session) -> int:
    """How many admins may sign in; they are locked against changes until the end of this transaction."""
    query = select(Account.name).where(Account.role == Role.ADMIN, Account.disabled_at.is_(None))
    return len(session.scalars(query.order_by(Account.name).with_for_update()).all())


def credential(session: Session, digest: str, kind: CredentialKind) -> Credential | None:
    """A credential by the digest of its secret, unless it was revoked."""
    query = select(Credential).where(
        Credential.digest == digest, Credential.kind == kind, Credential.revoked_at.is_(None)
    )
    return session.scalars(query).unique().one_or_none()


def credentials(session: Session, account_name: str | None = None) -> Sequence[Credential]:
    """Credentials, of one account or of all, oldest first."""
    query = select(Credential).order_by(Credential.created_at, Credential.id)
    if account_name is not None:
        query = query.where(Credential.account_name == account_name)
    return session.scalars(query).unique().all()


def token(session: Session, token_id: str) -> AccessToken | None:
    """A token by its id."""
    return session.get(AccessToken, token_id)


def revoke_credentials(
    session: Session, account_name: str, moment: datetime, kind: CredentialKind | None = None
) -> None:
    """Revoke the credentials of an account, or those of one kind."""
    mine = and_(Credential.account_name == account_name, Credential.revoked_at.is_(None))
    if kind is not None:
        mine = and_(mine, Credential.kind == kind)
    session.execute(update(Credential).where(mine).values(revoked_at=moment))


def revoke_tokens(session: Session, account_name: str, moment: datetime, credential_id: str | None = None) -> None:
    """Revoke the tokens of an account, or those that were issued for one app password."""
    mine = AccessToken.account_name == account_name
    if credential_id is not None:
        mine = (AccessToken.credential_id == credential_id) & mine
    session.execute(update(AccessToken).where(mine, AccessToken.revoked_at.is_(None)).values(revoked_at=moment))


def delete_expired_tokens(session: Session, before: datetime) -> None:
    """Delete tokens that expired, and failed sign-ins that no longer block, before a moment."""
    session.execute(delete(AccessToken).where(AccessToken.expires_at < before))
    over = or_(SignInAttempts.blocked_until.is_(None), SignInAttempts.blocked_until < before)
    session.execute(delete(SignInAttempts).where(SignInAttempts.last_at < before, over))


def attempts(session: Session, keys: Sequence[str]) -> dict[str, SignInAttempts]:
    """Failed sign-ins by key, locked until the end of this transaction."""
    query = select(SignInAttempts).where(SignInAttempts.key.in_(keys)).order_by(SignInAttempts.key).with_for_update()
    return {row.key: row for row in session.scalars(query)}


def delete_attempts(session: Session, keys: Sequence[str]) -> None:
    """Delete failed sign-ins after a successful one."""
    session.execute(delete(SignInAttempts).where(SignInAttempts.key.in_(keys)))


def secret(session: Session, name: str) -> str | None:
    """A secret of the workspace."""
    found = session.get(Secret, name)
    return found.value if found else None
