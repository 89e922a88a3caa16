"""Import of files, and of images that readers upload."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.catalog.database import Catalog
from mrseg_label.catalog.queries import audit
from mrseg_label.catalog.queries import intake as rows
from mrseg_label.catalog.tables import Examination
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.ids import check_alias, is_id
from mrseg_label.imaging.geometry import parse_axcodes
from mrseg_label.intake.assign import Source, assign
from mrseg_label.intake.discover import Findings, discover, strip_suffix
from mrseg_label.intake.masks import MaskFinder, hand_on, with_mask, with_masks
from mrseg_label.intake.options import Accepted, ImportOptions, ImportReport
from mrseg_label.intake.participants import Person, clean_code, read_participants
from mrseg_label.intake.pattern import Pattern
from mrseg_label.intake.pipeline import Group, Progress, counted, prepared_groups
from mrseg_label.intake.prepare import Failed, Prepared, prepare
from mrseg_label.intake.record import Recorder, complete_participants
from mrseg_label.intake.sequences import PRIMARY_SEQUENCES, sequence_in_name
from mrseg_label.intake.sources import all_sources
from mrseg_label.jobs import queue
from mrseg_label.workspace import Workspace, sha256_of

# Small groups share a transaction, so that ten thousand images do not wait for ten thousand commits.
_IMAGES_A_TRANSACTION = 16
_SCRATCH = "import-"
_DEAD_AFTER_SECONDS = 24 * 3600


class _DryRun(Exception):
    """Rolls the transaction of a dry run back."""


def import_paths(
    workspace: Workspace,
    catalog: Catalog,
    paths: Sequence[Path],
    options: ImportOptions | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Bring files and folders of images into the catalogue.

    Each image is stored, then recorded together with its group in one transaction, which also enqueues the
    job ``imported``. An import that is killed and run again records nothing twice and leaves nothing out.

    Parameters
    ----------
    paths : images (``.nii.gz``, ``.nii``, ``.nrrd``, ``.mha``), folders of them or of DICOM files, zips of DICOM.
    progress : called with images done and images in all.

    Raises
    ------
    InvalidInput
        An option cannot be used. What is wrong with single files stands in the report.
    """
    options = options or ImportOptions()
    check_options(options)
    report = ImportReport(dry_run=options.dry_run)
    findings = discover(paths, workspace.root)
    report.refused += findings.refused
    people = _people(findings, options, report)
    finder = MaskFinder(options.masks, options.mask_labels, options.pattern) if options.masks else None
    images, masks = finder.sort_out(findings.images) if finder else (findings.images, {})
    groups = with_masks(assign(images, options, people, report), masks, options.primary_sequences)
    recorder = Recorder(workspace, people, options.primary_sequences, store=not options.dry_run)
    _clear_dead_scratch(workspace)
    with workspace.scratch(_SCRATCH) as scratch:

        def prepare_one(source: Source) -> Prepared | Failed:
            image = prepare(source, scratch, partial(_known, catalog), options.orientation, options.reference)
            return with_mask(image, finder.labels if finder else None, scratch, options.orientation)

        sources = all_sources(findings, groups, workspace, options, report)
        prepared = prepared_groups(sources, prepare_one, options.threads, counted(groups, progress))
        # A dry run makes its one transaction after all the reading, so that it does not keep others waiting.
        size = sys.maxsize if options.dry_run else _IMAGES_A_TRANSACTION
        for batch in _batches(prepared, size):
            _record(catalog, recorder, batch, options, report)
    return report


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
        raise InvalidInput("a label map of masks is of no use without their pattern (--masks)")
    if options.csv and not options.csv.is_file():
        raise InvalidInput(f"{options.csv}: there is no such table of participants")


def register_upload(workspace: Workspace, catalog: Catalog, file: Path, *, alias: str, client: str) -> str:
    """Make an image that a reader uploads an examination, under the reader's own name for it.

    The same image again, under whatever name, is the same examination; another image under the same name
    is a new one, which the name then stands for.

    Parameters
    ----------
    file : the upload, with a suffix of an image.
    alias : the reader's name for it.
    client : whose name it is.

    Returns
    -------
    The examination's id.

    Raises
    ------
    InvalidInput
        The name or the image cannot be used.
    Conflict
        The name is the id of another examination.
    """
    check_alias(alias)
    if is_id(alias):
        with catalog.read() as session:
            if rows.examination(session, alias) is None:
                raise InvalidInput(
                    f"{alias!r} has the form of an id of this server, and it gave none such out; rename the image"
                )
    source_digest = sha256_of(file)
    source = Source(
        file, alias, f"upload-{source_digest[:16]}", stated=True, sequence=sequence_in_name(strip_suffix(alias))
    )
    with workspace.scratch(_SCRATCH) as scratch:
        image = prepare(source, scratch, lambda digest: _known(catalog, digest))
        if isinstance(image, Failed):
            raise InvalidInput(f"the image {alias!r} cannot be used: {image.reason.removeprefix(f'{file.name}: ')}")
        with catalog.begin() as session:
            rows.one_at_a_time(session)
            present = rows.same_image(session, image.source_digest, image.digest)
            if is_id(alias):
                if alias not in {examination.id for examination in present}:
                    raise Conflict(
                        f"{alias} is another image, and nothing stored is overwritten; rename yours and send it again"
                    )
                return alias
            if present:
                examination_id = present[0].id
            else:
                recorder = Recorder(workspace, {}, PRIMARY_SEQUENCES)
                accepted = recorder.record(session, image)
                recorder.store_files()
                examination_id = accepted.id
                _announce(session, client, [examination_id])
            rows.set_alias(session, client, alias, examination_id)
    return examination_id


def _clear_dead_scratch(workspace: Workspace) -> None:
    """Remove what killed imports left; one that lives writes into its folder all the time."""
    long_ago = time.time() - _DEAD_AFTER_SECONDS
    for folder in (workspace.root / "tmp").glob(f"{_SCRATCH}*"):
        if folder.stat().st_mtime < long_ago:
            shutil.rmtree(folder, ignore_errors=True)


def _people(findings: Findings, options: ImportOptions, report: ImportReport) -> dict[str, Person]:
    people: dict[str, Person] = {}
    for table in [options.csv] if options.csv else findings.tables:
        try:
            found, refused = read_participants(table)
        except InvalidInput as error:
            if options.csv:
                raise
            report.refuse(str(table), str(error))  # it only happens to bear that name
            continue
        report.refused += refused
        people |= found
    return people


def _known(catalog: Catalog, source_digest: str) -> bool:
    with catalog.read() as session:
        return rows.has_source(session, source_digest)


def _batches(groups: Iterator[Group], size: int) -> Iterator[Group]:
    batch: Group = []
    for group in groups:
        batch += group
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


def _record(
    catalog: Catalog,
    recorder: Recorder,
    batch: Sequence[Prepared | Failed],
    options: ImportOptions,
    report: ImportReport,
) -> None:
    """Record a batch in one transaction; the report is filled in only where it held."""
    for last in (False, False, True):
        part = ImportReport()
        recorder.forget_files()
        try:
            with catalog.begin() as session:
                _record_in(session, recorder, batch, part, report, options.actor)
                if options.dry_run:
                    raise _DryRun
        except _DryRun:
            pass
        except IntegrityError as error:  # PostgreSQL: another import made the same participant at the same time
            if last:
                raise Conflict(
                    f"another import records the same images; run this one again when it has ended: {error.orig}"
                ) from error
            continue
        break
    report.accepted += part.accepted
    report.refused += part.refused
    report.unchanged += part.unchanged
    report.masks += part.masks
    for image in batch:
        if isinstance(image, Prepared) and image.file is not None and not image.in_place:
            image.file.unlink(missing_ok=True)
        if isinstance(image, Prepared) and image.mask is not None and image.mask.file != image.source.mask:
            image.mask.file.unlink(missing_ok=True)


def _record_in(
    session: Session,
    recorder: Recorder,
    batch: Sequence[Prepared | Failed],
    part: ImportReport,
    before: ImportReport,
    actor: str,
) -> None:
    rows.one_at_a_time(session)
    for image in batch:
        _record_one(session, recorder, image, part, before)
    codes = {image.source.participant for image in batch} & recorder.people.keys()
    for where, reason in complete_participants(session, recorder.people, sorted(codes)):
        part.refuse(where, reason)
    session.flush()
    recorder.store_files()
    if part.accepted:
        _announce(session, actor, [entry.id for entry in part.accepted])


def _record_one(
    session: Session, recorder: Recorder, image: Prepared | Failed, part: ImportReport, before: ImportReport
) -> None:
    if isinstance(image, Failed):
        part.refuse(image.source.shown, image.reason)
        return
    try:
        result = recorder.record(session, image)
    except InvalidInput as error:
        part.refuse(image.source.shown, str(error))
        return
    _hand_on_mask(session, recorder, image, result, part)
    if isinstance(result, Accepted):
        part.accepted.append(result)
        return
    part.unchanged += 1
    _note_duplicate(image.source, result, [*part.accepted, *before.accepted])


def _hand_on_mask(
    session: Session, recorder: Recorder, image: Prepared, result: Accepted | Examination, part: ImportReport
) -> None:
    if image.mask_refused:
        part.refuse(str(image.source.mask), image.mask_refused)
    if image.mask is None:
        return
    acquisition_id = result.group if isinstance(result, Accepted) else result.acquisition_id
    session.flush()
    part.masks += hand_on(session, recorder.workspace, image.mask, result.id, acquisition_id, recorder.store)


def _note_duplicate(source: Source, examination: Examination, accepted: Sequence[Accepted]) -> None:
    """Say in the entry of an image that another file of the same import was the same."""
    if examination.source == source.origin:
        return
    for entry in accepted:
        if entry.id == examination.id:
            entry.warnings.append(f"{source.shown} has the same content and was dropped")
            examination.warnings = list(entry.warnings)


def _announce(session: Session, actor: str, examination_ids: Sequence[str]) -> None:
    audit.record(session, actor, "import", "examinations", ids=list(examination_ids))
    queue.enqueue(session, queue.IMPORTED, {}, key=queue.IMPORTED)
