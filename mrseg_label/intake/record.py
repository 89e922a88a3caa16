"""Record prepared images: participant, acquisition and examination, in the caller's transaction."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import acquisitions, examinations, participants
from mrseg_label.catalog.tables import Acquisition, Examination, Participant
from mrseg_label.errors import InvalidInput
from mrseg_label.ids import derived_id, new_id
from mrseg_label.imaging import Geometry
from mrseg_label.intake.assign import Source, automatic_codes
from mrseg_label.intake.exclusion import mark_excluded
from mrseg_label.intake.options import Accepted
from mrseg_label.intake.participants import Person
from mrseg_label.intake.prepare import Prepared
from mrseg_label.intake.sequences import most_preferred
from mrseg_label.workspace import Workspace


class Recorder:
    """Records images one after the other.

    Parameters
    ----------
    people : what the table says of participants, by code.
    preference : sequences to draft on, best first.
    store : False in a dry run, whose transaction is rolled back: no file is moved into the workspace.
    """

    def __init__(
        self, workspace: Workspace, people: Mapping[str, Person], preference: Sequence[str], store: bool = True
    ) -> None:
        self.workspace = workspace
        self.people = people
        self.preference = preference
        self.store = store
        self._moves: dict[str, tuple[Path, str]] = {}

    def store_files(self) -> None:
        """Move the files of what was recorded into the workspace; call it before the transaction ends."""
        self.workspace.adopt(self._moves)
        self._moves = {}

    def forget_files(self) -> None:
        """Leave the files of a transaction that was rolled back where they are."""
        self._moves = {}

    def record(self, session: Session, image: Prepared) -> Accepted | Examination:
        """Record an image, or return the examination that it is already.

        Raises
        ------
        InvalidInput
            The same image is there under another participant.
        """
        present = examinations.same_image(session, image.source_digest, image.digest)
        if present:
            return _same_participant(image.source, present)
        if image.file is None or image.geometry is None:
            raise InvalidInput("the same image was removed while this one came in; import it again")
        source = image.source
        participant, is_new = self._participant(session, source)
        warnings = list(image.warnings)
        present_groups = [] if is_new else acquisitions.of_participant(session, participant.id, source.station)
        acquisition = self._acquisition(session, participant, present_groups, source, image.geometry, warnings)
        # The id follows from participant and content: an import that was killed between file and row finds
        # its file again, and two imports at once cannot record an image twice.
        examination_id = derived_id("ex", participant.code, image.digest)
        stored = f"images/{examination_id}.nii.gz"
        if self.store and image.in_place:
            self.workspace.put_link(stored, image.file, image.digest)
        elif self.store:
            self._moves[stored] = (image.file, image.digest)
        examination = Examination(
            id=examination_id,
            sequence=source.sequence,
            source=source.origin,
            source_digest=image.source_digest,
            path=stored,
            digest=image.digest,
            geometry=image.geometry.to_json(),
            warnings=warnings,
        )
        acquisition.examinations.append(examination)
        session.flush()
        self._choose_primary(session, acquisition)
        return Accepted(
            id=examination_id,
            source=source.shown,
            stored=stored,
            participant=participant.code,
            station=acquisition.station,
            sequence=source.sequence,
            group=acquisition.id,
            geometry=image.geometry,
            warnings=warnings,
        )

    def _participant(self, session: Session, source: Source) -> tuple[Participant, bool]:
        """The participant of a file, and whether it is a new one."""
        if source.stated:
            code, participant = source.participant, participants.by_code(session, source.participant, lock=True)
        else:
            code, participant = _free_code(session, source)
        if participant is not None:
            participant.sex = participant.sex or source.sex
            participant.age = source.age if participant.age is None else participant.age
            return participant, False
        person = self.people.get(code)
        participant = Participant(
            id=new_id("pt"),
            code=code,
            sex=(person.sex if person else None) or source.sex,
            age=person.age if person and person.age is not None else source.age,
        )
        session.add(participant)
        return participant, True

    def _acquisition(
        self,
        session: Session,
        participant: Participant,
        present: Sequence[Acquisition],
        source: Source,
        geometry: Geometry,
        warnings: list[str],
    ) -> Acquisition:
        """The one of the present acquisitions that the image is a channel of, or a new one."""
        repeat = False
        count = 0
        for acquisition in present:
            _, session_name, _, number = json.loads(acquisition.key)
            if session_name != source.session:
                continue
            count = max(count, number)
            channels = acquisition.examinations
            if not source.sequence or not all(channel.sequence for channel in channels):
                continue  # without names of sequences nothing says that two images were taken together
            if not channels or not geometry.matches(Geometry.from_json(channels[0].geometry)):
                continue
            if source.sequence not in {channel.sequence for channel in channels}:
                return acquisition
            repeat = True
        if repeat:
            warnings.append(
                f"there is a {source.sequence} image of this participant and station on the same grid already; "
                "this one is kept as a repeat, in a group of its own"
            )
        acquisition = Acquisition(
            id=new_id("aq"),
            participant=participant,
            examinations=[],
            key=json.dumps([participant.code, source.session, source.station, count + 1], ensure_ascii=False),
            station=source.station,
            sequence=source.sequence,
            shuffle=random.random(),
        )
        if participant.excluded_at is not None:
            mark_excluded(acquisition, participant.excluded_at, participant.excluded_by, participant.excluded_reason)
            warnings.append(f"the participant is excluded ({participant.excluded_reason}), and so is this image")
        session.add(acquisition)
        return acquisition

    def _choose_primary(self, session: Session, acquisition: Acquisition) -> None:
        channels = acquisition.examinations
        if acquisition.primary_examination_id is not None and acquisitions.in_use(session, acquisition.id):
            return  # someone works on the channel that was chosen
        primary = channels[most_preferred([channel.sequence for channel in channels], self.preference)]
        acquisition.primary_examination_id = primary.id
        acquisition.sequence = primary.sequence


def session_of(acquisition: Acquisition) -> str:
    """The session that an acquisition belongs to, as its import named it."""
    return str(json.loads(acquisition.key)[1])


def complete_participants(
    session: Session, people: Mapping[str, Person], codes: Collection[str]
) -> list[tuple[str, str]]:
    """Add sex and age of the table to participants that lack them; returns (line, reason) of contradictions."""
    contradictions = []
    for code in codes:
        person, participant = people[code], participants.by_code(session, code)
        if participant is None:
            continue
        for what in ("sex", "age"):
            stated, present = getattr(person, what), getattr(participant, what)
            if stated is None or stated == present:
                continue
            if present is None:
                setattr(participant, what, stated)
            else:
                contradictions.append(
                    (person.where, f"participant {code} has the {what} {present} already, the table says {stated}")
                )
    return contradictions


def _same_participant(source: Source, present: Sequence[Examination]) -> Examination:
    """The examination that a file is, if it may be: the same bytes twice are one image of one participant."""
    codes = {source.participant} if source.stated else set(automatic_codes(source.path, source.participant))
    for examination in present:
        if examination.source == source.origin and not source.stated:
            return examination
        if examination.acquisition.participant.code in codes:
            return examination
    other = present[0]
    raise InvalidInput(
        f"the same image is there under participant {other.acquisition.participant.code} "
        f"(examination {other.id}, from {Path(other.source).name}); under two participants it would leak from "
        "training into validation; leave it out, or state the same participant"
    )


def _free_code(session: Session, source: Source) -> tuple[str, Participant | None]:
    """A code for a file that is a participant of its own: none that belongs to another file."""
    for code in automatic_codes(source.path, source.participant):
        participant = participants.by_code(session, code, lock=True)
        if participant is None or set(examinations.sources_of(session, participant.id)) <= {str(source.path)}:
            return code, participant
    raise InvalidInput(f"there is another participant {source.participant}; state whose image this is (--participant)")
