"""Record the prepared images of an import, several to a transaction, and fill in its report."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import participants
from mrseg_label.catalog.tables import Examination
from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.intake.files.matching import ParticipantTable
from mrseg_label.intake.images import NamedImage, PreparedGroup, PreparedImage, RefusedImage
from mrseg_label.intake.masks.enqueue import enqueue_mask
from mrseg_label.intake.options import Accepted, ImportOptions, ImportReport, Updated
from mrseg_label.intake.record import Recorder, complete_participants, log_import

# Small groups share a transaction, so that ten thousand images do not wait for ten thousand commits.
_IMAGES_PER_TRANSACTION = 16
_ATTEMPTS = 3


class _DryRun(Exception):
    """Rolls back the transaction of a dry run."""


def record_groups(
    workspace: OpenedWorkspace,
    recorder: Recorder,
    groups: Iterator[PreparedGroup],
    options: ImportOptions,
    report: ImportReport,
    table: ParticipantTable,
    later: Iterable[PreparedGroup] = (),
) -> None:
    """Record groups of prepared images, and match the rows of the table of participants with them.

    Parameters
    ----------
    later : groups that are read once the others are recorded.

    Raises
    ------
    Conflict
        Another import keeps recording the same participants at the same time.
    """
    # A dry run makes its one transaction after all the reading, so that it does not block other writers.
    size = sys.maxsize if options.dry_run else _IMAGES_PER_TRANSACTION
    run = _ImportRun(workspace, recorder, options, report, table)
    for part in (groups, later):
        batch: PreparedGroup = []
        for group in part:
            batch += group
            if len(batch) >= size:
                run.record_batch(batch)
                batch = []
        if batch:
            run.record_batch(batch)
    run.match_table()


class _ImportRun:
    """The recording of one import; its report has only what was committed."""

    def __init__(
        self,
        workspace: OpenedWorkspace,
        recorder: Recorder,
        options: ImportOptions,
        report: ImportReport,
        table: ParticipantTable,
    ) -> None:
        self._workspace = workspace
        self._recorder = recorder
        self._options = options
        self._report = report
        self._table = table
        self._participants: set[str] = set()
        self._acquisition_of_mask: dict[Path, str] = {}

    def record_batch(self, batch: PreparedGroup) -> None:
        """Record a batch in one transaction, which is tried again where another import interferes."""
        for attempt in range(1, _ATTEMPTS + 1):
            part = _Batch(self._recorder, self._report.accepted, dict(self._acquisition_of_mask))
            self._recorder.forget_files()
            try:
                with self._workspace.catalog.begin() as session:
                    part.record(session, batch, self._options.actor)
                    if self._options.dry_run:
                        raise _DryRun
            except _DryRun:
                pass
            except IntegrityError as error:  # PostgreSQL: another import added the same participant at the same time
                if attempt == _ATTEMPTS:
                    raise Conflict(
                        "another import is recording the same participants; run this import again when the other has "
                        f"finished: {error.orig}"
                    ) from error
                continue
            break
        self._acquisition_of_mask = part.acquisition_of_mask
        self._participants |= part.participants
        self._report.accepted += part.report.accepted
        self._report.refused += part.report.refused
        self._report.unchanged += part.report.unchanged
        self._report.updated += part.report.updated
        self._report.masks += part.report.masks
        self._report.passed_over += part.report.passed_over
        _remove_scratch_files(batch)

    def match_table(self) -> None:
        """Add to the report which rows of the table are of no participant; take the likely ones where that is wanted."""
        if not self._table.rows:
            return
        unseen = [code for code in self._table.rows if code not in self._participants]
        with self._workspace.catalog.read() as session:
            stored = participants.known_codes(session, unseen)
        taken, matched, unmatched = self._table.match(self._participants, stored)
        self._report.matched_rows += matched
        self._report.unmatched_rows += unmatched
        self._report.participants_without_row += self._table.count_without_row(self._participants, taken)
        if not taken:
            return
        try:
            with self._workspace.catalog.begin() as session:
                for where, reason in complete_participants(session, taken, sorted(taken)):
                    self._report.refuse(where, reason)
                if self._options.dry_run:
                    raise _DryRun
        except _DryRun:
            pass


class _Batch:
    """The recording of one batch in one transaction.

    Parameters
    ----------
    accepted : images of the same import that were recorded before.
    acquisition_of_mask : acquisition that received each mask.

    Attributes
    ----------
    participants : codes of the participants of the images.
    """

    def __init__(self, recorder: Recorder, accepted: Sequence[Accepted], acquisition_of_mask: dict[Path, str]) -> None:
        self._recorder = recorder
        self._accepted_before = accepted
        self.acquisition_of_mask = acquisition_of_mask
        self.participants: set[str] = set()
        self.report = ImportReport()

    def record(self, session: Session, batch: PreparedGroup, actor: str) -> None:
        """Record the images and their masks, and store their files."""
        participants.lock_imports(session)
        for image in batch:
            if isinstance(image, RefusedImage):
                self.report.refuse(image.named.shown, image.reason)
            else:
                self._record_image(session, image)
        table = self._recorder.table
        codes = self.participants & table.keys()
        for where, reason in complete_participants(session, table, sorted(codes)):
            self.report.refuse(where, reason)
        session.flush()
        self._recorder.store_files()
        if self.report.accepted:
            log_import(session, actor, [entry.id for entry in self.report.accepted])

    def _record_image(self, session: Session, image: PreparedImage) -> None:
        try:
            result = self._recorder.record(session, image)
        except InvalidInput as error:
            self.report.refuse(image.named.shown, str(error))
            return
        if isinstance(result, Accepted):
            self._record_mask(session, image, result.id, result.acquisition_id)
            self.participants.add(result.participant)
            self.report.accepted.append(result)
            return
        examination = result.examination
        self._record_mask(session, image, examination.id, examination.acquisition_id)
        self.participants.add(examination.acquisition.participant.code)
        for difference in result.differs:
            self.report.pass_over(image.named.shown, difference)
        if result.edit.changes:
            self.report.updated.append(
                Updated(image.named.shown, result.edit.examination, result.edit.changes, result.edit.notes)
            )
            return
        self.report.unchanged += 1
        self._note_duplicate(image.named, examination)

    def _record_mask(self, session: Session, image: PreparedImage, examination_id: str, acquisition_id: str) -> None:
        if image.mask_refused:
            self.report.refuse(*image.mask_refused)
        mask, path = image.mask, image.named.mask
        if mask is None or path is None:
            return
        received = self.acquisition_of_mask.setdefault(path, acquisition_id)
        if received != acquisition_id:
            self.report.refuse(
                mask.shown,
                f"the pattern of masks leads to this mask from two acquisitions, and {received} received it; change the "
                f"pattern so that it distinguishes them (here for {image.named.shown})",
            )
            return
        for remark in mask.remarks:
            self.report.pass_over(mask.shown, remark)
        session.flush()
        self.report.masks += enqueue_mask(
            session,
            self._recorder.workspace,
            mask,
            examination_id=examination_id,
            acquisition_id=acquisition_id,
            store=self._recorder.store,
        )

    def _note_duplicate(self, named: NamedImage, examination: Examination) -> None:
        """Add a warning to the entry of an image where another file of the same import has the same content."""
        if examination.source == named.origin:
            return
        for entry in (*self.report.accepted, *self._accepted_before):
            if entry.id == examination.id:
                entry.warnings.append(f"{named.shown} has the same content and was dropped")
                examination.warnings = list(entry.warnings)


def _remove_scratch_files(batch: PreparedGroup) -> None:
    for image in batch:
        if isinstance(image, RefusedImage):
            continue
        if image.file is not None and not image.in_place:
            image.file.unlink(missing_ok=True)
        if image.mask is not None and image.mask.file != image.named.mask:
            image.mask.file.unlink(missing_ok=True)
