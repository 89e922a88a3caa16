"""``jobs``: the work of the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mrseg_label.cli.common import (
    HERE,
    CursorOption,
    JsonOption,
    LimitOption,
    WorkspaceOption,
    opened,
    print_json,
    print_line,
    print_list,
    rows_of,
)
from mrseg_label.cli.completion import FAILED_JOBS

if TYPE_CHECKING:
    from mrseg_label.reports.documents.jobs import JobOut

group = typer.Typer(help="List the work of the workers, and have failed work tried again.", no_args_is_help=True)


@group.command("list")
def list_jobs(
    state: Annotated[
        Literal["queued", "running", "done", "failed", "cancelled"] | None,
        typer.Option(help="Only jobs in this state.", show_default="queued, running and failed"),
    ] = None,
    limit: LimitOption = None,
    cursor: CursorOption = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first, with the reason why one failed or was put aside."""
    from mrseg_label.catalog.types import JobState
    from mrseg_label.reports.jobs import read_jobs

    with opened(folder) as workspace:
        wanted = JobState(state) if state else None
        page = read_jobs(workspace.catalog, rows_of(limit, as_json), cursor, wanted)
    print_list(page, as_json, ("job", "work", "on", "state", "attempt", "deaths", "remark"), _row)


def _row(job: JobOut) -> tuple[object, ...]:
    return (
        job.id,
        job.kind,
        " ".join(str(value) for value in job.subject.values()),
        "put aside" if job.put_aside else job.state,
        f"{job.attempt} of {job.max_attempts}",
        job.deaths,
        _remark(job),
    )


def _remark(job: JobOut) -> str:
    """How far a running job is, or why the last attempt ended."""
    if job.progress and job.state == "running":
        return ", ".join(f"{name} {value}" for name, value in job.progress.items())
    return (job.error or "").strip().rpartition("\n")[2]


@group.command("retry")
def retry(
    job: Annotated[
        str, typer.Argument(metavar="JOB", help="Id of the job, from `jobs list`.", autocompletion=FAILED_JOBS)
    ],
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Have a job that failed, was put aside or was cancelled tried again; attempts are counted anew."""
    from mrseg_label.jobs import queue
    from mrseg_label.reports.jobs import read_job

    with opened(folder) as workspace:
        queue.retry(workspace.catalog, job)
        document = read_job(workspace.catalog, job)
    if as_json:
        print_json(document)
    else:
        print_line(f"Job {job} is queued again.")


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="jobs")
