"""The settings of single sign-on, checked before anybody relies on them."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from mrseg_label.catalog.types import Role
from mrseg_label.config import Settings
from mrseg_label.errors import ConfigurationError


def check_sign_in_settings(settings: Settings) -> None:
    """Whether sign-in through an identity provider can work as it is configured; nothing is asked of the provider.

    Raises
    ------
    ConfigurationError
        The message names the keys.
    """
    if settings.public_url is not None:
        check_address("PUBLIC_URL", settings.public_url, path=False)
    if settings.oidc_issuer is None:
        given = [key.upper() for key in ("oidc_client_id", "oidc_client_secret") if getattr(settings, key) is not None]
        if given:
            raise ConfigurationError(f"{' and '.join(given)} without OIDC_ISSUER: set the provider's address too")
        return
    check_address("OIDC_ISSUER", settings.oidc_issuer)
    if not is_safe(settings.oidc_issuer):
        raise ConfigurationError(
            f"OIDC_ISSUER {settings.oidc_issuer!r} is not https: who listens in between could sign in as anybody"
        )
    if not settings.oidc_client_id:
        raise ConfigurationError("OIDC_ISSUER needs OIDC_CLIENT_ID: what the provider calls this server")
    if "openid" not in settings.oidc_scopes.split():
        raise ConfigurationError(f"OIDC_SCOPES {settings.oidc_scopes!r} must have 'openid' among them")
    empty = [key.upper() for key in ("oidc_name_claim", "oidc_role_claim") if not getattr(settings, key).strip()]
    if empty:
        raise ConfigurationError(f"{' and '.join(empty)} must not be empty: it names the claim to look at")
    entries = [entry for entry, _ in roles(settings)]
    if not all(entries) or len(set(entries)) < len(entries):
        raise ConfigurationError(
            "OIDC_ROLE_RADIOLOGIST, OIDC_ROLE_REVIEWER and OIDC_ROLE_ADMIN must be three different entries, none of them empty"
        )


def check_address(key: str, address: str, *, path: bool = True) -> None:
    """Raise :class:`ConfigurationError` unless this is an http(s) address without a query."""
    try:
        parts = urlsplit(address)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        extra = parts.query or parts.fragment or parts.username or (not path and parts.path not in ("", "/"))
    except ValueError:
        fine, extra = False, ""
    if not fine or extra:
        example = "https://id.hospital.example/realms/radiology" if path else "https://mrseg.hospital.example"
        raise ConfigurationError(f"{key} is {address!r:.200}; it must be an address such as {example}")


def is_safe(address: str) -> bool:
    """Whether nobody can listen in on requests to an address: https, or this machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        if parts.scheme == "https":
            return bool(host)
        return parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


def roles(settings: Settings) -> list[tuple[str, Role]]:
    """The provider's entry for each role, the highest first."""
    return [
        (settings.oidc_role_admin, Role.ADMIN),
        (settings.oidc_role_reviewer, Role.REVIEWER),
        (settings.oidc_role_radiologist, Role.RADIOLOGIST),
    ]


def is_https(settings: Settings) -> bool:
    """Whether browsers know this server by https, whatever the connection to it is."""
    return settings.tls_certificate is not None or (settings.public_url or "").lower().startswith("https://")
