"""The settings of single sign-on and their validation."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from mrseg_label.catalog.types import Role
from mrseg_label.config import Settings
from mrseg_label.errors import ConfigurationError

_PUBLIC_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")  # what needs no quoting in an address, a cookie or a page


def check_sign_in_settings(settings: Settings) -> None:
    """Check the settings of sign-in through an identity provider, without a request to the provider.

    Raises
    ------
    ConfigurationError
        The settings contradict each other; the message names the keys.
    """
    check_public_url(settings)
    if settings.oidc_issuer is None:
        given = [key.upper() for key in ("oidc_client_id", "oidc_client_secret") if getattr(settings, key) is not None]
        if given:
            raise ConfigurationError(
                f"{' and '.join(given)} without OIDC_ISSUER: set OIDC_ISSUER to the provider's address too"
            )
        return
    check_address("OIDC_ISSUER", settings.oidc_issuer, "https://id.hospital.example/realms/radiology")
    if not is_secure(settings.oidc_issuer):
        raise ConfigurationError(
            f"OIDC_ISSUER is {settings.oidc_issuer!r}; it must be an https address, or an eavesdropper could sign in as anyone"
        )
    if not settings.oidc_client_id:
        raise ConfigurationError(
            "OIDC_ISSUER without OIDC_CLIENT_ID: set OIDC_CLIENT_ID to the id that the provider gave this server"
        )
    if "openid" not in settings.oidc_scopes.split():
        raise ConfigurationError(f"OIDC_SCOPES is {settings.oidc_scopes!r}; it must contain 'openid'")
    empty = [key.upper() for key in ("oidc_name_claim", "oidc_role_claim") if not getattr(settings, key).strip()]
    if empty:
        raise ConfigurationError(f"{' and '.join(empty)} must not be empty; set it to the name of a claim")
    entries = [entry for entry, _ in role_entries(settings)]
    if not all(entries) or len(set(entries)) < len(entries):
        raise ConfigurationError(
            "OIDC_ROLE_RADIOLOGIST, OIDC_ROLE_REVIEWER and OIDC_ROLE_ADMIN must be three different entries, none of them empty"
        )


def check_public_url(settings: Settings) -> None:
    """Raise :class:`ConfigurationError` unless PUBLIC_URL, if set, is an address under which a proxy can serve us."""
    if settings.public_url is None:
        return
    example = "https://mrseg.hospital.example or https://pacs.hospital.example/mrseg"
    check_address("PUBLIC_URL", settings.public_url, example)
    path = urlsplit(settings.public_url).path.rstrip("/")
    if not _PUBLIC_PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise ConfigurationError(
            f"PUBLIC_URL is {settings.public_url!r:.200}; its path may have letters, digits and . _ ~ - between single "
            f"slashes; it must be an address such as {example}"
        )


def check_address(key: str, address: str, example: str) -> None:
    """Raise :class:`ConfigurationError` unless this is an http(s) address without a query."""
    try:
        parts = urlsplit(address)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        extra = parts.query or parts.fragment or parts.username
    except ValueError:
        fine, extra = False, ""
    if not fine or extra or not address.isprintable() or " " in address:
        raise ConfigurationError(f"{key} is {address!r:.200}; it must be an address such as {example}")


def is_secure(address: str) -> bool:
    """Whether requests to an address cannot be intercepted: it is https, or on this machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        if parts.scheme == "https":
            return bool(host)
        return parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


def role_entries(settings: Settings) -> list[tuple[str, Role]]:
    """Return the provider's entry for each role, the highest first."""
    return [
        (settings.oidc_role_admin, Role.ADMIN),
        (settings.oidc_role_reviewer, Role.REVIEWER),
        (settings.oidc_role_radiologist, Role.RADIOLOGIST),
    ]


def is_https(settings: Settings) -> bool:
    """Whether browsers reach this server by https, even if a proxy reaches it by http."""
    return settings.tls_certificate is not None or (settings.public_url or "").lower().startswith("https://")
