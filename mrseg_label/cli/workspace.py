"""``init``, ``status``, ``upgrade``, ``downgrade``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrseg_label.cli.common import (
    HERE,
    JsonOption,
    WorkspaceOption,
    opened,
    print_fields,
    print_json,
    print_line,
    progress_bar,
)

if TYPE_CHECKING:
    from mrseg_label.reports.documents.jobs import WorkerOut
    from mrseg_label.reports.documents.models import ModelOut
    from mrseg_label.reports.documents.notifications import ChannelOut
    from mrseg_label.reports.documents.sources import SourceOut
    from mrseg_label.reports.documents.status import StatusOut
    from mrseg_label.workspace import Workspace


def init(
    argument: Annotated[Path | None, typer.Argument(metavar="DIR", help="A new or empty folder.")] = None,
    option: Annotated[Path | None, typer.Option("--workspace", metavar="DIR", help="The same as DIR.")] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Label scheme (TSV) instead of the paper's 40 structures.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Create a workspace."""
    from mrseg_label.workspace import Workspace

    if argument is not None and option is not None and argument != option:
        raise typer.BadParameter(f"DIR is {argument}, but --workspace is {option}; give the folder once")
    folder = argument or option or HERE
    Workspace.init(folder, labels)
    with opened(folder) as workspace:
        if as_json:
            scheme = workspace.scheme
            print_json({"workspace": str(workspace.root), "structures": len(scheme), "labels_digest": scheme.digest})
        else:
            _print_next_steps(workspace)


def status(folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Show counts, queues, the current model and the progress to the next round."""
    from mrseg_label.reports.status import read_status

    with opened(folder) as workspace:
        document = read_status(workspace)
    if as_json:
        print_json(document)
    else:
        _print_status(document)


def upgrade(folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Upgrade the database of a workspace to this version of mrseg-label."""
    from mrseg_label.catalog.migrate import migration_state

    with progress_bar("upgrading", as_json), opened(folder) as workspace:  # opening it is what upgrades it
        present, _ = migration_state(workspace.catalog.engine)
    if as_json:
        print_json({"workspace": str(workspace.root), "migration": present})
    else:
        print_line(f"The database of {workspace.root} is up to date (migration {present}).")


def downgrade(
    migration: Annotated[str, typer.Argument(help="The migration of the older version, such as 0002.")],
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Bring the database of a workspace back to an older version of mrseg-label; what it cannot hold is lost."""
    from mrseg_label.maintenance import downgrading

    with progress_bar("downgrading", as_json):
        downgrading.downgrade(folder, migration)
    if as_json:
        print_json({"workspace": str(folder), "migration": migration})
    else:
        print_line(
            f"The database of {folder} is at migration {migration}. Install the older version before anything opens it."
        )


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("init")(init)
    app.command("status")(status)
    app.command("upgrade")(upgrade)
    app.command("downgrade")(downgrade)


def _print_next_steps(workspace: Workspace) -> None:
    from mrseg_label.paths import quoted

    print_line(f"Created a workspace with {len(workspace.scheme)} structures in {workspace.root}.")
    if workspace.settings.auth == "on":
        print_line("Sign-in is on. Create the first admin, then an account for each radiologist and reviewer:")
        print_line(f"  mrseg-label users add NAME --role admin --workspace {quoted(workspace.root)}")
        print_line("To work without accounts, on this machine only, put this line into mrseg.toml:")
        print_line('  AUTH = "off"')
    print_line("Import images, then start the server:")
    print_line(f"  mrseg-label import PATH --workspace {quoted(workspace.root)}")
    print_line(f"  mrseg-label serve --workspace {quoted(workspace.root)}")


def _print_status(document: StatusOut) -> None:
    model, progress = document.current_model, document.progress
    to_next = f"{progress.annotated_since_round} of {progress.round_size} to the next round"
    round_line = f"round {progress.round}: {progress.round_state}" if progress.round else "none in progress"
    counts = document.counts.model_dump(exclude={"revisions"})
    rows: list[tuple[str, object]] = [
        ("workspace", document.workspace),
        ("current model", f"{model.version} ({_score(model)})"),
        *(("mixed in" if source.mixed else "drafts by", _source(source)) for source in document.sources),
        ("annotated", f"{progress.annotated_total} cases; {to_next}"),
        (
            "images with a mask",
            f"{progress.examinations_drawn + progress.examinations_propagated:,}, of which {progress.examinations_propagated:,} propagated",
        ),
        ("round", round_line if progress.auto_round else f"{round_line}; AUTO_ROUND is off"),
        (
            "cases",
            f"{progress.waiting} waiting, {progress.assigned} assigned, {progress.awaiting_review} awaiting review, "
            f"{progress.excluded} excluded",
        ),
        ("to review", f"{progress.annotations_awaiting_review} annotations"),
        ("stored", ", ".join(f"{count:,} {name}" for name, count in counts.items())),
    ]
    for queue, states in sorted(progress.queues.items()):
        rows.append((f"queue {queue}", f"{states['queued']} queued, {states['running']} running"))
    rows += [(f"worker on {worker.machine}", _describe_worker(worker)) for worker in document.workers]
    rows += [(f"notify by {one.channel}", _describe_channel(one)) for one in document.notifications]
    rows += [("mask refused", f"{mask.examination}: {mask.reason}") for mask in document.masks_refused]
    rows += [
        (
            f"{job.kind} failed",
            f"{' '.join(map(str, job.subject.values()))}: {job.reason} (mrseg-label jobs retry {job.job})",
        )
        for job in document.jobs_failed
    ]
    rows += [("warning", text) for text in document.round_warnings]
    rows.append(("server", _last_alive(document)))
    print_fields(rows)


def _source(source: SourceOut) -> str:
    sequences = "" if source.sequences == ["*"] else f" for {', '.join(source.sequences).replace('*', 'all others')}"
    facts = [source.title, source.orientation, *source.licences, f"weights {source.weights}"]
    return f"{source.name}{sequences} ({'; '.join(filter(None, facts))})"


def _describe_channel(channel: ChannelOut) -> str:
    sent = f"{channel.last_sent.astimezone():%Y-%m-%d %H:%M}" if channel.last_sent else "never"
    problem = f"; {channel.waiting} waiting: {channel.problem}" if channel.problem else ""
    return f"{channel.target}; last sent {sent}{problem}"


def _describe_worker(worker: WorkerOut) -> str:
    """What a worker does and since when, or since when it is silent."""
    queues = f"queues {', '.join(worker.queues)}"
    if worker.state == "lost":
        since = f" since {worker.seen.astimezone():%Y-%m-%d %H:%M}" if worker.seen else ""
        return f"lost: no sign of life{since}; {queues}"
    if worker.job is None:
        return f"idle; {queues}"
    since = f" since {worker.job.started.astimezone():%H:%M}" if worker.job.started else ""
    return f"{worker.job.kind.replace('_', ' ')}{since}; {queues}"


def _score(model: ModelOut) -> str:
    value, cases = model.metrics.get("mean_dsc"), model.metrics.get("held_out_cases")
    if not isinstance(value, float):
        return "not measured"
    return f"mean DSC {value:.3f} on {cases} held-out cases; `models show {model.version}` says how it is taken"


def _last_alive(document: StatusOut) -> str:
    if document.server_last_alive is None or document.server_started is None:
        return "never started"
    seen, started = (
        f"{moment.astimezone():%Y-%m-%d %H:%M}" for moment in (document.server_last_alive, document.server_started)
    )
    return f"last alive {seen}, started {started}"
