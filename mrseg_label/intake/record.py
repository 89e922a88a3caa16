"""Record prepared images in a transaction: participant, acquisition and examination."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from mrseg_label.catalog.channel_types import Misregistration
from mrseg_label.catalog.propagation import settle
from mrseg_label.catalog.queries import acquisitions, audit, deleted, examinations, participants
from mrseg_label.catalog.tables import Acquisition, Examination, Participant
from mrseg_label.catalog.types import LOCAL, SwapState
from mrseg_label.errors import InvalidInput
from mrseg_label.ids import derived_id, new_id
from mrseg_label.intake.data_sets import choose_code
from mrseg_label.intake.exclusion import EVALUATION_ONLY
from mrseg_label.intake.files.participants import ParticipantRow
from mrseg_label.intake.filling import Unchanged, fill_in
from mrseg_label.intake.grouping import add_acquisition, choose_primary, find_acquisition
from mrseg_label.intake.images import NamedImage, PreparedImage
from mrseg_label.intake.names import codes_from_path
from mrseg_label.intake.options import Accepted
from mrseg_label.intake.twins import Twins
from mrseg_label.jobs import queue
from mrseg_label.workspace import Workspace

# It names nobody, and no file beside it may: a refusal is kept with the job of an import.
DELETED = (
    "this participant was deleted on request and is not imported again; if they agreed since, first run: mrseg-label "
    "participants readmit CODE"
)


class Recorder:
    """Records images one after the other.

    Parameters
    ----------
    table : rows of the table of participants, by code.
    preference : sequences to pre-segment, best first.
    store : False in a dry run, whose transaction is rolled back: no file is moved into the workspace.
    actor : name in the audit trail.
    licence : under which the images were received, if that was stated.
    cohort : the data set that new participants came with, if that was stated.
    evaluation_only : whether new participants serve evaluation alone.
    propagate : whether masks are propagated between the channels of new acquisitions.
    """

    def __init__(
        self,
        workspace: Workspace,
        table: Mapping[str, ParticipantRow],
        preference: Sequence[str],
        store: bool = True,
        actor: str = LOCAL,
        licence: str | None = None,
        cohort: str | None = None,
        evaluation_only: bool = False,
        propagate: bool = True,
    ) -> None:
        self.workspace = workspace
        self.table = table
        self.preference = preference
        self.store = store
        self.actor = actor
        self.licence = licence
        self.cohort = cohort
        self.evaluation_only = evaluation_only
        self.propagate = propagate
        self._moves: dict[str, tuple[Path, str]] = {}
        self._twins = Twins(workspace)

    def store_files(self) -> None:
        """Move the files of the recorded images into the workspace; call it before the transaction ends."""
        self.workspace.adopt(self._moves)
        self._moves = {}
        self._twins.forget_files()

    def forget_files(self) -> None:
        """Forget the files of a transaction that was rolled back; they stay where they are."""
        self._moves = {}
        self._twins.forget_files()

    def find_stored(self, session: Session, image: PreparedImage) -> Sequence[Examination]:
        """Find the examinations that an image is already: of these bytes, or of the same scan stored otherwise."""
        present = examinations.same_image(session, image.source_digest, image.digest)
        return present or self._twins.same_scan(session, image)

    def record(self, session: Session, image: PreparedImage) -> Accepted | Unchanged:
        """Record an image, or fill in what is missing of the examination that it is already.

        Raises
        ------
        InvalidInput
            The same image is stored under another participant.
        """
        present = self.find_stored(session, image)
        if present:
            if self.evaluation_only:
                _check_evaluation_only(present[0].acquisition.participant)
            for examination in present:
                examination.licence = examination.licence or self.licence
                examination.dicom_series = examination.dicom_series or image.named.dicom_series or None
            return fill_in(session, image.named, present, self.actor)
        if image.file is None or image.geometry is None:
            raise InvalidInput("the stored copy of this image was removed during the import; import it again")
        named, warnings = image.named, [*image.warnings, *self._twins.warn_of(session, image)]
        participant, stored_acquisitions = self._find_or_add_participant(session, named)
        acquisition, number, is_repeat = find_acquisition(
            stored_acquisitions, named.session, named.sequence, image.geometry.matches
        )
        if is_repeat:
            warnings.append(
                f"there is already a {named.sequence} image of this participant and station on the same grid; this one "
                "is kept as a repeat, an acquisition of its own"
            )
        if acquisition is None:
            acquisition = add_acquisition(session, participant, named.session, named.station, named.sequence, number)
            acquisition.propagates = self.propagate
            if participant.excluded_at is not None:
                reason = participant.excluded_reason
                warnings.append(f"the participant is excluded ({reason}), so this image is excluded too")
            elif participant.evaluation_only and not self.evaluation_only:
                warnings.append(f"the participant is {EVALUATION_ONLY}, and so is this image")
        # The id follows from participant and content: an import that was killed between file and row finds
        # its file again, and two imports at once cannot record an image twice.
        examination_id = derived_id("ex", participant.code, image.digest)
        stored = f"images/{examination_id}.nii.gz"
        self._twins.add_file(stored, image.file)
        if self.store and image.in_place:
            self.workspace.put_link(stored, image.file, image.digest)
        elif self.store:
            self._moves[stored] = (image.file, image.digest)
        examination = Examination(
            id=examination_id,
            sequence=named.sequence,
            source=named.origin,
            source_digest=image.source_digest,
            path=stored,
            digest=image.digest,
            fingerprint=image.fingerprint or None,
            geometry=image.geometry.to_json(),
            warnings=warnings,
            licence=self.licence,
            dicom_series=named.dicom_series or None,
            swap=SwapState.SUSPECTED if image.swap_suspected else None,
            misregistration=Misregistration.SUSPECTED if image.misregistration_suspected else None,
        )
        acquisition.examinations.append(examination)
        counterpart = examinations.get(session, image.swapped_with) if image.swapped_with else None
        if counterpart is not None and counterpart.swap is None:
            counterpart.swap = SwapState.SUSPECTED
        session.flush()
        choose_primary(session, acquisition, self.preference)
        if acquisition.annotated_at is not None:
            settle(session, acquisition)
        return Accepted(
            id=examination_id,
            source=named.shown,
            stored=stored,
            participant=participant.code,
            station=acquisition.station,
            sequence=named.sequence,
            acquisition_id=acquisition.id,
            geometry=image.geometry,
            warnings=warnings,
        )

    def _find_or_add_participant(
        self, session: Session, named: NamedImage
    ) -> tuple[Participant, Sequence[Acquisition]]:
        """Return the participant of an image, with the acquisitions stored of the image's station."""
        if named.data_set:
            code, participant = choose_code(session, named)
        elif named.stated:
            code, participant = named.participant, participants.by_code(session, named.participant, lock=True)
        else:
            code, participant = _choose_free_code(session, named)
        if participant is not None:
            if self.evaluation_only:
                _check_evaluation_only(participant)
            participant.cohort = participant.cohort or self.cohort
            participant.sex = participant.sex or named.sex
            participant.age = named.age if participant.age is None else participant.age
            return participant, acquisitions.of_participant(session, participant.id, named.station)
        if deleted.with_code(session, code) is not None:
            raise InvalidInput(DELETED)
        row = self.table.get(code)
        participant = Participant(
            id=new_id("pt"),
            code=code,
            sex=(row.sex if row else None) or named.sex,
            age=row.age if row and row.age is not None else named.age,
            cohort=self.cohort,
            evaluation_only=self.evaluation_only,
        )
        session.add(participant)
        return participant, ()


def _check_evaluation_only(participant: Participant) -> None:
    """Raise :class:`InvalidInput` if a participant takes part in the study: models may learn from their other images."""
    if not participant.evaluation_only:
        raise InvalidInput(
            f"participant {participant.code} takes part in the study, so that models may be trained on their images; an "
            "evaluation-only import needs participants of its own: name them with --pattern, or import without --evaluation-only"
        )


def log_import(session: Session, actor: str, examination_ids: Sequence[str]) -> None:
    """Add the new examinations to the audit trail, and enqueue the work that follows from them."""
    audit.record(session, actor, "import", "examinations", ids=list(examination_ids))
    queue.enqueue(session, queue.PRESEGMENT_PENDING, {}, key=queue.PRESEGMENT_PENDING)
    if examinations.lack_fingerprint(session):
        queue.enqueue(session, queue.COMPARE_SCANS, {}, key=queue.COMPARE_SCANS, priority=queue.BACKGROUND_PRIORITY)


def complete_participants(
    session: Session, table: Mapping[str, ParticipantRow], codes: Collection[str]
) -> list[tuple[str, str]]:
    """Add sex and age of the table to participants that lack them; return contradictions as (line, reason)."""
    contradictions = []
    for code in codes:
        row, participant = table[code], participants.by_code(session, code)
        if participant is None:
            continue
        for field in ("sex", "age"):
            stated, present = getattr(row, field), getattr(participant, field)
            if stated is None or stated == present:
                continue
            if present is None:
                setattr(participant, field, stated)
            else:
                contradictions.append(
                    (
                        row.where,
                        f"the {field} of participant {code} is {present} in the catalogue, but {stated} in the table; "
                        "the catalogue was not changed",
                    )
                )
    return contradictions


def _choose_free_code(session: Session, named: NamedImage) -> tuple[str, Participant | None]:
    """Choose a code for a file that is a participant of its own: the first that no other file has."""
    for code in codes_from_path(named.path, named.participant):
        participant = participants.by_code(session, code, lock=True)
        if participant is None or set(examinations.sources_of(session, participant.id)) <= {named.origin}:
            return code, participant
    raise InvalidInput(
        f"there is already another participant {named.participant}; give the participant of this image with --participant"
    )
