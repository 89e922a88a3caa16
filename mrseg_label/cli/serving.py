"""``serve`` and ``worker``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from mrseg_label.cli.common import HERE, WorkspaceOption

if TYPE_CHECKING:
    from mrseg_label.workspace import Workspace

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(
    workspace: WorkspaceOption = HERE,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve the workspace: MONAI Label protocol, REST, and the workers of this machine."""
    from mrseg_label.accounts.oidc.settings import check_sign_in_settings
    from mrseg_label.config import tls_files
    from mrseg_label.workspace import Workspace

    found = Workspace.open(workspace)
    settings = found.settings
    check_sign_in_settings(settings)
    certificate, _ = tls_files(settings)
    scheme = "http" if certificate is None else "https"
    if settings.auth == "off":
        if host not in _LOOPBACK:
            typer.echo(f"AUTH is off: requests from other machines to {host} will be refused (403)", err=True)
    else:
        _say_who_may_sign_in(found)
        if certificate is None and host not in _LOOPBACK and not settings.trusted_proxies:
            typer.echo(
                "warning: without TLS passwords and images cross the network in the clear; set TLS_CERTIFICATE and TLS_KEY",
                err=True,
            )
    typer.echo(f"serving {found.root} at {scheme}://{host}:{port} (Ctrl-C ends it)", err=True)
    run_server(found, host, port)


def run_server(found: Workspace, host: str, port: int) -> None:
    """Run the application of a workspace until a signal ends it."""
    import uvicorn

    from mrseg_label.config import tls_files
    from mrseg_label.http.slow_clients import patient

    certificate, key = tls_files(found.settings)
    os.environ["MRSEG_WORKSPACE"] = str(found.root)

    uvicorn.run(
        "mrseg_monailabel.server:create_app",
        factory=True,
        host=host,
        port=port,
        http=patient(found.settings.request_idle_seconds),
        ssl_certfile=certificate,
        ssl_keyfile=key,
        access_log=False,  # it would write query strings down, and with them tickets
        proxy_headers=False,  # the application believes those of TRUSTED_PROXIES
        server_header=False,
        timeout_graceful_shutdown=10,
    )


def _say_who_may_sign_in(found: Workspace) -> None:
    from mrseg_label.accounts import service
    from mrseg_label.catalog.opening import open_workspace

    opened = open_workspace(found.root)
    try:
        if not service.listing(opened.catalog):
            typer.echo(
                f"nobody can sign in yet; beside the running server: mrseg-label users add NAME --role admin --workspace {found.root}",
                err=True,
            )
    finally:
        opened.close()


def worker(
    workspace: WorkspaceOption = HERE,
    queues: Annotated[
        str | None, typer.Option(help="Which work to do, separated by commas.", show_default="all")
    ] = None,
) -> None:
    """Work on the jobs of a workspace that another machine serves (PostgreSQL and a shared folder)."""
    from mrseg_label.catalog import Catalog
    from mrseg_label.jobs.queue import QUEUES
    from mrseg_label.worker.foreground import run_worker
    from mrseg_label.workspace import Workspace

    chosen = [name.strip() for name in queues.split(",")] if queues else list(QUEUES)
    unknown = [name for name in chosen if name not in QUEUES]
    if unknown:
        raise typer.BadParameter(
            f"there is no queue {', '.join(unknown)}; choose from {', '.join(QUEUES)}", param_hint="--queues"
        )
    found = Workspace.open(workspace)
    catalog = Catalog(found.database_url)
    try:
        catalog.check_current()
    finally:
        catalog.close()
    raise typer.Exit(run_worker(found.root, chosen))


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("serve")(serve)
    app.command("worker")(worker)
