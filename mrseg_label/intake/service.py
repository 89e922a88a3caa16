"""Import files and folders: discover, name, prepare, record."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mrseg_label.axis_codes import parse_axcodes
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.errors import InvalidInput
from mrseg_label.intake.batches import record_groups
from mrseg_label.intake.cohort_names import check_cohort, cohort_of
from mrseg_label.intake.fat_water import warn_of_swaps
from mrseg_label.intake.files.discover import Findings, discover
from mrseg_label.intake.files.matching import ParticipantTable
from mrseg_label.intake.files.naming import name_images
from mrseg_label.intake.files.participants import ParticipantRow, read_participants
from mrseg_label.intake.files.pattern import Pattern
from mrseg_label.intake.files.prepare import SCRATCH, prepare
from mrseg_label.intake.images import NamedImage, PreparedImage, RefusedImage
from mrseg_label.intake.masks import amos
from mrseg_label.intake.masks.conventions import recognise
from mrseg_label.intake.masks.finding import MaskFinder, images_beside
from mrseg_label.intake.masks.layouts import share_masks
from mrseg_label.intake.masks.prepare import MaskPreparer
from mrseg_label.intake.misregistration import warn_of_misregistration
from mrseg_label.intake.names import clean_code
from mrseg_label.intake.options import ImportOptions, ImportReport, MatchIds
from mrseg_label.intake.pipeline import Progress, prepare_groups
from mrseg_label.intake.record import Recorder
from mrseg_label.intake.single_image import SentFile, check_single_image
from mrseg_label.intake.twins import compare_earlier
from mrseg_label.intake.uploads import register_upload
from mrseg_label.licences import check_licence
from mrseg_label.text import is_foreign
from mrseg_label.workspace import PSEUDONYM_KEY

__all__ = ["SentFile", "check_options", "check_single_image", "import_findings", "import_paths", "register_upload"]


def import_paths(
    workspace: OpenedWorkspace,
    paths: Sequence[Path],
    options: ImportOptions | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Import files and folders of images.

    Each image is stored and then recorded, together with its acquisition, in one transaction, which also enqueues the
    pre-segmentation of pending cases. An import that is killed and run again records nothing twice and omits nothing.

    Parameters
    ----------
    paths : images (``.nii.gz``, ``.nii``, ``.nrrd``, ``.mha``), folders of them or of DICOM files, zips of DICOM.
    progress : called with the number of images done and the number of images known so far.

    Raises
    ------
    InvalidInput
        An option cannot be used. Problems with single files are in the report.
    """
    options = options or ImportOptions()
    check_options(options)
    report = ImportReport(dry_run=options.dry_run)
    if not options.dry_run and compare_earlier(workspace):
        report.pass_over(
            str(workspace.root), "has images of an earlier version that were not compared yet; a worker compares them"
        )
    findings = discover(paths, workspace.root)
    report.refused += findings.refused
    import_findings(workspace, findings, options, report, cohort_of(options, paths), progress)
    return report


def import_findings(
    workspace: OpenedWorkspace,
    findings: Findings,
    options: ImportOptions,
    report: ImportReport,
    cohort: str | None,
    progress: Progress | None = None,
) -> None:
    """Import what was found, and add to a report what became of it.

    Parameters
    ----------
    cohort : data set of new participants.
    """
    if options.masks and not (options.pattern or options.participant or findings.dicom or findings.zips):
        options = replace(options, pattern=images_beside(options.masks))
    table = _read_tables(findings, options, report)
    finder = MaskFinder(options.masks, options.mask_labels, options.pattern) if options.masks else None
    layout = recognise(
        finder.separate_masks(findings) if finder else findings.images,
        workspace.scheme,
        take_masks=finder is None,
        allow_label_maps=options.allow_label_maps,
        for_evaluation=options.evaluation_only,
    )
    report.refused += layout.refused
    report.passed_over += layout.passed_over
    file_groups = name_images(layout.images, options, table, report, layout.names)
    recorder = Recorder(
        workspace,
        table.rows,
        options.primary_sequences,
        store=not options.dry_run,
        actor=options.actor,
        licence=options.licence,
        cohort=cohort,
        evaluation_only=options.evaluation_only,
        propagate=options.propagate,
    )
    with workspace.scratch(SCRATCH) as scratch:
        masks = (
            MaskPreparer.create(workspace, scratch)
            if finder or layout.masks or findings.dicom or findings.zips
            else None
        )

        def prepare_one(image: NamedImage) -> PreparedImage | RefusedImage:
            prepared = prepare(
                workspace,
                image,
                scratch,
                orientation=options.orientation,
                reference=options.reference,
                allow_label_maps=options.allow_label_maps,
            )
            return masks.add_mask(prepared) if masks else prepared

        dicom = _Dicom(findings, workspace, options, report)
        groups = dicom.after(file_groups)
        if finder:
            groups = finder.assign_masks(groups, options.primary_sequences)
        elif layout.masks:
            groups = share_masks(groups, layout.masks, options.primary_sequences)
        total = sum(len(group) for group in file_groups)
        prepared_groups = prepare_groups(groups, prepare_one, options.threads, progress, total)
        checked_groups = (
            warn_of_misregistration(warn_of_swaps(group, workspace), workspace, options.primary_sequences)
            for group in prepared_groups
        )
        later = prepare_groups(dicom.masks_of_stored(), prepare_one, options.threads)
        record_groups(workspace, recorder, checked_groups, options, report, table, later)
    for found in finder.masks_without_image() if finder else ():
        report.refuse(
            found.shown, f"matches the pattern of masks {options.masks!r}, but no imported image has this mask"
        )


def check_options(options: ImportOptions) -> None:
    """Raise :class:`InvalidInput` where an option cannot be used."""
    if options.pattern:
        Pattern(options.pattern)
    if options.participant:
        clean_code(options.participant)
    if options.orientation:
        parse_axcodes(options.orientation)
    if options.masks:
        MaskFinder(options.masks, options.mask_labels, options.pattern)
    elif options.mask_labels:
        raise InvalidInput("--mask-labels names the values of masks; give the pattern of their paths with --masks too")
    if options.licence is not None:
        check_licence(options.licence)
    if options.cohort is not None:
        check_cohort(options.cohort)
    if options.csv and not options.csv.is_file():
        raise InvalidInput(f"{options.csv}: no such table of participants")


class _Dicom:
    """The DICOM exports of an import, each of which is read only when it is needed."""

    def __init__(
        self, findings: Findings, workspace: OpenedWorkspace, options: ImportOptions, report: ImportReport
    ) -> None:
        self._findings, self._workspace, self._options, self._report = findings, workspace, options, report
        self._lonely: Callable[[], Iterator[Sequence[NamedImage]]] | None = None

    def after(self, groups: Sequence[Sequence[NamedImage]]) -> Iterator[Sequence[NamedImage]]:
        """Yield groups of files, then the images of the exports."""
        yield from groups
        if not self._findings.dicom and not self._findings.zips:
            return
        # pydicom is behind them, which a server needs only for an import of DICOM.
        from mrseg_label.intake.dicom.exports import exports_of
        from mrseg_label.intake.dicom.masks import MaskIntake, masks_of_stored
        from mrseg_label.intake.dicom.naming import name_export
        from mrseg_label.intake.dicom.pseudonyms import Pseudonyms

        workspace, options, report = self._workspace, self._options, self._report
        # A dry run stores nothing, not even a key; the pseudonyms that it shows then hold for itself only.
        has_key = (workspace.root / PSEUDONYM_KEY).exists()
        pseudonyms = Pseudonyms(os.urandom(32) if options.dry_run and not has_key else workspace.pseudonym_key())
        masks = MaskIntake(workspace.scheme, options.primary_sequences, options.masks is not None)
        for export in exports_of(self._findings):
            yield from name_export(export, options, pseudonyms, report, masks)
        self._lonely = lambda: masks_of_stored(workspace, masks.lonely, pseudonyms, report)

    def masks_of_stored(self) -> Iterator[Sequence[NamedImage]]:
        """Yield stored images with masks that refer to no image of their export; valid once all images are recorded."""
        if self._lonely is not None:
            yield from self._lonely()


def _read_tables(findings: Findings, options: ImportOptions, report: ImportReport) -> ParticipantTable:
    table: dict[str, ParticipantRow] = {}
    for path in [options.csv] if options.csv else [*findings.tables, *findings.amos_tables]:
        try:
            rows, refused = read_participants(path)
        except InvalidInput as error:
            if options.csv:
                raise
            report.refuse(str(path), str(error))  # it may be another file of that name
            continue
        if is_foreign(path.read_bytes()):
            report.pass_over(str(path), "the table is not UTF-8; it was read as Windows-1252")
        report.refused += refused
        table |= amos.with_codes(rows) if path in findings.amos_tables else rows
    return ParticipantTable(table, loose=options.match_ids is MatchIds.LOOSE)
