"""Who may use the pages."""

from __future__ import annotations

from collections.abc import Sequence

from mrseg_label.accounts.rules import READERS, Rule

ACCOUNT = "/account"
SIGN_IN = "/account/sign-in"
SIGN_OUT = "/account/sign-out"
APP_PASSWORDS = "/account/app-passwords"
REVOKE = "/account/app-passwords/{credential}/revoke"
OIDC_LOGIN = "/auth/oidc/login"
OIDC_CALLBACK = "/auth/oidc/callback"


def web_rules() -> Sequence[Rule]:
    """The rules of pages, their forms, and the way to the identity provider and back."""
    own_page = "From its own page alone"
    return [
        Rule("GET", OIDC_LOGIN, None),
        Rule("GET", OIDC_CALLBACK, None),
        Rule("GET", SIGN_IN, None),
        Rule("POST", SIGN_IN, None, note=own_page),
        Rule("GET", ACCOUNT, READERS, note="One's own; browsers are led to the sign-in", sign_in_page=SIGN_IN),
        Rule("POST", SIGN_OUT, READERS, note=own_page, sign_in_page=SIGN_IN),
        Rule("POST", APP_PASSWORDS, READERS, note=f"One's own. {own_page}", sign_in_page=SIGN_IN),
        Rule("POST", REVOKE, READERS, note=f"One's own. {own_page}", sign_in_page=SIGN_IN),
    ]
