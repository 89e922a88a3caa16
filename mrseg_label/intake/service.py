"""Import of files, and of images that readers upload."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mrseg_label.catalog.database import Catalog
from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, audit, examinations, participants
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.ids import check_alias, is_id
from mrseg_label.imaging import Geometry
from mrseg_label.imaging.geometry import parse_axcodes
from mrseg_label.intake.assign import Source, assign
from mrseg_label.intake.batches import announce, record_all
from mrseg_label.intake.discover import Findings, discover, strip_suffix
from mrseg_label.intake.mask_finder import MaskFinder
from mrseg_label.intake.masks import with_mask
from mrseg_label.intake.options import ImportOptions, ImportReport
from mrseg_label.intake.participants import Person, clean_code, read_participants
from mrseg_label.intake.pattern import Pattern
from mrseg_label.intake.pipeline import Progress, counted, prepared_groups
from mrseg_label.intake.prepare import Failed, Prepared, prepare
from mrseg_label.intake.record import Recorder, session_of
from mrseg_label.intake.sequences import PRIMARY_SEQUENCES, sequence_in_name
from mrseg_label.intake.sources import all_sources
from mrseg_label.segments.coverage import required_structures
from mrseg_label.segments.value_names import check_mask as judge_mask
from mrseg_label.workspace import Workspace, sha256_of

_SCRATCH = "import-"
_DEAD_AFTER_SECONDS = 24 * 3600


def import_paths(
    workspace: OpenedWorkspace,
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
    images = finder.sort_out(findings) if finder else findings.images
    groups = assign(images, options, people, report)
    recorder = Recorder(workspace, people, options.primary_sequences, store=not options.dry_run)
    _clear_dead_scratch(workspace)
    with workspace.scratch(_SCRATCH) as scratch:
        judge = partial(
            judge_mask,
            workspace.scheme,
            required=required_structures(workspace.scheme, workspace.settings.required_structures),
        )

        def prepare_one(source: Source) -> Prepared | Failed:
            image = prepare(source, scratch, partial(_known, workspace.catalog), options.orientation, options.reference)
            return with_mask(
                image, finder.labels if finder else None, scratch, partial(_grid, workspace.catalog), judge
            )

        sources = all_sources(findings, groups, workspace, options, report)
        if finder:
            sources = finder.with_masks(sources, options.primary_sequences)
        stored = partial(_stored_channel, workspace)
        prepared = prepared_groups(sources, prepare_one, options.threads, counted(groups, progress), stored)
        record_all(workspace.catalog, recorder, prepared, options, report)
    for found in finder.unclaimed() if finder else ():
        report.refuse(found.shown, f"fits the pattern of masks {options.masks!r}, and is the mask of no image here")
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


# An image takes a multiple of its size in memory while it is checked; readers' uploads wait for one another.
_one_upload = threading.Lock()


def register_upload(workspace: OpenedWorkspace, file: Path, *, alias: str, client: str, joins: bool = True) -> str:
    """Make an image that a reader uploads an examination, under the reader's own name for it.

    The same image again, under whatever name, is the same examination; another image under the same name
    is a new one, which the name then stands for.

    Parameters
    ----------
    file : the upload, with a suffix of an image.
    alias : the reader's name for it.
    client : whose name it is.
    joins : whether the name may stand for an image that somebody else brought. It opens that image's drafts and
        masks to whoever has the name.

    Returns
    -------
    The examination's id.

    Raises
    ------
    InvalidInput
        The name or the image cannot be used.
    Conflict
        The name is the id of another examination, or the image is there already and the name may not join it.
    """
    check_alias(alias)
    if is_id(alias):
        with workspace.catalog.read() as session:
            if examinations.get(session, alias) is None:
                raise InvalidInput(
                    f"{alias!r} has the form of an id of this server, and it gave none such out; rename the image"
                )
    source_digest = sha256_of(file)
    source = Source(
        file, alias, f"upload-{source_digest[:16]}", stated=True, sequence=sequence_in_name(strip_suffix(alias))
    )
    with workspace.scratch(_SCRATCH) as scratch:
        limit = workspace.settings.max_image_mb * 1024 * 1024
        with _one_upload:
            image = prepare(source, scratch, partial(_known, workspace.catalog), max_bytes=limit)
        if isinstance(image, Failed):
            raise InvalidInput(f"the image {alias!r} cannot be used: {image.reason.removeprefix(f'{file.name}: ')}")
        with workspace.catalog.begin() as session:
            participants.lock_imports(session)
            present = examinations.same_image(session, image.source_digest, image.digest)
            if is_id(alias):
                if alias not in {examination.id for examination in present}:
                    raise Conflict(
                        f"{alias} is another image, and nothing stored is overwritten; rename yours and send it again"
                    )
                return alias
            if present:
                mine = [item for item in present if examinations.has_alias(session, item.id, client)]
                if not mine and not joins:
                    raise Conflict(
                        "this image is in the catalogue already and comes with the worklist; ask for the next case"
                    )
                examination_id = (mine or present)[0].id
            else:
                recorder = Recorder(workspace, {}, PRIMARY_SEQUENCES)
                accepted = recorder.record(session, image)
                recorder.store_files()
                examination_id = accepted.id
                announce(session, client, [examination_id])
            examinations.set_alias(session, client, alias, examination_id)
            audit.record(session, client, "named", examination_id)
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
        return examinations.has_source(session, source_digest)


def _grid(catalog: Catalog, source_digest: str) -> Geometry | None:
    with catalog.read() as session:
        present = examinations.same_image(session, source_digest)
        return Geometry.from_json(present[0].geometry) if present else None


def _stored_channel(workspace: OpenedWorkspace, image: Prepared, sequence: str) -> tuple[str, Path] | None:
    """Id and file of the channel of that sequence of the scan that an image is going to join."""
    source = image.source
    if not source.stated or image.geometry is None:
        return None
    with workspace.catalog.read() as session:
        participant = participants.by_code(session, source.participant)
        present = (
            acquisitions.of_participant(session, participant.id, source.station) if participant is not None else ()
        )
        for acquisition in present:
            channels = {channel.sequence: channel for channel in acquisition.examinations}
            other = channels.get(sequence)
            if other is None or source.sequence in channels or session_of(acquisition) != source.session:
                continue
            if image.geometry.matches(Geometry.from_json(other.geometry)):
                return other.id, workspace.path(other.path)
    return None
