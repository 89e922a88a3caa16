"""A BIDS derivative data set: images and masks under names that say what they are, each with its sidecar.

``chunk`` numbers the stations of a session from the head, ``acq`` names the sequence. BIDS has a suffix neither for the channels of a
Dixon acquisition, which are T1-weighted gradient-echo images and written as ``T1w``, nor for CT and others; files of those are
listed in ``.bidsignore``.

References
----------
Gorgolewski KJ, et al. The brain imaging data structure. Sci Data 2016;3:160044. https://doi.org/10.1038/sdata.2016.44;
https://bids-specification.readthedocs.io/en/stable/derivatives/imaging.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import mrseg_label
from mrseg_label.exports.dataset import Case, DataSet, Image, Person, Way, label_of, unique_labels
from mrseg_label.exports.files import File, copy_of, json_file, table_file, text_file
from mrseg_label.exports.tables import COLUMN_TEXTS, ParticipantTable, describe_image, describe_mask
from mrseg_label.exports.whole_body import WholeBodies, bodies_of, body_files
from mrseg_label.licences import inherited

VERSION = "1.10.0"
SUFFIX = ".nii.gz"
OTHER = "image"  # suffix of images for which BIDS has none
_SUFFIXES = {"t1": "T1w", "t1fs": "T1w", "in": "T1w", "opp": "T1w", "fat": "T1w", "water": "T1w", "t2": "T2w"}
_OF_BIDS = ("T1w", "T2w", "PDw", "T2starw", "FLAIR", "PD", "T2star", "angio")
_BY_NAME = {name.casefold(): name for name in _OF_BIDS}
_IGNORED = ("labels.tsv", "card.json", f"*_{OTHER}.nii.gz", f"*_{OTHER}.json")


def bids_files(dataset: DataSet, name: str, card: Mapping[str, Any], whole_bodies: WholeBodies) -> Iterator[File]:
    """Yield the files of a data set, participant after participant; tables that name them come last.

    Parameters
    ----------
    name : of the data set.
    whole_bodies : whether, and how, stations are composed too (``desc-wholebody``).
    """
    labels, table = unique_labels(dataset.codes), ParticipantTable()
    workspace = dataset.workspace
    for person in dataset.read():
        subject = f"sub-{labels[person.participant.code]}"
        table.add(subject, person)
        for stem, case, image in _images(subject, person):
            row = image.examination
            path = f"{stem}_{suffix_of(row.sequence)}{SUFFIX}"
            yield copy_of(path, workspace.path(row.path), row.digest, row.created_at)
            yield json_file(
                path.replace(SUFFIX, ".json"), {"SkullStripped": False} | describe_image(image) | _place(case)
            )
            if image.way is not Way.WITHOUT:
                mask = f"{stem}_dseg"
                yield copy_of(
                    f"{mask}{SUFFIX}",
                    workspace.path(case.annotation.path),
                    case.annotation.digest,
                    case.annotation.created_at,
                )
                yield json_file(f"{mask}.json", _sidecar(case, image, path))
        if whole_bodies:
            yield from _bodies(dataset, person, subject, match=whole_bodies.match)
    yield from _root(dataset, name, card, table)


def _images(subject: str, person: Person) -> Iterator[tuple[str, Case, Image]]:
    """Yield each image with its path up to the suffix, which is the same for its mask."""
    taken: Counter[str] = Counter()
    for case in person.cases:
        session = label_of(case.station.session)
        folder = "/".join([subject, *([f"ses-{session}"] if session else []), "anat"])
        for image in case.images:
            entities = [subject, *([f"ses-{session}"] if session else [])]
            if sequence := label_of(image.examination.sequence):
                entities.append(f"acq-{sequence}")
            chunk = [f"chunk-{case.station.number}"] if case.stations > 1 else []
            # Whatever BIDS' letters and digits make equal is told apart by the run.
            key = "_".join([folder, *entities, *chunk]).casefold()
            taken[key] += 1
            run = max(case.repeat, taken[key])
            entities += [f"run-{run}"] if run > 1 else []
            yield f"{folder}/{'_'.join(entities + chunk)}", case, image


def _bodies(dataset: DataSet, person: Person, subject: str, *, match: bool) -> Iterator[File]:
    taken: Counter[str] = Counter()
    for body in bodies_of(person):
        session, sequence = label_of(body.session), label_of(body.sequence)
        entities = [subject, *([f"ses-{session}"] if session else []), *([f"acq-{sequence}"] if sequence else [])]
        folder = "/".join([*entities[: 2 if session else 1], "anat"])
        taken["_".join(entities).casefold()] += 1
        run = taken["_".join(entities).casefold()]
        stem = f"{folder}/{'_'.join([*entities, *([f'run-{run}'] if run > 1 else []), 'desc-wholebody'])}"
        path = f"{stem}_{suffix_of(body.sequence)}{SUFFIX}"
        description = "All stations of the sequence, composed; the labels of its mask are those of dseg.tsv"
        more = {"SkullStripped": False, "Description": description}
        yield from body_files(dataset.workspace, body, path, f"{stem}_dseg{SUFFIX}", match=match, more=more)
        if body.is_labelled:
            yield json_file(
                f"{stem}_dseg.json",
                {"Description": description, "Sources": [f"bids::{path}"], "SpatialReference": f"bids::{path}"},
            )


def suffix_of(sequence: str) -> str:
    """The suffix of BIDS for a sequence type; :data:`OTHER` for one that BIDS does not know."""
    return _SUFFIXES.get(sequence) or _BY_NAME.get(sequence.casefold()) or OTHER


def _place(case: Case) -> dict[str, Any]:
    return {"station": case.station.acquisition.station, "session": case.station.session}


def _sidecar(case: Case, image: Image, path: str) -> dict[str, Any]:
    drawn_on = case.annotation.examination_id
    return {
        "Description": "Structures of the label scheme of this data set, as dseg.tsv lists them",
        "Sources": [f"bids::{path}"],
        "SpatialReference": f"bids::{path}",
        "Manual": not case.is_imported,
        "Propagated": image.way is Way.PROPAGATED,
        "DrawnOnExamination": drawn_on,
        "examination": image.examination.id,
        "sequence": image.examination.sequence,
        **describe_mask(case),
    }


def _root(dataset: DataSet, name: str, card: Mapping[str, Any], table: ParticipantTable) -> Iterator[File]:
    from mrseg_label.exports.card import card_text

    licences = inherited(None, [one for one in card["licences"] if one != "not stated"])
    yield json_file(
        "dataset_description.json",
        {
            "Name": name,
            "BIDSVersion": VERSION,
            "DatasetType": "derivative",
            **({"License": licences[0]} if len(licences) == len(card["licences"]) == 1 else {}),
            "GeneratedBy": [
                {
                    "Name": "mrseg-label",
                    "Version": mrseg_label.__version__,
                    "Description": "annotations of readers, exported",
                }
            ],
        },
    )
    yield text_file(".bidsignore", "\n".join(_IGNORED) + "\n")
    yield text_file("README.md", card_text(card))
    yield json_file("card.json", card)
    yield text_file("labels.tsv", dataset.scheme.text)
    yield table_file(
        "dseg.tsv",
        ("index", "name", "abbreviation", "color"),
        [(one.id, one.shown_name, one.name, "#{:02x}{:02x}{:02x}".format(*one.color)) for one in dataset.scheme],
    )
    yield json_file("participants.json", {column: {"Description": text} for column, text in COLUMN_TEXTS.items()})
    yield table.file()
