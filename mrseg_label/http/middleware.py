"""The middleware that every request passes before it reaches a route."""

from __future__ import annotations

from starlette.middleware import Middleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from mrseg_label.accounts.oidc.settings import is_https
from mrseg_label.accounts.oidc.state_cookie import OidcStateMiddleware
from mrseg_label.accounts.sign_in import SignIn
from mrseg_label.accounts.tokens import signing_secret
from mrseg_label.catalog import Catalog
from mrseg_label.config import Settings, trusted_proxies
from mrseg_label.http.authentication import AuthenticationMiddleware
from mrseg_label.http.head import HeadMiddleware
from mrseg_label.http.limits import LimitsMiddleware, SecurityHeadersMiddleware
from mrseg_label.http.local_only import LocalOnlyMiddleware
from mrseg_label.http.permissions import PermissionTable
from mrseg_label.http.problems import ErrorPage
from mrseg_label.http.public_address import PublicAddressMiddleware, TrailingSlashMiddleware, public_prefix
from mrseg_label.http.request_ids import RequestIdMiddleware


def middleware_stack(
    settings: Settings,
    catalog: Catalog,
    sign_in: SignIn | None,
    permissions: PermissionTable,
    error_page: ErrorPage | None = None,
) -> list[Middleware]:
    """Return the middleware of a server, outermost first.

    Parameters
    ----------
    sign_in : None with ``AUTH=off``; the server then answers only its own machine.
    error_page : renders a refusal for browsers.

    Raises
    ------
    ConfigurationError
        TRUSTED_PROXIES is not a list of addresses and networks, or PUBLIC_URL is not an address.
    """
    limits = Middleware(
        LimitsMiddleware,
        permissions=permissions,
        megabytes=settings.max_upload_mb,
        idle_seconds=settings.request_idle_seconds,
    )
    proxies = trusted_proxies(settings.trusted_proxies)
    request_ids = Middleware(RequestIdMiddleware, proxies=() if sign_in is None else proxies)
    headers = Middleware(SecurityHeadersMiddleware)
    public = Middleware(PublicAddressMiddleware, settings=settings, permissions=permissions)
    heads = Middleware(HeadMiddleware, permissions=permissions)
    slashes = Middleware(TrailingSlashMiddleware, permissions=permissions)
    if sign_in is None:
        return [request_ids, public, headers, Middleware(LocalOnlyMiddleware), heads, limits, slashes]
    forwarded = [Middleware(ProxyHeadersMiddleware, trusted_hosts=proxies)] if proxies else []
    return [
        request_ids,
        *forwarded,
        public,
        headers,
        heads,
        Middleware(
            AuthenticationMiddleware, catalog=catalog, sign_in=sign_in, permissions=permissions, error_page=error_page
        ),
        Middleware(OidcStateMiddleware, signing_secret(catalog), is_https(settings), public_prefix(settings)),
        limits,
        slashes,
    ]
