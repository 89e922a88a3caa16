"""Run the HTTP server of a workspace."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable

from mrseg_label import logs
from mrseg_label.accounts import service as accounts
from mrseg_label.catalog.opening import open_workspace
from mrseg_label.config import tls_files
from mrseg_label.http.further_processes import FurtherProcesses
from mrseg_label.http.local_names import LOCAL_NAMES
from mrseg_label.http.slow_clients import limited_protocol
from mrseg_label.paths import quoted
from mrseg_label.reports.status import check_ready
from mrseg_label.workspace import Workspace

SHARED_FIGURES = "PROMETHEUS_MULTIPROC_DIR"  # where the processes of a server count requests together
GRACE_SECONDS = 7  # for requests under way at the end; Docker kills after ten
APPLICATION = "mrseg_monailabel.server:create_app"  # by its import string: nothing here imports the MONAI Label side


def _nothing() -> None:
    """Do nothing."""


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


def check_can_start(workspace: Workspace) -> None:
    """Check that the database answers, upgrading it if necessary, and that the workspace can be written.

    Raises
    ------
    ConfigurationError, Unavailable
        The server could not work.
    """
    opened = open_workspace(workspace.root)
    try:
        check_ready(opened)
    finally:
        opened.close()


def run_server(workspace: Workspace, host: str, port: int, on_ready: Callable[[], None], processes: int = 1) -> None:
    """Run the application of a workspace until a signal ends it.

    Parameters
    ----------
    on_ready : called as soon as requests are answered.
    processes : how many processes answer them; the first also keeps the workers of this machine running.

    Raises
    ------
    Unavailable, ConfigurationError
        The address cannot be used.
    """
    from mrseg_label.http.listening import listen

    sockets = listen(host, port)
    if processes > 1:  # before the library is imported that counts requests: this process would count alone
        os.environ[SHARED_FIGURES] = tempfile.mkdtemp(prefix="mrseg-metrics-")
    further = FurtherProcesses(workspace, sockets, processes - 1)
    try:
        further.start()
        serve_sockets(workspace, sockets, APPLICATION, on_ready, further.tell_to_end, further.stop)
    except KeyboardInterrupt:
        pass  # Ctrl-C is how a server at a terminal ends
    finally:
        further.stop()
        for one in sockets:
            one.close()
        if processes > 1:
            shutil.rmtree(os.environ.pop(SHARED_FIGURES), ignore_errors=True)


def serve_sockets(
    workspace: Workspace,
    sockets: list[socket.socket],
    application: str,
    on_ready: Callable[[], None] = _nothing,
    on_end: Callable[[], None] = _nothing,
    on_ended: Callable[[], None] = _nothing,
) -> None:
    """Answer the requests that come to listening sockets until a signal ends this process.

    Parameters
    ----------
    application : import string of the application's factory.
    on_ready : called as soon as requests are answered.
    on_end : called when no further ones are taken; those under way still are answered.
    on_ended : called when all are answered, before the signal ends this process.
    """
    import uvicorn

    from mrseg_label.http.listening import Server

    logs.configure(workspace.settings.log_format)
    certificate, key = tls_files(workspace.settings)
    os.environ["MRSEG_WORKSPACE"] = str(workspace.root)
    config = uvicorn.Config(
        application,
        factory=True,
        http=limited_protocol(workspace.settings.request_idle_seconds),
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_config=None,  # by the lines before
        access_log=False,  # it would record query strings, and with them tickets
        proxy_headers=False,  # the application itself trusts those of TRUSTED_PROXIES
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    Server(config, on_ready, on_end, on_ended).run(sockets)


def _has_accounts(workspace: Workspace) -> bool:
    opened = open_workspace(workspace.root)
    try:
        return bool(accounts.list_accounts(opened.catalog))
    finally:
        opened.close()
