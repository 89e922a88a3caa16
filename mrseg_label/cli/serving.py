"""``serve`` and ``worker``."""

from __future__ import annotations

from typing import Annotated

import typer

from mrseg_label.cli.common import HERE, WorkspaceOption, opened, print_line


def serve(
    folder: WorkspaceOption = HERE,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that answer requests; more than one needs PostgreSQL.")
    ] = 1,
) -> None:
    """Start the server (MONAI Label protocol, REST, web pages) with the workers of this machine."""
    from mrseg_label.http import server
    from mrseg_label.http.further_processes import check_processes
    from mrseg_label.maintenance.checks.settings import require_settings
    from mrseg_label.maintenance.permissions import close_workspace
    from mrseg_label.workspace import Workspace

    workspace = Workspace.open(folder)
    check_processes(workspace, processes)
    wrong = require_settings(workspace, computes=workspace.settings.workers > 0)
    server.check_can_start(workspace)
    for warning in (*wrong, *close_workspace(workspace), *server.find_warnings(workspace, host)):
        typer.echo(f"warning: {warning}", err=True)
    url = server.server_url(workspace, host, port)

    def on_ready() -> None:
        typer.echo(f"Serving {workspace.root} at {url} (Ctrl-C stops the server).", err=True)
        if workspace.settings.public_url is not None:
            typer.echo(f"Browsers and 3D Slicer reach it at {workspace.settings.public_url}.", err=True)

    server.run_server(workspace, host, port, on_ready, processes)


def health(
    folder: WorkspaceOption = HERE,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address that the server listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port that the server listens on.")] = 8000,
) -> None:
    """Check that the server on this machine answers, by HTTPS if it has a certificate; for containers and monitoring."""
    from mrseg_label.config import load_settings
    from mrseg_label.maintenance.health import check_health

    print_line(check_health(load_settings(folder), host, port))


def worker(
    folder: WorkspaceOption = HERE,
    queues: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Queues to work on, separated by commas.", show_default="all"),
    ] = None,
    dask: Annotated[
        bool, typer.Option("--dask", help="Join the cluster of DASK_SCHEDULER, which hands the work out.")
    ] = False,
    gpus: Annotated[
        int | None, typer.Option(min=0, help="With --dask: trainings at a time.", show_default="one for each GPU")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="With --dask: worker processes at a time.", show_default="GPUs + 1")
    ] = None,
) -> None:
    """Run a worker for a workspace that another machine serves; needs PostgreSQL and a shared folder."""
    from mrseg_label.catalog import Catalog
    from mrseg_label.jobs.queue import LIGHT, QUEUES
    from mrseg_label.maintenance.checks.settings import require_settings
    from mrseg_label.worker.foreground import run_worker
    from mrseg_label.workspace import Workspace

    chosen = [name.strip() for name in queues.split(",")] if queues else list(QUEUES)
    unknown = [name for name in chosen if name not in QUEUES]
    if unknown:
        raise typer.BadParameter(
            f"there is no queue {', '.join(unknown)}; choose from {', '.join(QUEUES)}", param_hint="--queues"
        )
    workspace = Workspace.open(folder)
    for warning in require_settings(workspace, computes=chosen != [LIGHT]):
        typer.echo(f"warning: {warning}", err=True)
    catalog = Catalog(workspace.database_url)
    try:
        catalog.check_current()
    finally:
        catalog.close()
    if dask:
        from mrseg_label.worker.dask.node import join_workspace

        join_workspace(workspace, gpus=gpus, threads=threads)
        return
    raise typer.Exit(run_worker(workspace.root, chosen))


def slurm(
    folder: WorkspaceOption = HERE,
    jobs: Annotated[int, typer.Option(min=1, help="Most jobs at a time.")] = 1,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of a job.")] = 1,
    cpus: Annotated[int, typer.Option(min=1, help="Cores of a job.")] = 8,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Memory of a job.")] = "32GB",
    time_limit: Annotated[str, typer.Option(metavar="TIME", help="Time limit of a job.")] = "1-00:00:00",
    partition: Annotated[str | None, typer.Option(metavar="NAME", help="Slurm's partition.")] = None,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="Slurm's account.")] = None,
    sbatch: Annotated[list[str] | None, typer.Option(metavar="OPTION", help="Further option of sbatch.")] = None,
    print_script: Annotated[bool, typer.Option("--print", help="Print the script of a job, and submit none.")] = False,
) -> None:
    """Run the scheduler of DASK_SCHEDULER here, with as many Slurm jobs as there are rounds to train."""
    from mrseg_label.maintenance.checks.settings import require_settings
    from mrseg_label.worker.dask import slurm as service
    from mrseg_label.workspace import Workspace

    options = service.SlurmJobs(jobs, time_limit, gpus, cpus, memory, partition, account, tuple(sbatch or ()))
    if print_script:
        print_line(service.job_script(Workspace.open(folder), options))
        return
    with opened(folder) as workspace:
        for warning in require_settings(workspace, computes=False):
            typer.echo(f"warning: {warning}", err=True)
        service.run_on_slurm(workspace, options)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("serve")(serve)
    app.command("health")(health)
    app.command("worker")(worker)
    app.command("slurm")(slurm)
