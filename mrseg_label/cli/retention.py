"""``prune`` and ``participants delete``, ``participants readmit``: what is kept, and for how long."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrseg_label.cli.common import (
    HERE,
    LOCAL,
    JsonOption,
    WorkspaceOption,
    interruptible,
    opened,
    print_fields,
    print_json,
    print_line,
    print_table,
)
from mrseg_label.cli.lists import participants

if TYPE_CHECKING:
    from mrseg_label.maintenance.deletion.plan import Deletion

ApplyOption = Annotated[bool, typer.Option("--apply", "--yes", help="Do it; without this it is only shown.")]
AuthorOption = Annotated[
    str, typer.Option("--author", metavar="NAME", help="Name to record in the audit trail.", show_default=LOCAL)
]
_SHOWN = 20


def prune(
    apply: ApplyOption = False,
    older_than: Annotated[
        float, typer.Option("--older-than", metavar="DAYS", min=0, help="Age of pre-segmentations, jobs and logs.")
    ] = 30,
    author: AuthorOption = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Remove what can be made again: old pre-segmentations, training folders, job records, logs; never an annotation."""
    from mrseg_label.maintenance.prune import prune as remove

    with (
        interruptible("What was removed stays removed. Run the same command again."),
        opened(folder) as workspace,
    ):
        removed = remove(workspace, apply=apply, older_than_days=older_than, actor=author)
    total = sum(one.bytes for one in removed)
    if as_json:
        print_json({"applied": apply, "bytes": total, "removed": [asdict(one) for one in removed]})
        return
    print_table(
        ("what", "number", "MB", "which of them"), [(one.kind, one.count, one.bytes / 1e6, one.rule) for one in removed]
    )
    if apply:
        print_line(f"Removed {total / 1e6:,.1f} MB.")
    else:
        print_line(f"Nothing was removed. To remove these {total / 1e6:,.1f} MB: mrseg-label prune --apply")


@participants.command("delete")
def delete_participants(
    codes: Annotated[
        list[str] | None, typer.Argument(metavar="[CODE...]", help="Codes of participants, or their DICOM patient ids.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="List of participants: one a line, or the first column of a CSV."),
    ] = None,
    again: Annotated[
        Path | None,
        typer.Option(
            "--again",
            metavar="PATH",
            help="Delete whoever is on the list of deleted participants in this file or workspace: for a restored copy.",
        ),
    ] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Cancel rounds and jobs that work with them, and take back their cases.")
    ] = False,
    wait: Annotated[
        float, typer.Option("--wait", metavar="MINUTES", min=0, help="Wait until nothing works with them.")
    ] = 0,
    apply: ApplyOption = False,
    author: AuthorOption = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Delete participants who withdrew their consent, with all that there is of them; shown first, done with --apply.

    With --apply alone, a deletion that was interrupted is finished.
    """
    from mrseg_label.maintenance.deletion import finding, plan, service, tombstones

    named = list(codes or [])
    if again is not None and (named or file is not None):
        raise typer.BadParameter("--again has its own list; give no codes and no --from with it")
    if not (named or file is not None or again is not None or apply):
        raise typer.BadParameter("name participants, or give a list with --from FILE")
    wanted = named + (finding.read_list(file) if file is not None else [])
    entries = tombstones.read_entries(again) if again is not None else []
    with (
        interruptible("Run the same command again: it finishes what was begun."),
        opened(folder) as workspace,
    ):
        finished = service.finish(workspace) if apply else 0
        plan.check_named(workspace, named)
        if again is not None:
            done = service.delete_listed(workspace, entries, apply=apply, actor=author)
        elif apply and wanted:
            done = service.delete(workspace, wanted, actor=author, cancel=cancel, wait_seconds=wait * 60)
        else:
            done = plan.plan(workspace, wanted)
    if as_json:
        print_json(asdict(done) | {"finished": finished})
        return
    if finished:
        print_line(f"Finished {finished} {'deletion' if finished == 1 else 'deletions'} that had been interrupted.")
    if wanted or entries:
        _print(done)


@participants.command("readmit")
def readmit_participants(
    codes: Annotated[list[str], typer.Argument(metavar="CODE...", help="Codes of deleted participants.")],
    author: AuthorOption = LOCAL,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Let participants be imported again who were deleted, or announced as withdrawn, and agreed since."""
    from mrseg_label.maintenance.deletion import service

    with opened(folder) as workspace:
        found = [code for code in codes if service.readmit(workspace, code, actor=author)]
    if as_json:
        print_json({"readmitted": len(found)})
    else:
        print_line(f"{len(found)} of {len(codes)} were on the list of deleted participants and may be imported again.")


def register(app: typer.Typer) -> None:
    """Add the command to the application; those of participants are in the group of lists."""
    app.command("prune")(prune)


def _print(done: Deletion) -> None:
    rows = [*done.counts.items(), ("stored files", f"{done.bytes / 1e6:,.1f} MB")]
    if done.counts.get("participants"):
        print_fields(rows)
    if done.unknown:
        print_line(
            f"{len(done.unknown)} on the list are not in this workspace; their images are refused if they are imported."
        )
    if done.already:
        print_line(f"{done.already} were deleted before.")
    _print_out_of_reach(done)
    if done.applied:
        print_line(f"Deleted {done.counts.get('participants', 0):,} participants. The audit trail names nobody.")
        return
    if problem := done.problem:
        print_line(f"As it is now, it would be refused: {problem}")
    print_line("Nothing was deleted. To delete them, run the same command with --apply; nothing brings them back.")


def _print_out_of_reach(done: Deletion) -> None:
    """Print what a deletion cannot reach."""
    lines = []
    if done.trained_on:
        lines.append(f"models that were trained on them: {', '.join(done.trained_on)}")
    if done.descended:
        lines.append(f"models that began with the weights of these: {', '.join(done.descended)}")
    if done.model_downloads:
        lines.append(f"{done.model_downloads} downloads of these models")
    if done.downloads:
        lines.append(f"{done.downloads} downloads of their images, drafts and masks")
    lines += [f"backup {path} of {moment}" for path, moment in done.backups[:_SHOWN]]
    if done.backups:
        lines.append(
            "    when one of them is restored, they are deleted from it again; destroy it if it must not have them"
        )
    lines += [
        f"    the list could not be written to {folder}: pass it to restore with --deletions"
        for folder in done.lists_missed
    ]
    lines += [f"file outside the workspace: {path}" for path in done.outside[:_SHOWN]]
    if len(done.outside) > _SHOWN:
        lines.append(f"... and {len(done.outside) - _SHOWN} more files outside the workspace (--json has all)")
    lines += [f"temporary folder of a process at work, removed within a day: {path}" for path in done.scratch[:_SHOWN]]
    if done.counts.get("participants"):
        lines.append(
            "exports and reports that were written elsewhere, copies on readers' computers, logs of proxies and system"
        )
    if lines:
        print_line("Out of reach, and for you to decide about:")
        for line in lines:
            print_line(f"  {line}")
