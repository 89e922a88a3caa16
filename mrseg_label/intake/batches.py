"""Prepared images into the catalogue, some to a transaction, and into the report."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.catalog.database import Catalog
from mrseg_label.catalog.queries import audit, participants
from mrseg_label.catalog.tables import Examination
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.intake.assign import Source
from mrseg_label.intake.masks import hand_on
from mrseg_label.intake.options import Accepted, ImportOptions, ImportReport
from mrseg_label.intake.prepare import Failed, Prepared
from mrseg_label.intake.record import Recorder, complete_participants
from mrseg_label.intake.swapped import Group
from mrseg_label.jobs import queue

# Small groups share a transaction, so that ten thousand images do not wait for ten thousand commits.
_IMAGES_A_TRANSACTION = 16


class _DryRun(Exception):
    """Rolls the transaction of a dry run back."""


def record_all(
    catalog: Catalog, recorder: Recorder, groups: Iterator[Group], options: ImportOptions, report: ImportReport
) -> None:
    """Record groups of prepared images.

    Raises
    ------
    Conflict
        Another import records the same images at the same time, again and again.
    """
    # A dry run makes its one transaction after all the reading, so that it does not keep others waiting.
    size = sys.maxsize if options.dry_run else _IMAGES_A_TRANSACTION
    given: dict[Path, str] = {}
    for batch in _batches(groups, size):
        given |= _record(catalog, recorder, batch, options, report, given)


def announce(session: Session, actor: str, examination_ids: Sequence[str]) -> None:
    """Write down who brought images in, and enqueue the job ``imported``."""
    audit.record(session, actor, "import", "examinations", ids=list(examination_ids))
    queue.enqueue(session, queue.PRESEGMENT_PENDING, {}, key=queue.PRESEGMENT_PENDING)


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
    given: Mapping[Path, str],
) -> dict[Path, str]:
    """Record a batch in one transaction; the report is filled in only where it held.

    Parameters
    ----------
    given : acquisition of each mask that was handed on before; what the batch adds is returned.
    """
    for last in (False, False, True):
        part = ImportReport()
        more = dict(given)
        recorder.forget_files()
        try:
            with catalog.begin() as session:
                _record_in(session, recorder, batch, part, report, options.actor, more)
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
    report.passed_over += part.passed_over
    for image in batch:
        if isinstance(image, Prepared) and image.file is not None and not image.in_place:
            image.file.unlink(missing_ok=True)
        if isinstance(image, Prepared) and image.mask is not None and image.mask.file != image.source.mask:
            image.mask.file.unlink(missing_ok=True)
    return more


def _record_in(
    session: Session,
    recorder: Recorder,
    batch: Sequence[Prepared | Failed],
    part: ImportReport,
    before: ImportReport,
    actor: str,
    given: dict[Path, str],
) -> None:
    participants.lock_imports(session)
    for image in batch:
        _record_one(session, recorder, image, part, before, given)
    codes = {image.source.participant for image in batch} & recorder.people.keys()
    for where, reason in complete_participants(session, recorder.people, sorted(codes)):
        part.refuse(where, reason)
    session.flush()
    recorder.store_files()
    if part.accepted:
        announce(session, actor, [entry.id for entry in part.accepted])


def _record_one(
    session: Session,
    recorder: Recorder,
    image: Prepared | Failed,
    part: ImportReport,
    before: ImportReport,
    given: dict[Path, str],
) -> None:
    if isinstance(image, Failed):
        part.refuse(image.source.shown, image.reason)
        return
    try:
        result = recorder.record(session, image)
    except InvalidInput as error:
        part.refuse(image.source.shown, str(error))
        return
    _hand_on_mask(session, recorder, image, result, part, given)
    if isinstance(result, Accepted):
        part.accepted.append(result)
        return
    part.unchanged += 1
    _note_duplicate(image.source, result, [*part.accepted, *before.accepted])


def _hand_on_mask(
    session: Session,
    recorder: Recorder,
    image: Prepared,
    result: Accepted | Examination,
    part: ImportReport,
    given: dict[Path, str],
) -> None:
    if image.mask_refused:
        part.refuse(*image.mask_refused)
    mask, path = image.mask, image.source.mask
    if mask is None or path is None:
        return
    acquisition_id = result.group if isinstance(result, Accepted) else result.acquisition_id
    if given.setdefault(path, acquisition_id) != acquisition_id:
        part.refuse(
            mask.shown,
            f"it is the mask of another group too ({given[path]}), and went there; the pattern of masks must tell "
            f"the two apart ({image.source.shown})",
        )
        return
    for described in mask.described:
        part.pass_over(mask.shown, described)
    session.flush()
    part.masks += hand_on(session, recorder.workspace, mask, result.id, acquisition_id, recorder.store)


def _note_duplicate(source: Source, examination: Examination, accepted: Sequence[Accepted]) -> None:
    """Say in the entry of an image that another file of the same import was the same."""
    if examination.source == source.origin:
        return
    for entry in accepted:
        if entry.id == examination.id:
            entry.warnings.append(f"{source.shown} has the same content and was dropped")
            examination.warnings = list(entry.warnings)
