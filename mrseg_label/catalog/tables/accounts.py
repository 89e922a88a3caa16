"""Tables of accounts, with their credentials, tokens and failed sign-ins."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from mrseg_label.catalog.tables.base import Base
from mrseg_label.catalog.types import Coded, CredentialKind, Role
from mrseg_label.clock import now
from mrseg_label.ids import new_id


class Account(Base):
    """A person or a program that may sign in. Never deleted: its name is part of the history of annotations."""

    __tablename__ = "accounts"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    role: Mapped[Role] = mapped_column(Coded(Role))
    password_hash: Mapped[str | None]  # argon2; None: signs in through the identity provider, or only with keys
    issuer: Mapped[str | None]  # the identity provider; ``subject`` is its own id of the person
    subject: Mapped[str | None]
    provider_name: Mapped[str | None]  # what the provider calls the person now; the account's own name never changes
    provider_seen_at: Mapped[datetime | None]  # last sign-in through the provider
    created_at: Mapped[datetime] = mapped_column(default=now)
    created_by: Mapped[str]
    disabled_at: Mapped[datetime | None]
    disabled_by: Mapped[str | None]
    qualified_at: Mapped[
        datetime | None
    ]  # since when the annotations of this radiologist count, where QUALIFICATION_CASES asks
    qualified_by: Mapped[str | None]  # the program, or the administrator who said so
    __table_args__ = (UniqueConstraint("issuer", "subject"),)


class Credential(Base):
    """An API key of a program; of a person, an app password for Slicer's sign-in form, or an address for reviews."""

    __tablename__ = "credentials"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("cr"))
    account_name: Mapped[str] = mapped_column(ForeignKey("accounts.name"), index=True)
    kind: Mapped[CredentialKind] = mapped_column(Coded(CredentialKind))
    label: Mapped[str]  # what it is used for, in its owner's words
    digest: Mapped[str] = mapped_column(
        String(64), unique=True
    )  # SHA-256 is enough: the secret has 100 random bits or more
    scopes: Mapped[list[Any]] = mapped_column(default=list)  # of an API key: names of ``types.Scope``
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]  # None: valid until it is revoked
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    account: Mapped[Account] = relationship(lazy="joined")

    def has_expired(self, moment: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= moment

    def is_in_use(self, moment: datetime) -> bool:
        """Whether it was not revoked and has not expired."""
        return self.revoked_at is None and not self.has_expired(moment)


class AccessToken(Base):
    """A token that was issued at a sign-in; valid until its row says that it expired or was revoked."""

    __tablename__ = "access_tokens"
    id: Mapped[str] = mapped_column(primary_key=True)  # SHA-256 of the token's own id, which is not stored
    account_name: Mapped[str] = mapped_column(ForeignKey("accounts.name"), index=True)
    credential_id: Mapped[str | None] = mapped_column(
        ForeignKey("credentials.id")
    )  # the app password that it was issued for
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]
    account: Mapped[Account] = relationship(lazy="joined")


class SignInAttempts(Base):
    """Consecutive failed sign-ins of a name, a peer, or both; ``key`` is a digest of them."""

    __tablename__ = "sign_in_attempts"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(index=True)
    blocked_until: Mapped[datetime | None]


class Secret(Base):
    """A secret that all server processes of the workspace share, such as the key that signs tokens; alone it makes none."""

    __tablename__ = "secrets"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(128))
