"""The middleware that every request passes before a route sees it, outermost first."""

from __future__ import annotations

import ipaddress

from starlette.middleware import Middleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from mrseg_label.accounts.oidc.settings import is_https
from mrseg_label.accounts.oidc.state_cookie import OidcStateMiddleware
from mrseg_label.accounts.sign_in import SignIn
from mrseg_label.accounts.tokens import signing_secret
from mrseg_label.catalog import Catalog
from mrseg_label.config import Settings
from mrseg_label.errors import ConfigurationError
from mrseg_label.http.authentication import AuthenticationMiddleware
from mrseg_label.http.limits import LimitsMiddleware, SecurityHeadersMiddleware
from mrseg_label.http.local_only import LocalOnlyMiddleware
from mrseg_label.http.permissions import PermissionTable


def middleware_stack(
    settings: Settings, catalog: Catalog, sign_in: SignIn | None, permissions: PermissionTable
) -> list[Middleware]:
    """Return the middleware of a server.

    Parameters
    ----------
    sign_in : None where sign-in is off; then only this machine is answered.

    Raises
    ------
    ConfigurationError
        TRUSTED_PROXIES cannot be used.
    """
    limits = Middleware(
        LimitsMiddleware,
        permissions=permissions,
        megabytes=settings.max_upload_mb,
        idle_seconds=settings.request_idle_seconds,
    )
    proxies = trusted_proxies(settings.trusted_proxies)
    if sign_in is None:
        return [Middleware(SecurityHeadersMiddleware), Middleware(LocalOnlyMiddleware), limits]
    forwarded = [Middleware(ProxyHeadersMiddleware, trusted_hosts=proxies)] if proxies else []
    return [
        *forwarded,
        Middleware(SecurityHeadersMiddleware),
        Middleware(AuthenticationMiddleware, catalog=catalog, sign_in=sign_in, permissions=permissions),
        Middleware(OidcStateMiddleware, signing_secret(catalog), is_https(settings)),
        limits,
    ]


def trusted_proxies(text: str) -> list[str]:
    """Parse TRUSTED_PROXIES: addresses and networks, separated by commas.

    Raises
    ------
    ConfigurationError
        An entry is neither, or covers every address, so that anyone could forge a forwarding header.
    """
    found = [part.strip() for part in text.split(",") if part.strip()]
    for part in found:
        try:
            network = ipaddress.ip_network(part)
        except ValueError as error:
            raise ConfigurationError(
                f"TRUSTED_PROXIES: {part!r} is not an address or network such as 10.1.2.3 or 10.1.2.0/24 ({error})"
            ) from error
        if network.prefixlen == 0:
            raise ConfigurationError(f"TRUSTED_PROXIES: {part!r} covers every address; name the proxies")
    return found
