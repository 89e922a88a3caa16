"""The hospital's identity provider: whom it has signed in, and with which role.

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
from mrseg_label.accounts.oidc.settings import check_sign_in_settings, is_safe
from mrseg_label.config import Settings
from mrseg_label.errors import Forbidden, InvalidInput, MrsegError, Unauthorized, Unavailable

log = logging.getLogger("mrseg_label.web")
DISCOVERY = "/.well-known/openid-configuration"
ANSWER_SECONDS = 15.0
DESCRIPTION_SECONDS = 3600.0  # after which the provider's addresses and keys are asked for again
# Signatures that the provider alone can make: not "none", nor one with a secret that others know.
SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
# Authlib speaks through httpx or, where that is there, through its successor httpx2, which shares no errors with it.
_SILENCE: tuple[type[Exception], ...] = (
    httpx.HTTPError,
    *((import_module("httpx2").HTTPError,) if find_spec("httpx2") else ()),
)
_UNREADABLE = "the identity provider's answer cannot be read; the server's log says more"


class Provider:
    """The provider of the settings. Nothing is asked of it before somebody wants to sign in.

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

    async def begin_sign_in(self, request: Request, redirect_uri: str) -> Response:
        """Lead a browser to the provider's sign-in.

        Raises
        ------
        Unavailable
            The provider does not answer, or not as an OpenID provider.
        """
        client = await self._ready()
        sent: Response = await client.authorize_redirect(request, redirect_uri)
        return sent

    async def finish_sign_in(self, request: Request) -> ProviderUser:
        """Whom the provider has signed in.

        Raises
        ------
        InvalidInput, Unauthorized
            What came back was not sent by the provider, for this browser, just now.
        Forbidden
            The provider or the person said no, or the person has none of the roles of this server.
        Unavailable
            The provider does not answer.
        """
        query = request.query_params
        if any(len(query.getlist(key)) > 1 for key in ("state", "code", "iss", "error")):
            raise InvalidInput("this is no answer of the identity provider; sign in again")
        if "error" in query:
            raise _refused(query["error"])
        if not query.get("code") or not query.get("state"):
            raise InvalidInput("this page is where the identity provider leads back to; begin with the sign-in")
        client = await self._ready()
        issuer = client.server_metadata["issuer"]
        if query.get("iss", issuer) != issuer:
            raise Unauthorized("this answer came from another identity provider; sign in again")
        try:
            claims = await self._claims(client, request)
        except _SILENCE as error:
            raise self._silent(error) from error
        except JoseError as error:
            log.warning("an ID token of %s was refused: %s", self._issuer, error.error)
            raise Unauthorized("the identity provider's answer is not valid for this sign-in; sign in again") from error
        except AuthlibBaseError as error:
            raise _refused(error.error) from error
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            log.exception("the answer of %s cannot be read", self._issuer)
            raise Unavailable(_UNREADABLE) from error
        return provider_user_of(claims, self._settings, self._issuer)

    async def _claims(self, client: Any, request: Request) -> Claims:
        """What the ID token says, and for what it does not say the userinfo endpoint."""
        token = await client.authorize_access_token(request)
        claims: Claims | None = token.get("userinfo")
        if not claims:
            raise Unavailable("the identity provider sent no ID token; is OpenID Connect on for this client?")
        endpoint = client.server_metadata.get("userinfo_endpoint")
        if has_required_claims(claims, self._settings) or not isinstance(endpoint, str) or not is_safe(endpoint):
            return claims
        told: Claims = await client.userinfo(token=token)
        if told.get("sub") != claims["sub"]:
            raise Unauthorized("the identity provider's answers are about two persons; sign in again")
        top = self._settings.oidc_role_claim.partition(".")[0]
        # A claim without roles in the ID token must not hide the one that has them.
        return {**claims, **{key: value for key, value in told.items() if key not in claims or key == top}}

    async def _ready(self) -> Any:
        """A client that knows where the provider's endpoints are."""
        if self._client is not None and time.monotonic() - self._loaded < DESCRIPTION_SECONDS:
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
                "timeout": ANSWER_SECONDS,
                **({"token_endpoint_auth_method": "none"} if secret is None else {}),
            },
        )
        try:
            found = await client.load_server_metadata()
        except _SILENCE as error:
            raise self._silent(error) from error
        except (ValueError, TypeError) as error:
            raise self._wrong("what is there describes no OpenID provider") from error
        if str(found.get("issuer", "")).rstrip("/") != self._issuer.rstrip("/"):
            raise self._wrong(f"what is there calls itself {found.get('issuer')!r:.200}")
        for key in _ENDPOINTS:
            if not isinstance(found.get(key), str) or not is_safe(found[key]):
                raise self._wrong(f"its {key} is no https address")
        offered = found.get("id_token_signing_alg_values_supported")
        kept = [name for name in SIGNATURES if name in offered] if isinstance(offered, list) else []
        found["id_token_signing_alg_values_supported"] = kept or ["RS256"]
        self._client, self._loaded = client, time.monotonic()
        return client

    def _silent(self, error: Exception) -> Unavailable:
        log.error("the identity provider %s did not answer as it should: %s", self._issuer, type(error).__name__)
        return Unavailable("the identity provider does not answer; try again later, or sign in with a local account")

    def _wrong(self, what: str) -> Unavailable:
        log.error("OIDC_ISSUER %s cannot be used: %s", self._issuer, what)
        return Unavailable(_UNREADABLE)


def _refused(code: str | None) -> MrsegError:
    """What the person reads; never the words that came along, which anybody could write into an address."""
    if code == "access_denied":
        return Forbidden("the identity provider did not let you in, or you said no")
    if code in ("server_error", "temporarily_unavailable"):
        return Unavailable("the identity provider cannot answer now; try again later")
    if code == "mismatching_state":
        return InvalidInput("this sign-in was not begun in this browser, or too long ago; sign in again")
    if code in ("invalid_client", "unauthorized_client"):
        log.error("the identity provider does not accept OIDC_CLIENT_ID and OIDC_CLIENT_SECRET (%s)", code)
        return Unauthorized("the identity provider does not accept this server; tell its administrator")
    return Unauthorized("the identity provider did not accept this sign-in; sign in again")
