"""``models``: model versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrseg_label.cli.common import (
    HERE,
    NO_LIMIT,
    JsonOption,
    WorkspaceOption,
    opened,
    print_fields,
    print_json,
    print_line,
    print_page,
    print_table,
)
from mrseg_label.scoring import MEAN_OF_CASES

if TYPE_CHECKING:
    from mrseg_label.catalog.opening import OpenedWorkspace

group = typer.Typer(help="List, compare, promote, export and import model versions.", no_args_is_help=True)
Version = Annotated[str, typer.Argument(metavar="VERSION", help="Name of the version, from `models list`.")]


@group.command("list")
def list_models(folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """List all versions, newest first."""
    from mrseg_label.reports.models import read_models

    with opened(folder) as workspace:
        documents = read_models(workspace.catalog, NO_LIMIT).items
    if as_json:
        print_page(documents)
        return
    columns = ("version", "status", "round", "parent", "mean DSC", "held-out cases", "created", "promoted")
    rows = [
        (
            item.version,
            item.status,
            item.round,
            item.parent,
            item.metrics.get("mean_dsc"),
            item.metrics.get("held_out_cases"),
            item.created,
            item.promoted,
        )
        for item in documents
    ]
    print_table(columns, rows)
    print_line(f"Mean DSC: {MEAN_OF_CASES}.")
    print_line(
        "The versions may have been evaluated on different cases; to compare two, use: mrseg-label models compare"
    )


@group.command("show")
def show(version: Version, folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Show a version: its lineage, digests and DSC per structure."""
    from mrseg_label.reports.models import read_model

    with opened(folder) as workspace:
        document = read_model(workspace.catalog, version)
    if as_json:
        print_json(document)
        return
    fields: list[tuple[str, object]] = [
        ("version", document.version),
        ("status", document.status),
        ("round", document.round),
        ("parent", document.parent),
        ("created", document.created),
        ("promoted", document.promoted),
        ("tried", document.tried),
        ("problem", document.problem),
        ("data set", document.dataset_digest),
        ("weights", document.weights_digest),
        ("mean DSC", document.metrics.get("mean_dsc")),
        ("held-out cases", document.metrics.get("held_out_cases")),
        ("rule", document.metrics.get("rule")),
    ]
    cases = document.metrics.get("cases") or {}
    fields += [
        (f"DSC {name}", value if value is None or name not in cases else f"{value:.3f} ({cases[name]} cases)")
        for name, value in (document.metrics.get("dsc") or {}).items()
    ]
    fields += [
        (f"not there {name}", _false_positives(found["cases"], found["ml"]))
        for name, found in (document.metrics.get("false_positives") or {}).items()
    ]
    print_fields(fields)


@group.command("compare")
def compare(
    first: Version,
    second: Annotated[str, typer.Argument(metavar="OTHER", help="Name of another version.")],
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions on the held-out cases that both were evaluated on."""
    from mrseg_label.reports.models import read_comparison

    with opened(folder) as workspace:
        document = read_comparison(workspace.catalog, first, second)
    if as_json:
        print_json(document)
        return
    rows: list[tuple[object, ...]] = [
        ("mean", document.cases, *document.mean_dsc, _difference(*document.mean_dsc)),
    ]
    rows += [
        (name, document.structure_cases[name], *values, _difference(*values))
        for name, values in document.structures.items()
    ]
    print_table(
        ("DSC", "cases", first, second, "difference"),
        rows,
        title=f"{document.cases} held-out cases that both were evaluated on",
    )
    if document.false_positives:
        print_table(
            ("structures that are not there", first, second),
            [(name, *cases) for name, cases in document.false_positives.items()],
            title="Cases with false positives",
        )
    print_line(f"Mean DSC: {document.rule}.")


@group.command("promote")
def promote(version: Version, folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Promote a version: from now on it makes the drafts."""
    from mrseg_label.registry import service
    from mrseg_label.reports.documents.models import ModelOut

    with opened(folder) as workspace:
        document = ModelOut.of(service.promote(workspace, version))
    if as_json:
        print_json(document)
    else:
        print_line(f"{version} now makes the drafts.")


@group.command("rollback")
def rollback(folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Roll back to the version that was current before this one."""
    from mrseg_label.registry import service
    from mrseg_label.reports.documents.models import ModelOut

    with opened(folder) as workspace:
        document = ModelOut.of(service.rollback(workspace))
    if as_json:
        print_json(document)
    else:
        print_line(f"{document.version} makes the drafts again.")


@group.command("export")
def export(
    version: Version,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Zip file to write; nnUNetv2_install_pretrained_model_from_zip installs it."
        ),
    ],
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Export a version to a zip file."""
    from mrseg_label.registry import service

    with opened(folder) as workspace:
        written = service.export(workspace, version, file)
    size = written.stat().st_size
    if as_json:
        print_json({"version": version, "file": str(written), "bytes": size})
    else:
        print_line(f"Wrote {version} to {written} ({size / 1e6:.1f} MB).")


@group.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Zip file that nnU-Net or another workspace exported.")],
    orientation: Annotated[
        str | None,
        typer.Option(
            metavar="AXES",
            help="How the images of its training lay, such as LPS; needed if its reader is not nnU-Net's NibabelIOWithReorient.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Lines LABEL = STRUCTURE for labels of the model that are named otherwise here."
        ),
    ] = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Import a model from a zip file and try it once. Loading its weights runs code: import only what you trust like a program."""
    from mrseg_label.registry.importing import import_zip
    from mrseg_label.registry.label_names import read_label_map

    with opened(folder) as workspace:
        chosen = read_label_map(labels) if labels is not None else None
        row = import_zip(workspace, file, orientation=orientation, labels=chosen)
        if not as_json:
            print_line(f"Imported {row.version}; trying it on one image ...")
        _try(workspace, row.version, as_json=as_json)


@group.command("try")
def try_model(version: Version, folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Try a version on one image, as is done at its import; exit with 1 if it does not work."""
    with opened(folder) as workspace:
        _try(workspace, version, as_json=as_json)


def _try(workspace: OpenedWorkspace, version: str, *, as_json: bool) -> None:
    from mrseg_label.registry.importing import try_version
    from mrseg_label.reports.documents.models import ModelOut

    document = ModelOut.of(try_version(workspace, version))
    if as_json:
        print_json(document)
    elif document.problem is None:
        print_line(f"{version} works. To let it make the drafts: mrseg-label models promote {version}")
        print_line(
            "Loading a checkpoint runs the code in it. Promote this version only if you trust its source like a program's."
        )
    if document.problem is not None:
        typer.echo(f"{version} does not work here: {document.problem}. It cannot be promoted.", err=True)
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    app.add_typer(group, name="models")


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else second - first


def _false_positives(cases: int, ml: float | None) -> str:
    return f"found in {cases} cases" + ("" if ml is None else f", {ml:.1f} ml")
