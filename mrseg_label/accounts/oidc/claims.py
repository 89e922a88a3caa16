"""Name and role of a user, read from the claims of an identity provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mrseg_label.accounts.oidc.settings import role_entries
from mrseg_label.catalog.types import Role
from mrseg_label.config import Settings
from mrseg_label.errors import Forbidden

Claims = Mapping[str, Any]


@dataclass(frozen=True)
class ProviderUser:
    """A user whom the provider has authenticated; ``subject`` is its own unchanging identifier of the user."""

    issuer: str
    subject: str
    name: str
    role: Role


def provider_user_of(claims: Claims, settings: Settings, issuer: str) -> ProviderUser:
    """Read a user from claims.

    Raises
    ------
    Forbidden
        The claims contain no name or no role on this server; the message names the claim.
    """
    subject, name = claims.get("sub"), claims.get(settings.oidc_name_claim)
    if not isinstance(subject, str) or not subject or not isinstance(name, str) or not name:
        raise Forbidden(
            f"the identity provider did not send your name: the claim {settings.oidc_name_claim!r} is missing "
            "(OIDC_NAME_CLAIM, OIDC_SCOPES); tell an administrator of this server"
        )
    found = claim_entries(claims, settings.oidc_role_claim)
    for entry, role in role_entries(settings):  # the highest first
        if entry in found:
            return ProviderUser(issuer, subject, name, role)
    wanted = " or ".join(entry for entry, _ in reversed(role_entries(settings)))
    raise Forbidden(
        f"the identity provider knows you as {name[:80]} but gives you no role on this server: "
        f"its claim {settings.oidc_role_claim!r} must list {wanted}; ask those who manage the hospital's accounts"
    )


def has_required_claims(claims: Claims, settings: Settings) -> bool:
    """Whether the claims contain both name and roles."""
    return settings.oidc_name_claim in claims and bool(claim_entries(claims, settings.oidc_role_claim))


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
