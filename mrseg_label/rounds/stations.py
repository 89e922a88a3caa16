"""What is known of each station of the body: which structures readers were asked for there, and in whom they are."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from mrseg_label.catalog.queries import acquisitions
from mrseg_label.catalog.tables import Acquisition, Annotation
from mrseg_label.rounds.possible_places import Occurrence

FEWEST_ELSEWHERE = 2


def drawn(annotation: Annotation) -> list[str]:
    """Names of the structures of which an annotation has a voxel."""
    return [item.structure for item in annotation.structures if item.voxels]


class Stations:
    """At which station readers judged which structures, and in which participants they are: annotations first, filled ones later."""

    def __init__(self, session: Session, annotations: Iterable[Annotation]) -> None:
        self._acquisitions: dict[str, Acquisition] = {}
        self._occurrences: dict[tuple[str, str], Occurrence] = {}
        self._drawn: dict[str, set[str]] = {}  # in whom, at any station
        for annotation in annotations:
            acquisition = acquisitions.get(session, annotation.acquisition_id)
            assert acquisition is not None
            self._acquisitions[acquisition.id] = acquisition
            for name in annotation.judged:
                self.occurrence(annotation, name).judged.add(acquisition.participant.code)
            self.add_present(annotation, drawn(annotation))
            for name in drawn(annotation):
                self._drawn.setdefault(name, set()).add(acquisition.participant.code)

    def acquisition_of(self, annotation: Annotation) -> Acquisition:
        """The acquisition of one of these annotations."""
        return self._acquisitions[annotation.acquisition_id]

    def occurrence(self, annotation: Annotation, name: str) -> Occurrence:
        """In whom a structure was judged and found at the station of a case."""
        return self._occurrences.setdefault((self.acquisition_of(annotation).station, name), Occurrence())

    def add_present(self, annotation: Annotation, names: Iterable[str]) -> None:
        """Note that a case has these structures."""
        for name in names:
            self.occurrence(annotation, name).present.add(self.acquisition_of(annotation).participant.code)

    def is_unexpected(self, annotation: Annotation, name: str) -> bool:
        """Whether readers judged a structure at the station of a case, and none of its cases has it."""
        return bool(self.acquisition_of(annotation).station) and self.occurrence(annotation, name).is_unexpected

    def is_doubtful(self, annotation: Annotation, name: str) -> bool:
        """Whether a draft that shows a structure in a case is more likely to be wrong than the reader who removed it.

        Readers have drawn the structure, but at this station nobody has, although they were asked for it here, or have drawn
        it in :data:`FEWEST_ELSEWHERE` participants at other stations.
        """
        if not self.acquisition_of(annotation).station or self.occurrence(annotation, name).present:
            return False
        return self.is_unexpected(annotation, name) or len(self._drawn.get(name, ())) >= FEWEST_ELSEWHERE
