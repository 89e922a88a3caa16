"""Accounts and what they sign in with."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from mrseg_label.catalog.tables import Account, Credential
from mrseg_label.catalog.types import CredentialKind, Role, Scope
from mrseg_label.reports.documents.base import Moment


class CredentialOut(BaseModel):
    """An API key, an app password or an address for reviews, without its secret."""

    id: str
    account: str
    kind: CredentialKind
    label: str = Field(description="what it is for")
    scopes: list[Scope] = Field(description="what an API key may fetch beside what its account may")
    created: Moment
    expires: Moment | None = Field(description="null: valid until it is revoked")
    last_used: Moment | None

    @classmethod
    def of(cls, row: Credential) -> CredentialOut:
        """Fill the document from its row."""
        return cls(
            id=row.id,
            account=row.account_name,
            kind=row.kind,
            label=row.label,
            scopes=[scope for scope in Scope if scope.value in row.scopes],
            created=row.created_at,
            expires=row.expires_at,
            last_used=row.last_used_at,
        )


class AppPasswordOut(BaseModel):
    """An app password as its owner sees it; the password itself only in the answer that creates it."""

    id: str
    label: str = Field(description="what it is for")
    created: Moment
    last_used: Moment | None
    revoked: Moment | None
    password: str | None = Field(None, description="shown once, when it is created")

    @classmethod
    def of(cls, row: Credential, password: str | None = None) -> AppPasswordOut:
        """Fill the document from its row."""
        return cls(
            id=row.id,
            label=row.label,
            created=row.created_at,
            last_used=row.last_used_at,
            revoked=row.revoked_at,
            password=password,
        )


class AccountOut(BaseModel):
    """An account."""

    name: str
    role: Role
    signs_in_by: str = Field(description="password, key, or the address of the identity provider")
    provider_name: str | None = Field(description="what the identity provider calls the person")
    created: Moment
    disabled: Moment | None

    @classmethod
    def of(cls, row: Account) -> AccountOut:
        """Fill the document from its row."""
        return cls(
            name=row.name,
            role=row.role,
            signs_in_by=_signs_in_by(row),
            provider_name=row.provider_name,
            created=row.created_at,
            disabled=row.disabled_at,
        )


class AccountDetail(AccountOut):
    """An account with its credentials that are in use."""

    credentials: list[CredentialOut]

    @classmethod
    def of_detail(cls, row: Account, credentials: Sequence[Credential]) -> AccountDetail:
        """Fill the document from its rows."""
        own = [CredentialOut.of(item) for item in credentials if item.account_name == row.name]
        return cls(**dict(AccountOut.of(row)), credentials=own)


def _signs_in_by(row: Account) -> str:
    if row.issuer is not None:
        return row.issuer
    return "key" if row.password_hash is None else "password"
