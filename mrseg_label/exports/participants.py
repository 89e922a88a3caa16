"""One folder a participant: a folder for each station with its images, the mask that they share, and what is known of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mrseg_label.exports.card import card_text
from mrseg_label.exports.dataset import Case, DataSet, Person, unique_labels
from mrseg_label.exports.files import File, copy_of, json_file, table_file, text_file
from mrseg_label.exports.tables import ParticipantTable, describe_image, describe_mask, describe_participant, numbered
from mrseg_label.exports.whole_body import WholeBodies, bodies_of, body_files
from mrseg_label.text import key_of

SUFFIX = ".nii.gz"
CASES = "cases.tsv"
MASK = "mask"
WHOLE_BODY = "whole-body"
COLUMNS = (
    "participant", "held_out", "session", "station", "sequence", "examination", "acquisition", "image", "mask", "mask_of_image",
    "annotation", "annotation_number", "annotation_state", "not_annotated",
)  # fmt: skip


def participant_files(dataset: DataSet, card: Mapping[str, Any], whole_bodies: WholeBodies) -> Iterator[File]:
    """Yield the files of a data set, participant after participant; tables that name them come last.

    Parameters
    ----------
    whole_bodies : whether, and how, stations are composed too.
    """
    names, table = unique_labels(dataset.codes, folders=True), ParticipantTable()
    rows: list[tuple[object, ...]] = []
    for person in dataset.read():
        folder = names[person.participant.code]
        table.add(folder, person)
        described = []
        for place, case in zip(folders_of(person), person.cases, strict=True):
            described.append(describe_case(case, place))
            yield from _case_files(dataset, case, f"{folder}/{place}", described[-1])
            rows += rows_of(person, case, folder, described[-1])
        yield json_file(f"{folder}/participant.json", describe_participant(person.participant) | {"cases": described})
        if whole_bodies:
            yield from _bodies(dataset, person, folder, match=whole_bodies.match)
    yield text_file("README.md", card_text(card))
    yield json_file("card.json", card)
    yield text_file("labels.tsv", dataset.scheme.text)
    yield table.file()
    yield table_file(CASES, COLUMNS, rows)


def folders_of(person: Person) -> list[str]:
    """Name the folder of each case of a participant: the station, within the session where one is named."""
    names = []
    for case in person.cases:
        station = key_of(case.station.acquisition.station, "")
        parts = [key_of(case.station.session, "session")] if case.station.session else []
        names.append(
            "/".join([*parts, station or ("images" if case.stations == 1 else f"station-{case.station.number}")])
        )
    return numbered(names)


def describe_case(case: Case, place: str) -> dict[str, Any]:
    """Describe a case with its files, given by their paths from the folder of the participant, as JSON."""
    names = numbered([MASK, *(key_of(image.examination.sequence, "image") for image in case.images)])[1:]
    return {
        "file": f"{place}/{MASK}{SUFFIX}",
        **describe_mask(case),
        "images": [
            {"file": f"{place}/{name}{SUFFIX}", **describe_image(image)}
            for name, image in zip(names, case.images, strict=True)
        ],
    }


def _case_files(dataset: DataSet, case: Case, folder: str, described: Mapping[str, Any]) -> Iterator[File]:
    workspace, annotation = dataset.workspace, case.annotation
    base = folder.split("/", 1)[0]
    for entry, image in zip(described["images"], case.images, strict=True):
        row = image.examination
        yield copy_of(f"{base}/{entry['file']}", workspace.path(row.path), row.digest, row.created_at)
    path = f"{base}/{described['file']}"
    yield copy_of(path, workspace.path(annotation.path), annotation.digest, annotation.created_at)
    yield json_file(path.replace(SUFFIX, ".json"), described)


def _bodies(dataset: DataSet, person: Person, folder: str, *, match: bool) -> Iterator[File]:
    bodies = bodies_of(person)
    names = numbered(
        "/".join(
            [*([key_of(body.session, "session")] if body.session else []), WHOLE_BODY, key_of(body.sequence, "image")]
        )
        for body in bodies
    )
    for body, name in zip(bodies, names, strict=True):
        stem = f"{folder}/{name}"
        described = describe_participant(person.participant)
        yield from body_files(
            dataset.workspace, body, f"{stem}{SUFFIX}", f"{stem}_{MASK}{SUFFIX}", match=match, more=described
        )


def rows_of(person: Person, case: Case, folder: str, described: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """Yield the row of each image of a case in the table of cases; a file that there is not is ``n/a``."""
    participant, annotation = person.participant, case.annotation
    for entry, image in zip(described["images"], case.images, strict=True):
        yield (
            participant.code, bool(participant.held_out), case.station.session, case.station.acquisition.station,
            image.examination.sequence, image.examination.id, case.station.acquisition.id, _below(folder, entry["file"]),
            _below(folder, described["file"]), str(image.way), annotation.id, annotation.number, str(annotation.state),
            ",".join(case.missing),
        )  # fmt: skip


def _below(folder: str, file: str | None) -> str | None:
    return None if file is None else f"{folder}/{file}"
