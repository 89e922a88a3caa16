"""The commands ``import``, ``exclude`` and ``include``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mrseg_label.cli.archive import (
    DescriptionOption,
    ListOption,
    ModalityOption,
    StudyDateOption,
    import_from_archive,
    query_of,
)
from mrseg_label.cli.common import (
    HERE,
    LOCAL,
    JsonOption,
    WorkspaceOption,
    interruptible,
    opened,
    print_json,
    print_line,
    progress_bar,
)
from mrseg_label.cli.completion import EXAMINATIONS
from mrseg_label.cli.import_text import tell
from mrseg_label.errors import InvalidInput

AuthorOption = Annotated[str, typer.Option(help="Name to record with the exclusion.", show_default="local")]


def import_images(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Images (.nii.gz, .nii, .nrrd, .mha), folders of images or of DICOM files, zips of DICOM files."
        ),
    ] = None,
    workspace: WorkspaceOption = HERE,
    participant: Annotated[str | None, typer.Option(help="Participant code for all these images.")] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            help="Pattern of the paths: '{participant}/{station}_{sequence}.nii.gz'; also {session}, and * for any text."
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Table with the columns participant, sex, age; by default participants.csv or participants.tsv of an imported folder."
        ),
    ] = None,
    match_ids: Annotated[
        Literal["exact", "loose"],
        typer.Option(
            help="'loose' also takes rows of the table whose code differs from the participant's in leading zeros, case, blanks, hyphens, underscores or a 'sub-', where only one fits."
        ),
    ] = "exact",
    orientation: Annotated[
        str | None, typer.Option(help="Direction of the axes in files that give no orientation, such as LPS.")
    ] = None,
    primary: Annotated[
        str | None,
        typer.Option(help="Sequence to pre-segment and to open of each acquisition, best first, such as 'water,in'."),
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(
            help="Pattern of the paths of masks below the imported folder: '{participant}/{station}_seg.nii.gz'; also {name} and {case}; may lead to a folder with one file per structure."
        ),
    ] = None,
    mask_labels: Annotated[
        Path | None,
        typer.Option(
            help="Names of the values of masks: nnU-Net's dataset.json, or a table with the columns id and name."
        ),
    ] = None,
    allow_label_maps: Annotated[
        bool, typer.Option("--allow-label-maps", help="Import files that look like masks as images nevertheless.")
    ] = False,
    licence: Annotated[
        str | None,
        typer.Option(
            "--licence",
            "--license",
            help="Licence of the images, such as CC BY 4.0; it stands in the card of each model.",
        ),
    ] = None,
    cohort: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the data set, which evaluations tell apart; by default of an evaluation-only one.",
        ),
    ] = None,
    evaluation_only: Annotated[
        bool,
        typer.Option(
            "--evaluation-only",
            help="Keep the images for evaluation: no reader gets them and no model learns from them, until 'participants admit'.",
        ),
    ] = False,
    propagate: Annotated[
        bool,
        typer.Option(
            "--propagate/--no-propagate",
            help="Whether a mask drawn on one channel of a new acquisition is used for its other channels.",
        ),
    ] = True,
    dicomweb: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Import from an archive over DICOMweb instead of from files; DICOMWEB_URL by default, where one of the next four is given.",
        ),
    ] = None,
    date: StudyDateOption = None,
    modality: ModalityOption = None,
    description: DescriptionOption = None,
    listed: ListOption = None,
    reference: Annotated[bool, typer.Option("--reference", help="Link to the files instead of copying them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report what would happen and store nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Import images into the catalogue; exit code 1 if any was refused."""
    from mrseg_label.intake.options import ImportOptions, MatchIds
    from mrseg_label.intake.sequences import PRIMARY_SEQUENCES
    from mrseg_label.intake.service import check_options, import_paths
    from mrseg_label.maintenance.sweep import remove_dead_scratch

    preferred = tuple(name.strip() for name in (primary or "").split(",") if name.strip())
    options = ImportOptions(
        pattern=pattern,
        participant=participant,
        csv=csv,
        match_ids=MatchIds(match_ids),
        orientation=orientation,
        reference=reference,
        masks=masks,
        mask_labels=mask_labels,
        licence=licence.strip() if licence is not None else None,
        cohort=cohort.strip() if cohort is not None else None,
        evaluation_only=evaluation_only,
        propagate=propagate,
        allow_label_maps=allow_label_maps,
        dry_run=dry_run,
        primary_sequences=(*preferred, *PRIMARY_SEQUENCES),
        actor=LOCAL,
    )
    if any(part is not None for part in (dicomweb, date, modality, description, listed)):
        if paths:
            raise typer.BadParameter("import either files or studies of an archive (--dicomweb), not both at once")
        query = query_of(date, modality, description, listed)
        outcome = import_from_archive(workspace, dicomweb, query, options, as_json=as_json)
        if outcome is not None:
            tell(*outcome, as_json=as_json)
        return
    if not paths:
        raise typer.BadParameter("name the files or folders to import, or an archive with --dicomweb URL")
    try:
        check_options(options)
    except InvalidInput as error:
        raise typer.BadParameter(str(error)) from error
    kept = (
        "The images that were imported by then are kept, each as a whole. Run the same command again to go on: it leaves out "
        "what is in the catalogue"
    )
    with (
        interruptible("Nothing was to be stored." if dry_run else f"{kept}."),
        opened(workspace) as opened_workspace,
        progress_bar("importing", quiet=as_json) as progress,
    ):
        remove_dead_scratch(opened_workspace)
        report = import_paths(opened_workspace, paths, options, progress)
    tell(report, "", as_json=as_json)


def exclude(
    subject: Annotated[
        str,
        typer.Argument(
            help="Id of an examination (its whole acquisition is excluded), or a participant code.",
            autocompletion=EXAMINATIONS,
        ),
    ],
    reason: Annotated[str, typer.Option(help="Reason; recorded with author and date.")],
    author: AuthorOption = LOCAL,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Exclude an examination or a participant from assignment and training; nothing is deleted."""
    from mrseg_label.intake.exclusion import exclude as exclude_subject

    with opened(workspace) as opened_workspace:
        ids = exclude_subject(opened_workspace.catalog, subject, reason=reason, actor=author)
    if as_json:
        print_json({"excluded": ids})
    else:
        print_line(f"Excluded {subject}: {len(ids)} acquisitions.")


def include(
    subject: Annotated[
        str, typer.Argument(help="Id of an examination, or a participant code.", autocompletion=EXAMINATIONS)
    ],
    author: AuthorOption = LOCAL,
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Undo an exclusion."""
    from mrseg_label.intake.exclusion import include as include_subject

    with opened(workspace) as opened_workspace:
        ids = include_subject(opened_workspace.catalog, subject, actor=author)
    if as_json:
        print_json({"included": ids})
    else:
        print_line(f"Included {subject} again: {len(ids)} acquisitions.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("import")(import_images)
    app.command("exclude")(exclude)
    app.command("include")(include)
