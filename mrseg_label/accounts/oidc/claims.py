"""Who somebody is by the claims of an identity provider, and with which role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mrseg_label.accounts.oidc.settings import roles
from mrseg_label.catalog.types import Role
from mrseg_label.config import Settings
from mrseg_label.errors import Forbidden

Claims = Mapping[str, Any]


@dataclass(frozen=True)
class ProviderUser:
    """Somebody whom the provider has signed in; ``subject`` is its own unchanging name for the person."""

    issuer: str
    subject: str
    name: str
    role: Role


def provider_user_of(claims: Claims, settings: Settings, issuer: str) -> ProviderUser:
    """The person of whom the claims are.

    Raises
    ------
    Forbidden
        They name nobody, or somebody without a role on this server; the message names the claim.
    """
    subject, name = claims.get("sub"), claims.get(settings.oidc_name_claim)
    if not isinstance(subject, str) or not subject or not isinstance(name, str) or not name:
        raise Forbidden(
            f"the identity provider does not say by what name: the claim {settings.oidc_name_claim!r} is missing "
            "(OIDC_NAME_CLAIM, OIDC_SCOPES); tell an administrator"
        )
    found = entries(claims, settings.oidc_role_claim)
    for entry, role in roles(settings):  # the highest first
        if entry in found:
            return ProviderUser(issuer, subject, name, role)
    wanted = " or ".join(entry for entry, _ in reversed(roles(settings)))
    raise Forbidden(
        f"the identity provider knows you as {name[:80]}, but gives you no role on this server: "
        f"its claim {settings.oidc_role_claim!r} has to list {wanted}; ask whoever manages the hospital's accounts"
    )


def has_required_claims(claims: Claims, settings: Settings) -> bool:
    """Whether name and roles are among the claims."""
    return settings.oidc_name_claim in claims and bool(entries(claims, settings.oidc_role_claim))


def entries(claims: Claims, path: str) -> frozenset[str]:
    """The texts under a claim; one whose whole name has dots, such as an address, wins over the path."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return frozenset({found})
    return frozenset(entry for entry in found if isinstance(entry, str)) if isinstance(found, list) else frozenset()
