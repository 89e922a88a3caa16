"""Sign-in with name and password, as Slicer's form sends them, or through the hospital's identity provider."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import anyio.to_thread
from anyio import CapacityLimiter
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.accounts import throttle
from mrseg_label.accounts.credentials import KEY_PREFIX, identify_key, record_use
from mrseg_label.accounts.derived_names import derived_names, printable
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

WRONG_PASSWORD = "wrong name or password"  # one message for both, so that names cannot be found out
# A hash takes 64 MB and a core, on purpose: clients without an account must not take all of them from readers.
PASSWORDS_AT_ONCE = 2


class SignIn:
    """Sign-in of one workspace.

    Parameters
    ----------
    token_hours : lifetime of a token.
    app_password_days : how long app passwords keep working after the last sign-in through the identity provider.
    """

    def __init__(self, catalog: Catalog, token_hours: float, app_password_days: float = 30.0) -> None:
        self._catalog = catalog
        self._provider_days = timedelta(days=app_password_days)
        self._hours = token_hours
        self._secret = signing_secret(catalog)
        self._passwords = CapacityLimiter(PASSWORDS_AT_ONCE)

    @property
    def token_seconds(self) -> int:
        """Lifetime of a token in seconds."""
        return round(self._hours * 3600)

    def sign_in_with_password(self, name: str, password: str, peer: str) -> str:
        """Sign in with a name and its password or one of its app passwords; returns a token.

        Raises
        ------
        Unauthorized
            Name or password are wrong, or the account is disabled.
        TooManyRequests
            Too many attempts failed; the next one is not permitted yet.
        """
        try:
            name = account_name(name)
            password.encode()
        except (InvalidInput, UnicodeEncodeError) as error:
            raise Unauthorized(WRONG_PASSWORD) from error
        self._count_attempt(name, peer)
        with self._catalog.read() as session:
            account = rows.account(session, name)
            credential = _app_password(session, account, password)
        # Outside any transaction, since hashing is slow on purpose.
        if credential is None and not verify(password, account.password_hash if account else None):
            with self._catalog.begin() as session:
                # An unknown name is not recorded: it may be a password typed into the wrong field.
                recorded = account.name if account else UNKNOWN
                audit.record(session, recorded, "sign-in.failed", recorded, peer=peer)
            raise Unauthorized(WRONG_PASSWORD)
        assert account is not None
        verified = account.password_hash
        with self._catalog.begin() as session:
            account = rows.lock(session, name)
            if credential is not None:
                credential = session.get_one(Credential, credential.id, populate_existing=True)
            # During the slow hash the password may have been changed, or the app password revoked.
            if account.password_hash != verified if credential is None else credential.revoked_at is not None:
                raise Unauthorized(WRONG_PASSWORD)
            throttle.reset(session, name, peer)
            moment = self._catalog.now(session)
            stale = account.issuer is not None and (account.provider_seen_at or moment) + self._provider_days < moment
            if account.disabled_at is None and not stale:
                if credential is not None:
                    record_use(credential, moment)
                return self._issue_token(
                    session, account, "app password" if credential else "password", peer, credential
                )
            audit.record(session, name, "sign-in.refused", name, peer=peer, reason="not seen" if stale else "disabled")
        # Only a client that knows the password learns this.
        if stale:
            raise Unauthorized(
                f"{name} has not signed in through the hospital's identity provider for {self._provider_days.days} days; "
                "sign in once on the account page of this server, and the app password will work again"
            )
        raise Unauthorized(disabled_message(name))

    async def sign_in_with_password_in_thread(self, name: str, password: str, peer: str) -> str:
        """Call :meth:`sign_in_with_password` in a thread, few at a time however many routes and requests ask for it."""
        call = partial(self.sign_in_with_password, name, password, peer)
        return await anyio.to_thread.run_sync(call, limiter=self._passwords)

    def sign_in_with_provider(self, issuer: str, subject: str, name: str, role: Role, peer: str) -> str:
        """Sign in a user whom an identity provider has authenticated; returns a token.

        The first sign-in creates the account, each one brings its role up to date.

        Parameters
        ----------
        issuer, subject : the provider, and its own unchanging identifier of the user, to which the account is bound.
        name : the provider's present name for the user, or "". The name of a new account is derived from it and never
            changes; it is never that of an account which somebody else has, whatever the provider calls its users.
        role : the present role, according to the provider.

        Raises
        ------
        Unauthorized
            The account is disabled.
        """
        for last in (False, False, True):
            try:
                return self._sign_in_provider_user(issuer, subject, printable(name), role, peer)
            except IntegrityError:  # others take the name, or sign in as the same user, for the first time at once
                if last:
                    raise
        raise AssertionError("unreachable")

    def _sign_in_provider_user(self, issuer: str, subject: str, name: str, role: Role, peer: str) -> str:
        with self._catalog.begin() as session:
            account = rows.by_subject(session, issuer, subject)
            if account is None:
                names = derived_names(name, issuer, subject)
                # The provider's user of a name need not be the person who has an account of that name here.
                free = next(derived for derived in names if rows.account(session, derived) is None)
                account = Account(name=free, role=role, issuer=issuer, subject=subject, created_by=issuer)
                account.provider_name = name or None
                session.add(account)
                session.flush()
                audit.record(session, free, "account.add", free, role=str(role), issuer=issuer, provider_name=name)
            check_enabled(account)
            if name and account.provider_name != name:
                if account.provider_name is not None:
                    change = {"before": account.provider_name, "provider_name": name}
                    audit.record(session, issuer, "account.provider-name", account.name, **change)
                account.provider_name = name
            account.provider_seen_at = self._catalog.now(session)
            if account.role is not role:
                audit.record(session, issuer, "account.role", account.name, before=str(account.role), role=str(role))
                account.role = role
                moment = self._catalog.now(session)
                rows.revoke_credentials(session, account.name, moment, CredentialKind.REVIEW_ADDRESS)
            return self._issue_token(session, account, "identity provider", peer, None)

    def identify(self, presented: str) -> Identity:
        """Identify the account that a token or an API key belongs to.

        Raises
        ------
        Unauthorized
            The token or key is unknown, expired or revoked, or its account is disabled.
        """
        if presented.startswith(KEY_PREFIX):
            return identify_key(self._catalog, presented)
        return identify(self._catalog, self._secret, presented)

    def identity_of(self, name: str) -> Identity:
        """Return the identity of an account that was authenticated otherwise. Raises :class:`Unauthorized`."""
        with self._catalog.read() as session:
            account = rows.account(session, name)
            if account is None:
                raise Unauthorized("the account of this request no longer exists")
            check_enabled(account)
            return Identity(account.name, account.role)

    def _count_attempt(self, name: str, peer: str) -> None:
        for last in (False, False, True):
            try:
                with self._catalog.begin() as session:
                    throttle.count_attempt(session, self._catalog.now(session), name, peer)
                return
            except IntegrityError:  # two server processes insert the first failure of a name at once
                if last:
                    raise

    def _issue_token(
        self, session: Session, account: Account, by: str, peer: str, credential: Credential | None
    ) -> str:
        audit.record(session, account.name, "sign-in", account.name, by=by, peer=peer)
        identifier = credential.id if credential else None
        return issue(self._catalog, session, self._secret, account, self._hours, identifier)


def _app_password(session: Session, account: Account | None, password: str) -> Credential | None:
    found = rows.credential(session, digest(password.strip().lower()), CredentialKind.APP_PASSWORD)
    return found if found is not None and account is not None and found.account_name == account.name else None
