"""What every form of an export says about cases and participants."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mrseg_label.catalog.tables import Participant
from mrseg_label.clock import iso
from mrseg_label.exports.dataset import Case, Image, Person, Way
from mrseg_label.exports.files import File, table_file

PARTICIPANTS = "participants.tsv"
_PARTICIPANT_COLUMNS = ("participant_id", "code", "age", "sex", "held_out", "examinations", "annotated", "propagated")
COLUMN_TEXTS = {
    "code": "code of the participant in the workspace that exported this",
    "age": "age in years",
    "sex": "M: male, F: female, O: other",
    "held_out": "whether models are tested on the participant, and not trained",
    "examinations": "number of exported images",
    "annotated": "number of images that a reader drew on",
    "propagated": "number of images whose mask was drawn on another channel of the same acquisition",
}


class ParticipantTable:
    """The table of the participants, filled as they are exported."""

    def __init__(self) -> None:
        self._rows: list[tuple[object, ...]] = []

    def add(self, identifier: str, person: Person) -> None:
        """Add a participant."""
        one = person.participant
        images = [image for case in person.cases for image in case.images]
        counts = [sum(image.way is way for image in images) for way in (Way.ANNOTATED, Way.PROPAGATED)]
        self._rows.append((identifier, one.code, one.age, one.sex, bool(one.held_out), len(images), *counts))

    def file(self) -> File:
        """Make the file of the table."""
        return table_file(PARTICIPANTS, _PARTICIPANT_COLUMNS, self._rows)


def describe_participant(participant: Participant) -> dict[str, Any]:
    """Describe a participant, as JSON."""
    return {
        "participant": participant.code,
        "age": participant.age,
        "sex": participant.sex,
        "held_out": bool(participant.held_out),
    }


def describe_mask(case: Case) -> dict[str, Any]:
    """Describe the mask of a case, as JSON; readers are not named."""
    annotation = case.annotation
    return {
        "station": case.station.acquisition.station,
        "session": case.station.session,
        "acquisition": case.station.acquisition.id,
        "annotation": annotation.id,
        "annotation_number": annotation.number,
        "annotation_state": str(annotation.state),
        "annotated": iso(annotation.created_at),
        "imported": case.is_imported,
        "started_from": annotation.model_version,
        "mask_sha256": annotation.digest,
        "not_annotated": list(case.missing),
        "structures": {
            item.structure: str(item.state)
            for item in sorted(annotation.structures, key=lambda item: item.structure)
            if item.state.judged
        },
    }


def describe_image(image: Image) -> dict[str, Any]:
    """Describe an image, as JSON."""
    row = image.examination
    return {
        "examination": row.id,
        "sequence": row.sequence,
        "image_sha256": row.digest,
        "licence": row.licence,
        "mask": str(image.way),
    }


def numbered(names: Iterable[str]) -> list[str]:
    """Append ``-2``, ``-3`` and so on to names that came before, in whatever case."""
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        candidate, number = name, 1
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{name}-{number}"
        taken.add(candidate.casefold())
        found.append(candidate)
    return found
