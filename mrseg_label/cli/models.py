"""``models``: model versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mrseg_label.cli.common import (
    HERE,
    JsonOption,
    WorkspaceOption,
    opened,
    print_fields,
    print_json,
    print_page,
    print_table,
    say,
)

group = typer.Typer(help="Model versions.", no_args_is_help=True)
Version = Annotated[str, typer.Argument(help="Name of the version.")]
_ALL = 1_000_000


@group.command("list")
def list_models(workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """All versions, newest first."""
    from mrseg_label.reports.models import read_models

    with opened(workspace) as work:
        versions = read_models(work.catalog, _ALL).items
    if as_json:
        print_page(versions)
        return
    columns = ("version", "status", "round", "parent", "mean DSC", "made", "promoted")
    rows = [
        (v.version, v.status, v.round, v.parent, v.metrics.get("mean_dsc"), v.created, v.promoted) for v in versions
    ]
    print_table(columns, rows)


@group.command("show")
def show(version: Version, workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """One version: lineage and DSC per structure."""
    from mrseg_label.reports.models import read_model

    with opened(workspace) as work:
        found = read_model(work.catalog, version)
    if as_json:
        print_json(found)
        return
    rows: list[tuple[str, object]] = [
        ("version", found.version),
        ("status", found.status),
        ("round", found.round),
        ("parent", found.parent),
        ("made", found.created),
        ("promoted", found.promoted),
        ("data set", found.dataset_digest),
        ("weights", found.weights_digest),
        ("mean DSC", found.metrics.get("mean_dsc")),
    ]
    rows += [(f"DSC {name}", value) for name, value in (found.metrics.get("dsc") or {}).items()]
    print_fields(rows)


@group.command("compare")
def compare(first: Version, second: Version, workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Two versions on the held-out cases that both were evaluated on."""
    from mrseg_label.reports.models import read_comparison

    with opened(workspace) as work:
        found = read_comparison(work.catalog, first, second)
    if as_json:
        print_json(found)
        return
    rows: list[tuple[object, ...]] = [("mean", *found.mean_dsc, _difference(*found.mean_dsc))]
    rows += [(name, *values, _difference(*values)) for name, values in found.structures.items()]
    print_table(("DSC", first, second, "difference"), rows, title=f"{found.cases} held-out cases")


@group.command("promote")
def promote(version: Version, workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Make a version the one that makes drafts."""
    from mrseg_label.registry import service
    from mrseg_label.reports.documents.models import ModelOut

    with opened(workspace) as work:
        row = ModelOut.of(service.promote(work, version))
    if as_json:
        print_json(row)
    else:
        say(f"{version} makes the drafts from now on")


@group.command("rollback")
def rollback(workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Go back to the version that was promoted before the current one."""
    from mrseg_label.registry import service
    from mrseg_label.reports.documents.models import ModelOut

    with opened(workspace) as work:
        row = ModelOut.of(service.rollback(work))
    if as_json:
        print_json(row)
    else:
        say(f"{row.version} makes the drafts again")


@group.command("export")
def export(
    version: Version,
    file: Annotated[Path, typer.Argument(help="Zip to write; nnUNetv2_install_pretrained_model_from_zip installs it.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write a version's archive to a file."""
    from mrseg_label.registry import service

    with opened(workspace) as work:
        written = service.export(work, version, file)
    if as_json:
        print_json({"version": version, "file": str(written), "bytes": written.stat().st_size})
    else:
        say(f"wrote {version} to {written} ({written.stat().st_size / 1e6:.1f} MB)")


@group.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(help="Zip that nnU-Net or another workspace exported.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Register a model from an archive. Its weights are code that runs when they are loaded: import only what you trust."""
    from mrseg_label.registry import service
    from mrseg_label.reports.documents.models import ModelOut

    with opened(workspace) as work:
        row = ModelOut.of(service.import_zip(work, file))
    if as_json:
        print_json(row)
        return
    say(f"registered {row.version}; it makes drafts after: mrseg-label models promote {row.version}")
    say(
        "Checkpoints are programs: loading one runs the code in it. Promote it only if its source is trusted like a program's."
    )


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="models")


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else second - first
