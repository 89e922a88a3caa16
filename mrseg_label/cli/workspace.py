"""``init``, ``status``, ``upgrade``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mrseg_label.cli.common import HERE, JsonOption, WorkspaceOption, opened, print_fields, print_json, say


def init(
    folder: Annotated[Path | None, typer.Argument(metavar="DIR", help="A new or empty folder.")] = None,
    workspace: Annotated[Path | None, typer.Option("--workspace", help="The same as DIR.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Label scheme (TSV) instead of the paper's 40 structures.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a workspace."""
    from mrseg_label.workspace import Workspace

    if folder is not None and workspace is not None and folder != workspace:
        raise typer.BadParameter("name the folder once, as DIR or as --workspace")
    root = folder or workspace or HERE
    Workspace.init(root, labels)
    with opened(root) as made:
        if as_json:
            print_json(
                {"workspace": str(made.root), "structures": len(made.scheme), "labels_digest": made.scheme.digest}
            )
            return
        say(f"made a workspace with {len(made.scheme)} structures in {made.root}")
        if made.settings.auth == "on":
            say("Sign-in is on. Make the first admin, and an account for each reader (radiologist or reviewer):")
            say(f"  mrseg-label users add NAME --role admin --workspace {made.root}")
            say("For a server that answers programs on this machine alone, without sign-in, write it out:")
            say(f'  AUTH = "off" in {made.root / "mrseg.toml"}')
        say(f"Then: mrseg-label serve --workspace {made.root}")


def status(workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Counts, queue, current model, progress to the next round."""
    from mrseg_label.reports.status import read_status

    with opened(workspace) as work:
        found = read_status(work)
    if as_json:
        print_json(found)
        return
    model, progress, counts = found.current_model, found.progress, found.counts
    since = f"{progress.annotated_since_round} of {progress.round_size}"
    round_line = f"round {progress.round}: {progress.round_state}" if progress.round else "none under way"
    rows = [
        ("workspace", found.workspace),
        ("current model", f"{model.version} (mean DSC {_dsc(model.metrics.get('mean_dsc'))})"),
        ("annotated", f"{progress.annotated_total} cases; {since} to the next round"),
        ("round", round_line if progress.auto_round else f"{round_line}; AUTO_ROUND is off"),
        ("waiting", f"{progress.waiting} cases, {progress.assigned} handed out, {progress.excluded} excluded"),
        (
            "stored",
            f"{counts.participants:,} participants, {counts.acquisitions:,} acquisitions, "
            f"{counts.examinations:,} examinations, {counts.annotations:,} annotations",
        ),
    ]
    for queue, states in sorted(progress.queues.items()):
        rows.append((f"queue {queue}", f"{states['queued']} waiting, {states['running']} running"))
    rows += [("mask refused", f"{mask.examination}: {mask.reason}") for mask in found.masks_refused]
    print_fields(rows)


def upgrade(workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Bring the database of a workspace to this version's form."""
    from mrseg_label.catalog.migrate import migration_state

    with opened(workspace) as found:
        present, _ = migration_state(found.catalog.engine)
    if as_json:
        print_json({"workspace": str(found.root), "migration": present})
    else:
        say(f"the database of {found.root} is at migration {present}, the newest")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("init")(init)
    app.command("status")(status)
    app.command("upgrade")(upgrade)


def _dsc(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "not measured"
