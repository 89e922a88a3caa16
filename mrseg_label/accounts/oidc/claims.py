"""Name and role of a user, read from the claims of an identity provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mrseg_label.accounts.derived_names import printable
from mrseg_label.accounts.oidc.settings import role_entries
from mrseg_label.catalog.types import Role
from mrseg_label.config import Settings
from mrseg_label.errors import Forbidden

Claims = Mapping[str, Any]
_MAX_SUBJECT = 255  # characters, as the standard limits it
_OTHER_NAMES = ("preferred_username", "upn", "email", "name")  # where OIDC_NAME_CLAIM is missing or empty


@dataclass(frozen=True)
class ProviderUser:
    """A user whom the provider has authenticated.

    Attributes
    ----------
    subject : the provider's own unchanging identifier of the user.
    name : what the provider calls the user, which may be anything; empty if it did not say.
    """

    issuer: str
    subject: str
    name: str
    role: Role


def provider_user_of(claims: Claims, settings: Settings, issuer: str) -> ProviderUser:
    """Read a user from claims.

    Raises
    ------
    Forbidden
        The claims contain no identifier or no role on this server; the message names the claim.
    """
    subject, name = claims.get("sub"), provider_name(claims, settings)
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT or not subject.isprintable():
        raise Forbidden(
            "the identity provider did not send a usable identifier of you: the claim 'sub' must be printable text of 1 to "
            f"{_MAX_SUBJECT} characters; tell an administrator of this server"
        )
    found = claim_entries(claims, settings.oidc_role_claim)
    for entry, role in role_entries(settings):  # the highest first
        if entry in found:
            return ProviderUser(issuer, subject, name, role)
    wanted = " or ".join(entry for entry, _ in reversed(role_entries(settings)))
    raise Forbidden(
        f"the identity provider knows you as {name[:80] or 'a user without a name'} but gives you no role on this server: "
        f"its claim {settings.oidc_role_claim!r} must list {wanted}; ask those who manage the hospital's accounts"
    )


def provider_name(claims: Claims, settings: Settings) -> str:
    """Return the provider's name for a user, from the first claim that has one; empty if none has."""
    names = (printable(claims.get(claim)) for claim in (settings.oidc_name_claim, *_OTHER_NAMES))
    return next(filter(None, names), "")


def has_required_claims(claims: Claims, settings: Settings) -> bool:
    """Whether the claims contain both name and roles."""
    return bool(printable(claims.get(settings.oidc_name_claim))) and bool(
        claim_entries(claims, settings.oidc_role_claim)
    )


def claim_entries(claims: Claims, path: str) -> frozenset[str]:
    """Return the texts under a claim, whose name is a path unless a claim has just this name, dots included."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return frozenset({found})
    return frozenset(entry for entry in found if isinstance(entry, str)) if isinstance(found, list) else frozenset()
