"""Access tokens: valid for a working day, and revocable because each has a row in the database.

A token is a JWT because clients expect one and may read the roles in it. What decides is the token's row and the
account at the time of the request. The row has only the digest of the token's random id, so that neither the rows nor
the signing secret beside them, in a stolen backup for example, are enough to make a token that is accepted.

References
----------
RFC 7519, JSON Web Token. https://www.rfc-editor.org/rfc/rfc7519
RFC 8725, JSON Web Token Best Current Practices. https://www.rfc-editor.org/rfc/rfc8725
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import jwt
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.accounts.identity import Identity
from mrseg_label.accounts.passwords import digest, new_secret
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import accounts as rows
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.tables import AccessToken, Account, Credential, Secret
from mrseg_label.catalog.types import Role
from mrseg_label.errors import Unauthorized

ALGORITHM = "HS256"
ISSUER = "mrseg-label"
_SECRET = "token-signing"
_EXPIRED_KEPT_FOR = timedelta(days=7)
# MONAI Label's names of the roles. The claim is the one that Keycloak uses.
_ROLE_CLAIMS = {
    Role.ADMIN: ["monailabel-admin", "monailabel-reviewer", "monailabel-annotator", "monailabel-user"],
    Role.REVIEWER: ["monailabel-reviewer", "monailabel-annotator", "monailabel-user"],
    Role.RADIOLOGIST: ["monailabel-annotator", "monailabel-user"],
    Role.SERVICE: ["monailabel-user"],
}


def signing_secret(catalog: Catalog) -> str:
    """Return the secret that signs the tokens of this workspace; it is created on first use."""
    with catalog.read() as session:
        found = rows.secret(session, _SECRET)
    if found is not None:
        return found
    try:
        with catalog.begin() as session:
            if rows.secret(session, _SECRET) is None:
                session.add(Secret(name=_SECRET, value=new_secret()))
    except IntegrityError:  # another server process was first
        pass
    return signing_secret(catalog)


def issue(
    catalog: Catalog, session: Session, secret: str, account: Account, hours: float, credential_id: str | None = None
) -> str:
    """Issue a token for an account; returns the signed JWT."""
    moment = catalog.now(session)
    rows.delete_expired_tokens(session, moment - _EXPIRED_KEPT_FOR)
    identifier = new_secret()
    row = AccessToken(
        id=digest(identifier),
        account_name=account.name,
        credential_id=credential_id,
        created_at=moment,
        expires_at=moment + timedelta(hours=hours),
    )
    session.add(row)
    session.flush()
    claims = {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": account.name,
        "jti": identifier,
        "iat": int(moment.timestamp()),
        "exp": int(row.expires_at.timestamp()),
        "preferred_username": account.name,
        "realm_access": {"roles": role_claims(account.role)},
    }
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def identify(catalog: Catalog, secret: str, token: str) -> Identity:
    """Identify the account that a token belongs to.

    Raises
    ------
    Unauthorized
        The token is not one of this server's, has expired or was revoked, or its account is disabled.
    """
    claims = _claims(token, secret)
    with catalog.read() as session:
        row = rows.token(session, digest(claims["jti"]))
        if row is None or row.account_name != claims["sub"]:
            raise Unauthorized("this token is unknown; sign in again")
        check_enabled(row.account)
        if row.revoked_at is not None:
            raise Unauthorized("this token was revoked; sign in again")
        if row.expires_at <= catalog.now(session):
            raise Unauthorized("this token has expired; sign in again")
        return Identity(row.account.name, row.account.role, row.id, row.credential_id is not None)


def is_still_valid(catalog: Catalog, identity: Identity) -> bool:
    """Whether an account that was identified before may go on: enabled, of the same role, its token or key in force."""
    with catalog.read() as session:
        account = rows.account(session, identity.name)
        if account is None or account.disabled_at is not None or account.role is not identity.role:
            return False
        if identity.key_id is not None:
            key = session.get(Credential, identity.key_id)
            return key is not None and key.revoked_at is None
        if identity.token_id is None:
            return True
        row = rows.token(session, identity.token_id)
        return row is not None and row.revoked_at is None and row.expires_at > catalog.now(session)


def revoke(catalog: Catalog, token_id: str, *, actor: str) -> None:
    """Revoke a token."""
    with catalog.begin() as session:
        row = rows.token(session, token_id)
        if row is not None and row.revoked_at is None:
            row.revoked_at = catalog.now(session)
            audit.record(session, actor, "sign-out", row.account_name)


def role_claims(role: Role) -> list[str]:
    """Return the names of a role and of those below it, as MONAI Label's clients know them."""
    return _ROLE_CLAIMS[role]


def check_enabled(account: Account) -> None:
    """Raise :class:`Unauthorized` if an account is disabled."""
    if account.disabled_at is not None:
        raise Unauthorized(disabled_message(account.name))


def disabled_message(name: str) -> str:
    """Return the message for a user whose account is disabled."""
    return f"the account {name} is disabled; ask an administrator of this server"


def _claims(token: str, secret: str) -> dict[str, Any]:
    required = ["iss", "aud", "sub", "jti", "iat", "exp"]
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=ISSUER,
            # The database's clock, which may be ahead of ours, wrote "iat"; the row tells whether the token is valid.
            options={"require": required, "verify_iat": False},
        )
    except jwt.ExpiredSignatureError as error:
        raise Unauthorized("this token has expired; sign in again") from error
    except (jwt.InvalidTokenError, RecursionError) as error:
        raise Unauthorized("this token is not one of this server's; sign in again") from error
    if not all(isinstance(claims[name], str) for name in ("sub", "jti")):
        raise Unauthorized("this token is not one of this server's; sign in again")
    return claims
