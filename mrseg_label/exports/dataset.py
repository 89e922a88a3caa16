"""What is exported: participants with their stations, the images of each and the mask that they share."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.propagation import without_mask
from mrseg_label.catalog.queries import examinations, participants, stations
from mrseg_label.catalog.tables import Annotation, Examination, Participant
from mrseg_label.catalog.types import IMPORT_AUTHOR
from mrseg_label.errors import InvalidInput, NotFound
from mrseg_label.labels import LabelScheme
from mrseg_label.rounds.filling import not_annotated
from mrseg_label.text import listed

_SHOWN = 5
_NOT_IN_LABELS = re.compile(r"[^0-9A-Za-z]+")
_NOT_IN_FOLDERS = re.compile(r"[^0-9A-Za-z._-]+")
_LONGEST = 64


class MaskChoice(StrEnum):
    """Which mask of each case is exported."""

    ACCEPTED = "accepted"  # its newest accepted annotation
    SUBMITTED = "submitted"  # its newest annotation, also one that awaits review


class Way(StrEnum):
    """How an image came by its mask."""

    ANNOTATED = "annotated"  # a reader drew on this image
    PROPAGATED = "propagated"  # drawn on another channel of the same acquisition
    WITHOUT = "without"  # the mask does not count for it


@dataclass(frozen=True)
class Selection:
    """What of the workspace is exported.

    Attributes
    ----------
    codes : of these participants alone, where there are any.
    primary_only : only the channel that readers open, without the other channels of the acquisition.
    """

    masks: MaskChoice = MaskChoice.ACCEPTED
    codes: tuple[str, ...] = ()
    primary_only: bool = False


@dataclass(frozen=True)
class Image:
    """An image of a case."""

    examination: Examination
    way: Way


@dataclass(frozen=True)
class Case:
    """An annotated acquisition.

    Attributes
    ----------
    station : with its number from the head.
    missing : names of the structures that were not annotated, sorted.
    stations : how many different stations the session has.
    repeat : from 1; above 1 where the station was imaged before in the same session.
    """

    station: stations.Station
    annotation: Annotation
    images: Sequence[Image]
    missing: Sequence[str]
    stations: int
    repeat: int

    @property
    def drawn_on(self) -> Image | None:
        """The image that the mask was drawn on, where it is exported."""
        return next((image for image in self.images if image.way is Way.ANNOTATED), None)

    @property
    def is_imported(self) -> bool:
        """Whether the mask came with an import, and no reader drew it."""
        return self.annotation.author == IMPORT_AUTHOR


@dataclass(frozen=True)
class Person:
    """A participant with annotated cases.

    Attributes
    ----------
    cases : by session, and from head to foot.
    stations : all included ones, annotated or not.
    """

    participant: Participant
    cases: Sequence[Case]
    stations: Sequence[stations.Station]


@dataclass(frozen=True)
class DataSet:
    """The annotations that were chosen, fixed when the export began, so that its parts agree.

    Attributes
    ----------
    people : code and id of each participant, with the ids of the annotations, by code.
    """

    workspace: OpenedWorkspace
    selection: Selection
    people: Sequence[tuple[str, str, Sequence[str]]]

    @property
    def scheme(self) -> LabelScheme:
        """The label scheme of all masks."""
        return self.workspace.scheme

    @property
    def codes(self) -> list[str]:
        """Codes of the participants."""
        return [code for code, _, _ in self.people]

    def read(self) -> Iterator[Person]:
        """Read participant after participant, so that only one is in memory."""
        for _, participant_id, annotation_ids in self.people:
            with self.workspace.catalog.read() as session:
                participant = session.get(Participant, participant_id)
                if participant is None:
                    continue  # deleted since the export began
                masks = stations.annotations_by_acquisition(session, annotation_ids)
                every = stations.of_participant(session, participant_id)
                person = Person(participant, _cases(every, masks, self.scheme, self.selection.primary_only), every)
            if person.cases:
                yield person


def choose(workspace: OpenedWorkspace, selection: Selection) -> DataSet:
    """Choose the annotations to export.

    Raises
    ------
    InvalidInput
        Nothing is annotated.
    NotFound
        A participant does not exist, or has no annotated case.
    """
    with workspace.catalog.begin() as session:
        participants.decide_held_out(session)
        people = stations.participants_with_masks(
            session, submitted=selection.masks is MaskChoice.SUBMITTED, codes=selection.codes
        )
    unknown = [code for code in selection.codes if code not in {known for known, _, _ in people}]
    if unknown:
        raise NotFound(
            f"no annotated case of {listed(unknown, _SHOWN)}; list the participants with: mrseg-label participants list"
        )
    if not people:
        raise InvalidInput("nothing is annotated yet, so there is no data set to export; annotate a case first")
    return DataSet(workspace, selection, people)


def person_of(workspace: OpenedWorkspace, examination_id: str, selection: Selection) -> tuple[Person, Examination]:
    """Read the participant of an examination, who may have no annotated case, and the examination.

    Raises
    ------
    NotFound
        There is no such examination, or its case is excluded.
    """
    with workspace.catalog.read() as session:
        row = examinations.get(session, examination_id) if examination_id.isprintable() else None
        if row is None or row.acquisition.excluded_at is not None:
            raise NotFound(f"there is no examination {examination_id[:60]!r} that is included")
        participant = row.acquisition.participant
        chosen = stations.participants_with_masks(
            session, submitted=selection.masks is MaskChoice.SUBMITTED, codes=(participant.code,)
        )
        masks = stations.annotations_by_acquisition(session, [one for _, _, ids in chosen for one in ids])
        every = stations.of_participant(session, participant.id)
        return Person(participant, _cases(every, masks, workspace.scheme, selection.primary_only), every), row


def _cases(
    every: Sequence[stations.Station], masks: Mapping[str, Annotation], scheme: LabelScheme, primary_only: bool
) -> list[Case]:
    found: list[Case] = []
    repeats: Counter[tuple[str, int, str]] = Counter()
    counts = Counter(session for session, _ in {(station.session, station.number) for station in every})
    for station in every:
        names = {channel.sequence for channel in station.channels}
        repeat = 1 + max(repeats[station.session, station.number, name] for name in names)
        repeats.update((station.session, station.number, name) for name in names)
        annotation = masks.get(station.acquisition.id)
        if annotation is None:
            continue
        without = without_mask(station.acquisition, station.channels, annotation.examination_id)
        images = [
            Image(channel, _way(channel, annotation, without))
            for channel in sorted(station.channels, key=lambda one: (one.sequence, one.id))
            if not primary_only or channel.id == station.acquisition.primary_examination_id
        ]
        missing = sorted(not_annotated(annotation, scheme))
        found.append(Case(station, annotation, images, missing, counts[station.session], repeat))
    return found


def _way(channel: Examination, annotation: Annotation, without: Collection[str]) -> Way:
    if channel.id in without:
        return Way.WITHOUT
    return Way.ANNOTATED if annotation.examination_id == channel.id else Way.PROPAGATED


def label_of(text: str) -> str:
    """Make a label of letters and digits of a text, as BIDS has them; empty where it has none."""
    return _NOT_IN_LABELS.sub("", text)


def unique_labels(codes: Sequence[str], *, folders: bool = False) -> dict[str, str]:
    """Make a label of each participant code that no other has, on file systems without upper case either.

    A code that must be changed, or whose label another would have too, gets six digits of its SHA-256.

    Parameters
    ----------
    folders : names of folders, which may have dots, dashes and underscores too, instead of labels of BIDS.
    """
    same = Counter(code.casefold() for code in codes)
    labels = {}
    for code in codes:
        plain = code if folders else code.removeprefix("sub-")
        label = (_NOT_IN_FOLDERS.sub("-", plain).strip(".-") if folders else label_of(plain))[:_LONGEST]
        if label != plain or same[code.casefold()] > 1 or (not folders and plain != code and plain.casefold() in same):
            label += ("-" if folders else "x") + hashlib.sha256(code.encode()).hexdigest()[:6]
        labels[code] = label
    return labels
