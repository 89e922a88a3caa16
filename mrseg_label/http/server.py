"""Run the HTTP server of a workspace."""

from __future__ import annotations

import os

from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.config import tls_files
from mrseg_label.http.local_only import LOCAL_NAMES
from mrseg_label.http.slow_clients import limited_protocol
from mrseg_label.paths import quoted
from mrseg_label.workspace import Workspace

APPLICATION = "mrseg_monailabel.server:create_app"  # by its import string: nothing here imports the MONAI Label side


def find_warnings(workspace: Workspace, host: str) -> list[str]:
    """Find what an admin should know before the server listens on ``host``."""
    settings = workspace.settings
    beyond_this_machine = host not in LOCAL_NAMES
    if settings.auth == "off":
        refused = f"AUTH is off: the server will answer requests from other machines to {host} with 403 (forbidden)"
        return [refused] if beyond_this_machine else []
    found = []
    if not _has_accounts(workspace):
        found.append(
            "There are no accounts yet. Create the first admin, also while the server runs: "
            f"mrseg-label users add NAME --role admin --workspace {quoted(workspace.root)}"
        )
    if beyond_this_machine and settings.tls_certificate is None and not settings.trusted_proxies:
        found.append(
            "Without TLS, passwords and images cross the network unencrypted. Set TLS_CERTIFICATE and TLS_KEY, "
            "or put the server behind a proxy and name it in TRUSTED_PROXIES."
        )
    return found


def server_url(workspace: Workspace, host: str, port: int) -> str:
    """Return the address under which the server answers."""
    scheme = "http" if workspace.settings.tls_certificate is None else "https"
    return f"{scheme}://{host}:{port}"


def run_server(workspace: Workspace, host: str, port: int) -> None:
    """Run the application of a workspace until a signal ends it."""
    import uvicorn

    certificate, key = tls_files(workspace.settings)
    os.environ["MRSEG_WORKSPACE"] = str(workspace.root)

    uvicorn.run(
        APPLICATION,
        factory=True,
        host=host,
        port=port,
        http=limited_protocol(workspace.settings.request_idle_seconds),
        ssl_certfile=certificate,
        ssl_keyfile=key,
        access_log=False,  # it would record query strings, and with them tickets
        proxy_headers=False,  # the application itself trusts those of TRUSTED_PROXIES
        server_header=False,
        timeout_graceful_shutdown=10,
    )


def _has_accounts(workspace: Workspace) -> bool:
    opened = open_workspace(workspace.root)
    try:
        return bool(accounts.list_accounts(opened.catalog))
    finally:
        opened.close()
