"""The hospital's identity provider as an OpenID Connect client sees it.

References
----------
OpenID Connect Core 1.0. https://openid.net/specs/openid-connect-core-1_0.html
OpenID Connect Discovery 1.0. https://openid.net/specs/openid-connect-discovery-1_0.html
RFC 7636, Proof Key for Code Exchange. https://www.rfc-editor.org/rfc/rfc7636
RFC 9207, Authorization Server Issuer Identification. https://www.rfc-editor.org/rfc/rfc9207
"""

from __future__ import annotations

import logging
import time
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import JoseError
from starlette.requests import Request
from starlette.responses import Response

from mrseg_label.accounts.oidc.claims import Claims, ProviderUser, has_required_claims, provider_user_of
from mrseg_label.accounts.oidc.settings import check_sign_in_settings, is_secure
from mrseg_label.config import Settings
from mrseg_label.errors import Forbidden, InvalidInput, MrsegError, Unauthorized, Unavailable

log = logging.getLogger("mrseg_label.accounts")
DISCOVERY = "/.well-known/openid-configuration"
TIMEOUT_SECONDS = 15.0
METADATA_SECONDS = 3600.0  # how long the provider's addresses and keys are cached
# Asymmetric signatures, which only the provider can make: neither "none" nor a shared secret.
SIGNATURE_ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
# Authlib uses httpx or, if that is installed, its successor httpx2, whose errors are classes of their own.
_HTTP_ERRORS: tuple[type[Exception], ...] = (
    httpx.HTTPError,
    *((import_module("httpx2").HTTPError,) if find_spec("httpx2") else ()),
)
_UNREADABLE_REPLY = "the identity provider's reply cannot be read; the server log has the details"


class Provider:
    """The provider that the settings name. No request is sent to it until a user signs in.

    Raises
    ------
    ConfigurationError
        The settings contradict each other.
    """

    def __init__(self, settings: Settings) -> None:
        check_sign_in_settings(settings)
        assert settings.oidc_issuer is not None
        self._settings = settings
        self._issuer = settings.oidc_issuer
        self._client: Any = None
        self._loaded = 0.0

    async def redirect_to_provider(self, request: Request, redirect_uri: str) -> Response:
        """Redirect a browser to the provider's sign-in.

        Raises
        ------
        Unavailable
            The provider does not answer, or is not an OpenID provider.
        """
        client = await self._loaded_client()
        redirect: Response = await client.authorize_redirect(request, redirect_uri)
        return redirect

    async def read_callback(self, request: Request) -> ProviderUser:
        """Read the request with which the provider sends the browser back; returns the user it has authenticated.

        Raises
        ------
        InvalidInput, Unauthorized
            The provider did not send this for this browser and this sign-in.
        Forbidden
            The provider or the user refused, or the user has none of the roles of this server.
        Unavailable
            The provider does not answer.
        """
        query = request.query_params
        if any(len(query.getlist(key)) > 1 for key in ("state", "code", "iss", "error")):
            raise InvalidInput("this address is not a reply of the identity provider; sign in again")
        if "error" in query:
            raise _refusal(query["error"])
        if not query.get("code") or not query.get("state"):
            raise InvalidInput("the identity provider sends browsers to this page; start at the sign-in")
        client = await self._loaded_client()
        issuer = client.server_metadata["issuer"]
        if query.get("iss", issuer) != issuer:
            raise Unauthorized("this reply is from another identity provider; sign in again")
        try:
            claims = await self._claims(client, request)
        except _HTTP_ERRORS as error:
            raise self._no_answer(error) from error
        except JoseError as error:
            log.warning("an ID token of %s was refused: %s", self._issuer, error.error)
            raise Unauthorized("the identity provider's reply is not valid for this sign-in; sign in again") from error
        except AuthlibBaseError as error:
            raise _refusal(error.error) from error
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            log.exception("the reply of %s cannot be read", self._issuer)
            raise Unavailable(_UNREADABLE_REPLY) from error
        return provider_user_of(claims, self._settings, self._issuer)

    async def _claims(self, client: Any, request: Request) -> Claims:
        """Return the claims of the ID token, completed by those of the userinfo endpoint."""
        token = await client.authorize_access_token(request)
        claims: Claims | None = token.get("userinfo")
        if not claims:
            raise Unavailable(
                "the identity provider sent no ID token; enable OpenID Connect for this client at the provider"
            )
        endpoint = client.server_metadata.get("userinfo_endpoint")
        if has_required_claims(claims, self._settings) or not isinstance(endpoint, str) or not is_secure(endpoint):
            return claims
        further: Claims = await client.userinfo(token=token)
        if further.get("sub") != claims["sub"]:
            raise Unauthorized("the identity provider's replies are about different users; sign in again")
        top = self._settings.oidc_role_claim.partition(".")[0]
        # The claim in the ID token may lack the roles that the one of the userinfo endpoint has.
        return {**claims, **{key: value for key, value in further.items() if key not in claims or key == top}}

    async def _loaded_client(self) -> Any:
        """Return a client that has loaded the provider's metadata."""
        if self._client is not None and time.monotonic() - self._loaded < METADATA_SECONDS:
            return self._client
        secret = self._settings.oidc_client_secret
        client = OAuth().register(
            "provider",
            client_id=self._settings.oidc_client_id,
            client_secret=None if secret is None else secret.get_secret_value(),
            server_metadata_url=self._issuer.rstrip("/") + DISCOVERY,
            client_kwargs={
                "scope": self._settings.oidc_scopes,
                "code_challenge_method": "S256",
                "timeout": TIMEOUT_SECONDS,
                **({"token_endpoint_auth_method": "none"} if secret is None else {}),
            },
        )
        try:
            found = await client.load_server_metadata()
        except _HTTP_ERRORS as error:
            raise self._no_answer(error) from error
        except (ValueError, TypeError) as error:
            raise self._unusable("the reply is not the metadata of an OpenID provider") from error
        if str(found.get("issuer", "")).rstrip("/") != self._issuer.rstrip("/"):
            raise self._unusable(f"the provider there calls itself {found.get('issuer')!r:.200}")
        for key in _ENDPOINTS:
            if not isinstance(found.get(key), str) or not is_secure(found[key]):
                raise self._unusable(f"its {key} is not an https address")
        offered = found.get("id_token_signing_alg_values_supported")
        usable = [name for name in SIGNATURE_ALGORITHMS if name in offered] if isinstance(offered, list) else []
        found["id_token_signing_alg_values_supported"] = usable or ["RS256"]
        self._client, self._loaded = client, time.monotonic()
        return client

    def _no_answer(self, error: Exception) -> Unavailable:
        log.error("the identity provider %s did not answer: %s", self._issuer, type(error).__name__)
        return Unavailable("the identity provider does not answer; try again later, or sign in with a local account")

    def _unusable(self, what: str) -> Unavailable:
        log.error("OIDC_ISSUER %s cannot be used: %s", self._issuer, what)
        return Unavailable(_UNREADABLE_REPLY)


def _refusal(code: str | None) -> MrsegError:
    """Return the error for a code; its description is not shown, since anybody can write one into an address."""
    if code == "access_denied":
        return Forbidden("the identity provider refused access, or you declined it")
    if code in ("server_error", "temporarily_unavailable"):
        return Unavailable("the identity provider cannot answer now; try again later")
    if code == "mismatching_state":
        return InvalidInput("this sign-in was started in another browser or has expired; sign in again")
    if code in ("invalid_client", "unauthorized_client"):
        log.error("the identity provider does not accept OIDC_CLIENT_ID and OIDC_CLIENT_SECRET (%s)", code)
        return Unauthorized("the identity provider does not accept this server; tell an administrator of this server")
    return Unauthorized("the identity provider did not accept this sign-in; sign in again")
