"""Sign in: by name and password as Slicer's form does, or as somebody whom the identity provider named."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import anyio.to_thread
from anyio import CapacityLimiter
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.accounts import throttle
from mrseg_label.accounts.credentials import KEY_PREFIX, identify_key, note_use
from mrseg_label.accounts.identity import Identity
from mrseg_label.accounts.passwords import digest, verify
from mrseg_label.accounts.service import account_name
from mrseg_label.accounts.tokens import check_enabled, disabled_message, identify, issue, signing_secret
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import accounts as rows
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.tables import Account, Credential
from mrseg_label.catalog.types import UNKNOWN, CredentialKind, Role
from mrseg_label.errors import InvalidInput, Unauthorized

WRONG = "wrong name or password"
# Hashing takes 64 MB and a core's time each, on purpose: strangers must not take them from readers.
PASSWORDS_AT_ONCE = 2


class SignIn:
    """Sign-in of one workspace.

    Parameters
    ----------
    token_hours : how long a token lasts.
    app_password_days : how long after the last sign-in through the identity provider its people's app passwords work.
    """

    def __init__(self, catalog: Catalog, token_hours: float, app_password_days: float = 30.0) -> None:
        self._catalog = catalog
        self._provider_days = timedelta(days=app_password_days)
        self._hours = token_hours
        self._secret = signing_secret(catalog)
        self._passwords = CapacityLimiter(PASSWORDS_AT_ONCE)

    @property
    def token_seconds(self) -> int:
        """How long a token lasts."""
        return round(self._hours * 3600)

    def sign_in_with_password(self, name: str, password: str, peer: str) -> str:
        """A token for a name and its password or one of its app passwords.

        Raises
        ------
        Unauthorized
            Wrong, or the account is disabled.
        TooManyRequests
            Too many attempts failed; the next one is not due yet.
        """
        try:
            name = account_name(name)
            password.encode()
        except (InvalidInput, UnicodeEncodeError) as error:
            raise Unauthorized(WRONG) from error
        self._count(name, peer)
        with self._catalog.read() as session:
            account = rows.account(session, name)
            credential = _app_password(session, account, password)
        # Outside of any transaction: hashing takes its time, on purpose.
        if credential is None and not verify(password, account.password_hash if account else None):
            with self._catalog.begin() as session:
                # An unknown name is not written down: it may be a password in the wrong field.
                who = account.name if account else UNKNOWN
                audit.record(session, who, "sign-in.failed", who, peer=peer)
            raise Unauthorized(WRONG)
        assert account is not None
        shown = account.password_hash
        with self._catalog.begin() as session:
            account = rows.lock(session, name)
            if credential is not None:
                credential = session.get_one(Credential, credential.id, populate_existing=True)
            # Hashing took its time: meanwhile the password may have been changed, or the app password revoked.
            if account.password_hash != shown if credential is None else credential.revoked_at is not None:
                raise Unauthorized(WRONG)
            throttle.forget(session, name, peer)
            moment = self._catalog.now(session)
            stale = account.issuer is not None and (account.provider_seen_at or moment) + self._provider_days < moment
            if account.disabled_at is None and not stale:
                if credential is not None:
                    note_use(credential, moment)
                return self._token(session, account, "app password" if credential else "password", peer, credential)
            audit.record(session, name, "sign-in.refused", name, peer=peer, reason="not seen" if stale else "disabled")
        # Said to those alone who know the password.
        if stale:
            raise Unauthorized(
                f"{name} has not signed in through the hospital's identity provider for {self._provider_days.days} days; "
                "do so once on the page /account of this server, and the app password works again"
            )
        raise Unauthorized(disabled_message(name))

    async def sign_in_with_password_async(self, name: str, password: str, peer: str) -> str:
        """As :meth:`sign_in_with_password`, for the event loop: in a thread, few at a time whatever route they come by."""
        look = partial(self.sign_in_with_password, name, password, peer)
        return await anyio.to_thread.run_sync(look, limiter=self._passwords)

    def sign_in_with_provider(self, issuer: str, subject: str, name: str, role: Role, peer: str) -> str:
        """A token for a person whom an identity provider has signed in; the account is made at the first time.

        Parameters
        ----------
        issuer, subject : the provider, and its own unchanging name for the person.
        name : the person's name as the provider gives it; it becomes the account's.
        role : as the provider says now.

        Raises
        ------
        Unauthorized
            The account is disabled, or the name belongs to another account.
        """
        try:
            name = account_name(name)
        except InvalidInput as error:
            raise Unauthorized(f"the identity provider calls you {name[:80]!r}: {error}") from error
        try:
            return self._sign_in_provider_user(issuer, subject, name, role, peer)
        except IntegrityError:  # the first sign-in, twice at once
            return self._sign_in_provider_user(issuer, subject, name, role, peer)

    def _sign_in_provider_user(self, issuer: str, subject: str, name: str, role: Role, peer: str) -> str:
        with self._catalog.begin() as session:
            account = rows.by_subject(session, issuer, subject)
            if account is None:
                if rows.account(session, name) is not None:
                    # Who the provider calls by a name is not the one who was given it here by an admin.
                    raise Unauthorized(
                        f"there is an account {name} that is not of this identity provider; ask an administrator"
                    )
                account = Account(name=name, role=role, issuer=issuer, subject=subject, created_by=issuer)
                session.add(account)
                session.flush()
                audit.record(session, name, "account.add", name, role=str(role), issuer=issuer)
            check_enabled(account)
            account.provider_seen_at = self._catalog.now(session)
            if account.role is not role:
                audit.record(session, issuer, "account.role", account.name, before=str(account.role), role=str(role))
                account.role = role
            return self._token(session, account, "identity provider", peer, None)

    def identify(self, presented: str) -> Identity:
        """Whose token or API key this is.

        Raises
        ------
        Unauthorized
            Nobody's, or not any more.
        """
        if presented.startswith(KEY_PREFIX):
            return identify_key(self._catalog, presented)
        return identify(self._catalog, self._secret, presented)

    def identity_of(self, name: str) -> Identity:
        """The identity of an account that has proven itself otherwise. Raises :class:`Unauthorized`."""
        with self._catalog.read() as session:
            account = rows.account(session, name)
            if account is None:
                raise Unauthorized("the account of this request is not there any more")
            check_enabled(account)
            return Identity(account.name, account.role)

    def _count(self, name: str, peer: str) -> None:
        for last in (False, False, True):
            try:
                with self._catalog.begin() as session:
                    throttle.count_attempt(session, self._catalog.now(session), name, peer)
                return
            except IntegrityError:  # the first failures of a name, at two server processes at once
                if last:
                    raise

    def _token(self, session: Session, account: Account, by: str, peer: str, credential: Credential | None) -> str:
        audit.record(session, account.name, "sign-in", account.name, by=by, peer=peer)
        identifier = credential.id if credential else None
        return issue(self._catalog, session, self._secret, account, self._hours, identifier)


def _app_password(session: Session, account: Account | None, password: str) -> Credential | None:
    found = rows.credential(session, digest(password.strip().lower()), CredentialKind.APP_PASSWORD)
    return found if found is not None and account is not None and found.account_name == account.name else None
