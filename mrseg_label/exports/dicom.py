"""DICOM: one folder a participant with the series of each image, and each mask as a segmentation that refers to one of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mrseg_label import __version__
from mrseg_label.annotation.as_dicom import make_dicom_segmentation, series_names
from mrseg_label.catalog.tables import Acquisition, Examination
from mrseg_label.errors import InvalidInput
from mrseg_label.exports.card import card_text
from mrseg_label.exports.dataset import Case, DataSet, Image, Way, unique_labels
from mrseg_label.exports.files import FIXED_TIME, File, json_file, table_file, text_file
from mrseg_label.exports.participants import CASES, COLUMNS, SUFFIX, describe_case, folders_of, rows_of
from mrseg_label.exports.tables import ParticipantTable, describe_participant
from mrseg_label.imaging import load_image
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.intake.originals import find_originals
from mrseg_label.workspace import Workspace

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from mrseg_label.imaging.dicom.writing import ImageSeries

Originals = Mapping[str, "list[Dataset]"]


def originals_of(dataset: DataSet, paths: Sequence[Path]) -> Originals:
    """Find the series that the images of a data set were imported from, by the id of the image.

    Raises
    ------
    InvalidInput
        None of them is there.
    """
    if not paths:
        return {}
    images = {
        one.examination.id: one.examination for person in dataset.read() for case in person.cases for one in case.images
    }
    found = find_originals(dataset.workspace, paths, images)
    if not found:
        raise InvalidInput(
            f"none of the DICOM series in {', '.join(map(str, paths[:3]))} is an annotated image of this workspace; "
            "give the files that the images were imported from"
        )
    return found


def dicom_files(dataset: DataSet, card: Mapping[str, Any], originals: Originals) -> Iterator[File]:
    """Yield the files of a data set, participant after participant; tables that name them come last.

    A mask in which no structure has voxels cannot be a DICOM segmentation; its case has no mask. Of an image whose original series is
    known, the series is not written again.
    """
    names, table = unique_labels(dataset.codes, folders=True), ParticipantTable()
    rows: list[tuple[object, ...]] = []
    for person in dataset.read():
        folder = names[person.participant.code]
        table.add(folder, person)
        described = []
        for place, case in zip(folders_of(person), person.cases, strict=True):
            described.append(_describe(case, place, originals))
            yield from _case_files(dataset, case, folder, described[-1], originals)
            rows += rows_of(person, case, folder, described[-1])
        yield json_file(f"{folder}/participant.json", describe_participant(person.participant) | {"cases": described})
    yield text_file("README.md", card_text(card))
    yield json_file("card.json", card)
    yield text_file("labels.tsv", dataset.scheme.text)
    yield table.file()
    yield table_file(CASES, COLUMNS, rows)


def _describe(case: Case, place: str, originals: Originals) -> dict[str, Any]:
    """Describe a case as the form of one folder a participant does, with the paths of this form."""
    described = describe_case(case, place)
    for entry, image in zip(described["images"], case.images, strict=True):
        entry["file"] = None if image.examination.id in originals else entry["file"].removesuffix(SUFFIX)
    described["file"] = described["file"].replace(SUFFIX, ".dcm") if _has_segments(case) else None
    return described


def _has_segments(case: Case) -> bool:
    return any(item.state.judged and item.voxels for item in case.annotation.structures)


def _case_files(
    dataset: DataSet, case: Case, folder: str, described: Mapping[str, Any], originals: Originals
) -> Iterator[File]:
    acquisition = case.station.acquisition
    for entry, image in zip(described["images"], case.images, strict=True):
        if entry["file"] is not None:
            yield from _series_files(f"{folder}/{entry['file']}", dataset.workspace, acquisition, image.examination)
    if described["file"] is not None:
        path = f"{folder}/{described['file']}"
        yield _segmentation_file(path, dataset, case, _referred(case, originals), originals)
        yield json_file(str(PurePosixPath(path).with_suffix(".json")), described)


def _referred(case: Case, originals: Originals) -> Image:
    """Choose the image whose series a mask refers to: the one that it was drawn on, but first one whose original is known."""

    def rank(image: Image) -> tuple[bool, bool, bool]:
        return image.way is Way.WITHOUT, image.examination.id not in originals, image.way is not Way.ANNOTATED

    return min(case.images, key=rank)


def _segmentation_file(path: str, dataset: DataSet, case: Case, image: Image, originals: Originals) -> File:
    annotation, sources = case.annotation, originals.get(image.examination.id)
    series = sources[0].SeriesInstanceUID if sources else ""
    states = sorted((one.structure, str(one.state), one.drafted_by or "") for one in annotation.structures)
    made_of = (__version__, annotation.digest, dataset.scheme.text, image.examination.id, series, str(states))
    recipe = hashlib.sha256("\n".join(made_of).encode()).hexdigest()

    def write(target: Path) -> None:
        target.write_bytes(
            make_dicom_segmentation(
                dataset.workspace, dataset.scheme, annotation, case.station.acquisition, image.examination, sources
            )
        )

    return File(path, f"dicom-seg:{recipe}", max(FIXED_TIME, int(annotation.created_at.timestamp())), write)


def _series_files(folder: str, workspace: Workspace, acquisition: Acquisition, image: Examination) -> Iterator[File]:
    """Yield a file for each slice; the image is read when the first of them is written."""
    loaded: list[ImageSeries] = []

    def writer(k: int) -> Any:
        def write(target: Path) -> None:
            from mrseg_label.imaging.dicom.writing import ImageSeries, encode

            if not loaded:
                workspace.verify(image.path, image.digest)
                array, geometry, _ = load_image(workspace.path(image.path))
                loaded.append(ImageSeries(array, geometry, series_names(acquisition, image)))
            target.write_bytes(encode(loaded[0].file(k)))

        return write

    seconds = max(FIXED_TIME, int(image.created_at.timestamp()))
    named = f"{acquisition.key}\n{acquisition.station}\n{image.sequence}"
    recipe = hashlib.sha256(f"{__version__}\n{image.id}\n{image.digest}\n{named}".encode()).hexdigest()
    for k in range(Geometry.from_json(image.geometry).shape[2]):
        yield File(f"{folder}/{k + 1:04d}.dcm", f"dicom:{recipe}:{k}", seconds, writer(k))
