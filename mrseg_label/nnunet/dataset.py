"""An nnU-Net v2 raw data set from images and label maps, all in one orientation.

nnU-Net's readers treat orientation in different ways, so every file is reoriented to RAS here, exactly (axes are
permuted and flipped, nothing is interpolated), and ``dataset.json`` names the reader.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrseg_label.errors import Conflict, InvalidInput
from mrseg_label.files import new_folder, sha256_of
from mrseg_label.imaging import Geometry, load_image, reorient, write_nifti
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.environment import BACKGROUND, FILE_ENDING, IGNORE, READER
from mrseg_label.nnunet.splits import make_splits
from mrseg_label.segments.files import read_label_map

CASES_FILE = "cases.json"
CHANNEL_NAME = "MR"  # any name but CT: nnU-Net then normalises each image by its own mean and standard deviation
_DATASET = re.compile(r"Dataset[0-9]{3}_[A-Za-z0-9][A-Za-z0-9_-]{0,80}")
# nnU-Net takes "<case>_seg" for the label map of "<case>", and a case of that name would be lost.
_CASE = re.compile(r"(?!.*_seg$)[A-Za-z0-9][A-Za-z0-9_-]{0,120}")


@dataclass(frozen=True)
class TrainingCase:
    """One image with its label map. The channels of one acquisition are cases that share a label map.

    Attributes
    ----------
    case_id : letters, digits, ``_`` and ``-``; the name in nnU-Net's folders.
    image : file in any format and orientation that :func:`mrseg_label.imaging.load_image` reads.
    label : NIfTI label map of the scheme's label ids on the image's grid.
    participant : code of the participant, by which cases are split.
    image_digest, label_digest : SHA-256 of the two files where it is known; it is computed otherwise.
    background_known : whether every structure is either labelled or absent. If False, a structure that was not
        annotated in this case may lie in its background, which therefore gets nnU-Net's label ``ignore`` and does
        not enter the loss.
    """

    case_id: str
    image: Path
    label: Path
    participant: str
    image_digest: str | None = None
    label_digest: str | None = None
    background_known: bool = True


@dataclass(frozen=True)
class RawDataset:
    """A raw data set on disk."""

    folder: Path
    cases: tuple[dict[str, str], ...]

    @property
    def name(self) -> str:
        """For example ``Dataset501_round1``."""
        return self.folder.name

    @classmethod
    def open(cls, folder: Path) -> RawDataset:
        """Open a data set that :func:`write_raw_dataset` wrote.

        Raises
        ------
        InvalidInput
            The folder is not one.
        """
        try:
            cases = json.loads((folder / CASES_FILE).read_text())
        except (OSError, ValueError) as error:
            raise InvalidInput(
                f"{folder} is not a data set that this program wrote (its {CASES_FILE} cannot be read): {error}"
            ) from error
        return cls(folder, tuple(cases))


def write_raw_dataset(
    raw: Path,
    name: str,
    cases: Sequence[TrainingCase],
    scheme: LabelScheme,
    held_out: Collection[str] = (),
    folds: int = 1,
) -> RawDataset:
    """Write ``<raw>/<name>`` with imagesTr, labelsTr, dataset.json, splits_final.json and cases.json.

    The folder appears whole or not at all. If it exists already with the same cases, it is kept.

    Parameters
    ----------
    raw : nnU-Net's folder of raw data sets.
    name : ``DatasetNNN_name``.
    held_out, folds : see :func:`mrseg_label.nnunet.splits.make_splits`.

    Raises
    ------
    InvalidInput
        A name or a label map cannot be used, or no case has a structure.
    GeometryError
        An image and its label map are not on one grid.
    Conflict
        A data set of that name exists with other cases or another split.
    """
    if not _DATASET.fullmatch(name):
        raise InvalidInput(f"data set name {name!r} must have the form Dataset501_name")
    _check_names(cases)
    splits = make_splits({case.case_id: case.participant for case in cases}, held_out, folds)
    entries = [_entry(case) for case in cases]
    target = raw / name
    if target.exists():
        if list(RawDataset.open(target).cases) != entries or _read_json(target / "splits_final.json") != splits:
            raise Conflict(
                f"{target} exists already with other cases or another split; give this data set another number"
            )
        return RawDataset.open(target)
    with new_folder(target) as partial:
        (partial / "imagesTr").mkdir()
        (partial / "labelsTr").mkdir()
        _write_cases(partial, cases, scheme)
        _write_json(partial / "dataset.json", _dataset_json(name, cases, scheme))
        _write_json(partial / "splits_final.json", splits)
        _write_json(partial / CASES_FILE, entries)
    return RawDataset(target, tuple(entries))


def _write_cases(folder: Path, cases: Sequence[TrainingCase], scheme: LabelScheme) -> None:
    written: dict[Path, tuple[Path, Geometry]] = {}
    filled = False
    for case in cases:
        array, geometry, repaired = load_image(case.image)
        image_target = folder / "imagesTr" / f"{case.case_id}_0000{FILE_ENDING}"
        if geometry.axcodes == "RAS" and not repaired and case.image.name.endswith(FILE_ENDING):
            link_or_copy(case.image, image_target)
        else:
            write_nifti(image_target, *reorient(array, geometry))
        label_target = folder / "labelsTr" / f"{case.case_id}{FILE_ENDING}"
        pair = f"case {case.case_id}: image {case.image.name} and label map {case.label.name}"
        if case.label in written:
            earlier, label_geometry = written[case.label]
            geometry.require(label_geometry, pair)
            link_or_copy(earlier, label_target)
        else:
            labels, label_geometry = read_label_map(case.label, highest=len(scheme))
            geometry.require(label_geometry, pair)
            filled = filled or bool(labels.any())
            if not case.background_known:
                labels[labels == 0] = len(scheme) + 1
            # With the image's own geometry: headers that differ by rounding would make nnU-Net warn.
            write_nifti(label_target, *reorient(labels, geometry))
            written[case.label] = label_target, label_geometry
    if not filled:
        raise InvalidInput(
            "no case has a voxel of any structure, so there is nothing to train on; annotate a case first"
        )


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file that is never changed in place; copy it where the file system has no hard links."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _check_names(cases: Sequence[TrainingCase]) -> None:
    seen: set[str] = set()
    for case in cases:
        if not _CASE.fullmatch(case.case_id):
            raise InvalidInput(
                f"case id {case.case_id!r} must consist of letters, digits, _ and -, and must not end in _seg, "
                "which nnU-Net reserves for label maps"
            )
        if case.case_id.casefold() in seen:
            raise InvalidInput(f"case id {case.case_id!r} occurs twice; give each case an id of its own")
        seen.add(case.case_id.casefold())


def _entry(case: TrainingCase) -> dict[str, str]:
    entry = {
        "case_id": case.case_id,
        "participant": case.participant,
        "image_sha256": case.image_digest or sha256_of(case.image),
        "label_sha256": case.label_digest or sha256_of(case.label),
    }
    return entry if case.background_known else entry | {"background": "ignored"}


def _dataset_json(name: str, cases: Sequence[TrainingCase], scheme: LabelScheme) -> dict[str, Any]:
    labels = {BACKGROUND: 0} | scheme.label_names
    if not all(case.background_known for case in cases):
        labels[IGNORE] = len(scheme) + 1  # nnU-Net requires that it is the highest
    return {
        "name": name,
        "channel_names": {"0": CHANNEL_NAME},
        "labels": labels,
        "numTraining": len(cases),
        "file_ending": FILE_ENDING,
        "overwrite_image_reader_writer": READER,
        "label_scheme_sha256": scheme.digest,
        # With this list nnU-Net need not search the folder, for which it would start processes.
        "dataset": {
            case.case_id: {
                "images": [f"imagesTr/{case.case_id}_0000{FILE_ENDING}"],
                "label": f"labelsTr/{case.case_id}{FILE_ENDING}",
            }
            for case in cases
        },
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1))


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text())
