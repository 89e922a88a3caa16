"""``models import``, ``models try`` and ``models licence``: versions that other groups trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrseg_label.cli.common import HERE, JsonOption, WorkspaceOption, opened, print_json, print_line, progress_bar
from mrseg_label.cli.models import Version, group

if TYPE_CHECKING:
    from mrseg_label.catalog.opening import OpenedWorkspace

LicenceOption = Annotated[
    str | None,
    typer.Option(
        "--licence", "--license", metavar="TEXT", help="Licence of the weights, such as Apache-2.0 or CC BY-NC 4.0."
    ),
]


@group.command("import")
def import_model(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Zip that nnU-Net or another workspace exported, or the folder of a trained nnU-Net."
        ),
    ],
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
    licence: LicenceOption = None,
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Import a model from a zip or a folder and try it once. Loading its weights runs code: import only what you trust like a program."""
    from mrseg_label.registry.importing import import_zip
    from mrseg_label.registry.label_names import read_label_map

    with opened(folder) as workspace:
        chosen = read_label_map(labels) if labels is not None else None
        with progress_bar("importing", as_json):
            row = import_zip(workspace, file, orientation=orientation, labels=chosen, licence=licence)
        if not as_json:
            print_line(f"Imported {row.version}; trying it on one image ...")
        _try(workspace, row.version, as_json=as_json)


@group.command("licence")
def licence_of(
    version: Version,
    licence: Annotated[str, typer.Argument(metavar="LICENCE", help="Such as Apache-2.0 or CC BY-NC 4.0.")],
    folder: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """State the licence of a version's weights; no round starts from weights that allow no derived works."""
    from mrseg_label.registry.lineage import state_licence
    from mrseg_label.reports.models import read_model

    with opened(folder) as workspace:
        state_licence(workspace, version, licence)
        document = read_model(workspace.catalog, version)
    if as_json:
        print_json(document)
    else:
        print_line(f"The licence of {version} is {document.licence}.")


@group.command("try")
def try_model(version: Version, folder: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Try a version on one image, as is done at its import; exit with 1 if it does not work."""
    with opened(folder) as workspace:
        _try(workspace, version, as_json=as_json)


def _try(workspace: OpenedWorkspace, version: str, *, as_json: bool) -> None:
    from mrseg_label.registry.trials import try_version
    from mrseg_label.reports.documents.models import ModelOut

    with progress_bar("trying it on one image", as_json):
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
