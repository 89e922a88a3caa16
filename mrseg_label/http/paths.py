"""Paths that several rooms need: the REST prefix, and the pages with their forms and files."""

from __future__ import annotations

REST = "/api/v1"

API_DOCS = "/docs"
API_DOCS_FILES = ("/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js")

ACCOUNT = "/account"
SIGN_IN = "/account/sign-in"
SIGN_OUT = "/account/sign-out"
APP_PASSWORDS = "/account/app-passwords"
REVOKE = "/account/app-passwords/{credential}/revoke"
MAKE_REVIEW_ADDRESS = "/account/review-addresses"
REVIEW_ADDRESSES = "/as"  # before the secret of an address and what the Slicer extension calls below it
OIDC_LOGIN = "/auth/oidc/login"
OIDC_CALLBACK = "/auth/oidc/callback"

ASSETS = "/assets"
STYLE = f"{ASSETS}/style.css"
SCRIPT = f"{ASSETS}/htmx.js"
ICON = f"{ASSETS}/icon.svg"

DASHBOARD = "/dashboard"
MODELS = f"{DASHBOARD}/models"
ROLL_BACK = f"{MODELS}/rollback"
MODEL = f"{MODELS}/{{version}}"
PROMOTE = f"{MODEL}/promote"
COMPARE = f"{MODEL}/compare/{{other}}"
CHOOSE_COMPARISON = f"{DASHBOARD}/comparison"
ROUNDS = f"{DASHBOARD}/rounds"
ROUND = f"{ROUNDS}/{{number}}"
CANCEL_ROUND = f"{ROUND}/cancel"
RETRY_ROUND = f"{ROUND}/retry"
EXAMINATIONS = f"{DASHBOARD}/examinations"
SEARCH_PARTICIPANT = f"{EXAMINATIONS}/search"
EXAMINATION = f"{EXAMINATIONS}/{{examination}}"
EXCLUDE = f"{EXAMINATION}/exclude"
INCLUDE = f"{EXAMINATION}/include"
QUALITY = f"{DASHBOARD}/quality"
ACCEPT = f"{QUALITY}/{{annotation}}/accept"
REJECT = f"{QUALITY}/{{annotation}}/reject"
OPEN_FOR_REVIEW = f"{QUALITY}/{{annotation}}/open"
USERS = f"{DASHBOARD}/users"
SET_ROLE = f"{USERS}/role"
DISABLE_USER = f"{USERS}/disable"
ENABLE_USER = f"{USERS}/enable"
SIGN_OUT_USER = f"{USERS}/sign-out"
CREATE_KEY = f"{USERS}/key"
REVOKE_CREDENTIAL = f"{USERS}/revoke"
AUDIT = f"{DASHBOARD}/audit"
CONNECT = f"{DASHBOARD}/connect"

# Routes of REST that pages link to.
LOG_OF_ROUND = f"{REST}/rounds/{{number}}/log"
EVENTS = f"{REST}/events"
ARCHIVE = f"{REST}/models/{{version}}/archive"
