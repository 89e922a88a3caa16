"""The check of sign-in."""

from __future__ import annotations

from mrseg_label.accounts import service
from mrseg_label.catalog import Catalog
from mrseg_label.catalog.types import Role
from mrseg_label.maintenance.checks.check import Check, State
from mrseg_label.paths import quoted
from mrseg_label.workspace import Workspace


def check_sign_in(workspace: Workspace) -> Check:
    """Check who can sign in, and whether passwords are encrypted in transit; the database must be usable."""
    settings = workspace.settings
    if settings.auth == "off":
        return Check("sign-in", State.OK, "AUTH is off: only programs on this machine are answered")
    catalog = Catalog(workspace.database_url)
    try:
        active = [account for account in service.list_accounts(catalog) if account.disabled_at is None]
    finally:
        catalog.close()
    if not any(account.role is Role.ADMIN for account in active):
        advice = f"mrseg-label users add NAME --role admin --workspace {quoted(workspace.root)}"
        return Check("sign-in", State.WARNING, "no admin can sign in", advice)
    how = "HTTPS" if settings.tls_certificate else "HTTP behind a proxy" if settings.trusted_proxies else "plain HTTP"
    return Check("sign-in", State.OK, f"{len(active)} accounts can sign in, over {how}")
