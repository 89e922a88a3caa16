"""Addresses of reviewers: a secret in the address replaces the sign-in of a Slicer extension that knows none.

An address is a credential with an end. Only the digest of its secret is stored; it ends with its time, when it is
revoked, when its owner is disabled or signed out by an admin, gets a new password, or another role.
"""

from __future__ import annotations

import re

from sqlalchemy.exc import IntegrityError

from mrseg_label.accounts import throttle
from mrseg_label.accounts.credentials import REVIEWING_ROLES, record_use, was_used_recently
from mrseg_label.accounts.identity import Identity
from mrseg_label.accounts.passwords import digest
from mrseg_label.accounts.tokens import check_enabled
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.queries import accounts as rows
from mrseg_label.catalog.tables import Credential
from mrseg_label.catalog.types import CredentialKind
from mrseg_label.errors import Forbidden, Unauthorized

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")  # as passwords.new_secret makes them
_ENDED = "this address is unknown, was revoked or has expired; make a new one on your account page"


def identify_address(catalog: Catalog, secret: str, peer: str) -> Identity:
    """Identify the reviewer to whom an address belongs.

    Parameters
    ----------
    secret : as the client sent it.
    peer : address of the client; guesses from it are limited as those of passwords are.

    Raises
    ------
    Unauthorized
        The address is not in use, or its account is disabled.
    Forbidden
        The account is no longer a reviewer's.
    TooManyRequests
        Too many unknown addresses were tried from there.
    """
    with catalog.read() as session:
        # The digest is compared, and not the secret: what the comparison takes tells nothing about an address.
        well_formed = _SECRET.fullmatch(secret) is not None
        found = rows.credential(session, digest(secret), CredentialKind.REVIEW_ADDRESS) if well_formed else None
        moment = catalog.now(session)
    if found is None:
        _count_guess(catalog, peer)
        raise Unauthorized(_ENDED)
    if found.has_expired(moment):
        raise Unauthorized(_ENDED)
    check_enabled(found.account)
    if found.account.role not in REVIEWING_ROLES:
        raise Forbidden(f"{found.account.name} has the role {found.account.role}, which may not review")
    if not was_used_recently(found, moment):
        with catalog.begin() as session:
            record_use(session.get(Credential, found.id), moment)
    return Identity(found.account.name, found.account.role)


def _count_guess(catalog: Catalog, peer: str) -> None:
    for last in (False, False, True):
        try:
            with catalog.begin() as session:
                throttle.count_guess(session, catalog.now(session), peer)
            return
        except IntegrityError:  # two server processes insert the first guess of a peer at once
            if last:
                raise
