"""Paths that several rooms need: the REST prefix, and the pages with their forms."""

from __future__ import annotations

REST = "/api/v1"

API_DOCS = "/docs"
API_DOCS_FILES = ("/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js")

ACCOUNT = "/account"
SIGN_IN = "/account/sign-in"
SIGN_OUT = "/account/sign-out"
APP_PASSWORDS = "/account/app-passwords"
REVOKE = "/account/app-passwords/{credential}/revoke"
OIDC_LOGIN = "/auth/oidc/login"
OIDC_CALLBACK = "/auth/oidc/callback"
