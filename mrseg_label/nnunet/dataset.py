"""An nnU-Net v2 raw data set from images and label maps, all in one orientation.

nnU-Net's readers treat orientation in different ways, so every file is reoriented to RAS here, exactly (axes are
permuted and flipped, nothing is interpolated), and ``dataset.json`` names the reader.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mrseg_label.errors import Conflict, InvalidInput, StoredFileError
from mrseg_label.files import link_or_copy, new_folder, require_digest, sha256_of
from mrseg_label.imaging import Geometry, load_image, reorient, write_nifti
from mrseg_label.labels import LabelScheme
from mrseg_label.nnunet.case_ids import check_case_ids
from mrseg_label.nnunet.damage import DIGESTS_FILE, damaged_files, read_json, write_digests
from mrseg_label.nnunet.dataset_json import dataset_json
from mrseg_label.nnunet.environment import FILE_ENDING
from mrseg_label.nnunet.left_out import describe_left_out
from mrseg_label.nnunet.modality import CT_WINDOW_HU, WINDOW_KEY, limit_ct
from mrseg_label.nnunet.splits import Split, make_splits
from mrseg_label.segments.files import read_label_map

log = logging.getLogger("mrseg_label.nnunet")
CASES_FILE = "cases.json"
_DATASET = re.compile(r"Dataset[0-9]{3}_[A-Za-z0-9][A-Za-z0-9_-]{0,80}")


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
    is_ct : whether the image is a CT, whose values are limited to a window (:mod:`mrseg_label.nnunet.modality`).
    fold_position : see :func:`mrseg_label.nnunet.splits.deal_into_folds`; the same for all cases of a participant.
    partly_ignored : whether the label map itself has ``ignore``, the scheme's highest label id + 1.
    """

    case_id: str
    image: Path
    label: Path
    participant: str
    image_digest: str | None = None
    label_digest: str | None = None
    background_known: bool = True
    is_ct: bool = False
    fold_position: int | None = None
    partly_ignored: bool = False


@dataclass(frozen=True)
class RawDataset:
    """A raw data set on disk.

    Attributes
    ----------
    cases : entries of ``cases.json``.
    left_out : reasons by case id, for cases that could not be written.
    """

    folder: Path
    cases: tuple[dict[str, str], ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For example ``Dataset501_round1``."""
        return self.folder.name

    @property
    def ignores(self) -> bool:
        """Whether the background of a case is ignored, so that voxels have nnU-Net's label for it."""
        return any("background" in case for case in self.cases)

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
    *,
    check: Callable[[Geometry], None] | None = None,
) -> RawDataset:
    """Write ``<raw>/<name>`` with imagesTr, labelsTr, dataset.json, splits_final.json and cases.json.

    The folder appears whole or not at all. If it exists already with the same cases and none of its files is damaged,
    it is kept.

    Parameters
    ----------
    raw : nnU-Net's folder of raw data sets.
    name : ``DatasetNNN_name``.
    held_out, folds : see :func:`mrseg_label.nnunet.splits.make_splits`.
    check : called with the grid of each image, (X, Y, Z); raises :class:`InvalidInput` for one that cannot be used. If
        it is given, a case that cannot be used or written is left out, and a data set of other cases is replaced.

    Raises
    ------
    InvalidInput
        A name or a label map cannot be used, or no case has a structure.
    GeometryError
        An image and its label map are not on one grid.
    StoredFileError
        An image or a label map is missing or damaged.
    Conflict
        A data set of that name exists with other cases or another split.
    """
    if not _DATASET.fullmatch(name):
        raise InvalidInput(f"data set name {name!r} must have the form Dataset501_name")
    check_case_ids(case.case_id for case in cases)
    positions = {case.participant: case.fold_position for case in cases if case.fold_position is not None}
    split = functools.partial(make_splits, held_out=held_out, folds=folds, positions=positions)
    split({case.case_id: case.participant for case in cases})  # can be split at all
    entries = {case.case_id: _entry(case) for case in cases}
    target = raw / name
    if target.exists():
        if (kept := _kept(target, entries, split, replace=check is not None)) is not None:
            return kept
        shutil.rmtree(target)
    with new_folder(target) as partial:
        (partial / "imagesTr").mkdir()
        (partial / "labelsTr").mkdir()
        left_out = _write_cases(partial, cases, scheme, check)
        written = [case for case in cases if case.case_id not in left_out]
        if not written:
            raise InvalidInput(f"no case is left to train on: {describe_left_out(left_out)}")
        description = dataset_json(name, [case.case_id for case in written], scheme)
        if any(case.is_ct for case in written):
            description[WINDOW_KEY] = list(CT_WINDOW_HU)
        _write_json(partial / "dataset.json", description)
        try:
            splits = split({case.case_id: case.participant for case in written})
        except InvalidInput as error:  # not without reason: they could be split before some were left out
            raise InvalidInput(f"{error}. Left out: {describe_left_out(left_out)}") from error
        _write_json(partial / "splits_final.json", splits)
        _write_json(partial / CASES_FILE, [entries[case.case_id] for case in written])
        files = sorted(str(path.relative_to(partial)) for path in partial.rglob("*") if path.is_file())
        write_digests(partial, partial / DIGESTS_FILE, files)
    return RawDataset(target, tuple(entries[case.case_id] for case in written), left_out)


def _kept(
    target: Path,
    entries: Mapping[str, dict[str, str]],
    split: Callable[[Mapping[str, str]], list[Split]],
    *,
    replace: bool,
) -> RawDataset | None:
    """The data set that exists, if it can stay; damaged files of it are put aside."""
    cases, splits = read_json(target / CASES_FILE), read_json(target / "splits_final.json")
    damaged = damaged_files(target, target / DIGESTS_FILE)
    if damaged:
        log.warning("%s has damaged files, %s; it is made again", target, ", ".join(damaged[:10]))
        aside = target.with_name(f"{target.name}.damaged")
        for name in damaged:
            if (target / name).is_file():
                (aside / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(target / name, aside / name)
        return None
    same = cases == list(entries.values()) and splits == split(
        {case: entry["participant"] for case, entry in entries.items()}
    )
    if not same and not replace:
        raise Conflict(f"{target} exists already with other cases or another split; give this data set another number")
    return RawDataset(target, tuple(entries.values())) if same and damaged is not None else None


def _write_cases(
    folder: Path, cases: Sequence[TrainingCase], scheme: LabelScheme, check: Callable[[Geometry], None] | None
) -> dict[str, str]:
    """Write the files of each case; returns the reasons of those that were left out."""
    written: dict[Path, tuple[Path, Geometry]] = {}
    filled = False
    left_out: dict[str, str] = {}
    for case in cases:
        try:
            filled = _write_case(folder, case, scheme, check, written) or filled
        except (InvalidInput, StoredFileError) as error:
            if check is None:
                raise
            left_out[case.case_id] = str(error)
            for path in (_image_file(folder, case), _label_file(folder, case)):
                path.unlink(missing_ok=True)
    if not filled and len(left_out) < len(cases):
        raise InvalidInput(
            "no case has a voxel of any structure, so there is nothing to train on; annotate a case first"
            + (f". Left out: {describe_left_out(left_out)}" if left_out else "")
        )
    return left_out


def _write_case(
    folder: Path,
    case: TrainingCase,
    scheme: LabelScheme,
    check: Callable[[Geometry], None] | None,
    written: dict[Path, tuple[Path, Geometry]],
) -> bool:
    """Write image and label map; returns whether a new label map has a structure."""
    require_digest(case.image, case.image_digest)
    array, geometry, repaired = load_image(case.image)
    if check is not None:
        check(geometry)
    image_target, label_target = _image_file(folder, case), _label_file(folder, case)
    pair = f"case {case.case_id}: image {case.image.name} and label map {case.label.name}"
    filled = False
    if case.label in written:
        earlier, label_geometry = written[case.label]
        geometry.require(label_geometry, pair)
        link_or_copy(earlier, label_target)
    else:
        require_digest(case.label, case.label_digest)
        labels, label_geometry = read_label_map(case.label, highest=len(scheme) + case.partly_ignored)
        geometry.require(label_geometry, pair)
        filled = bool(((labels > 0) & (labels <= len(scheme))).any())
        if not case.background_known:
            labels[labels == 0] = len(scheme) + 1
        # With the image's own geometry: headers that differ by rounding would make nnU-Net warn.
        write_nifti(label_target, *reorient(labels, geometry))
        written[case.label] = label_target, label_geometry
    limited = limit_ct(array) if case.is_ct else array
    if limited is array and not repaired and geometry.axcodes == "RAS" and case.image.name.endswith(FILE_ENDING):
        link_or_copy(case.image, image_target)
    else:
        write_nifti(image_target, *reorient(limited, geometry))
    return filled


def _image_file(folder: Path, case: TrainingCase) -> Path:
    return folder / "imagesTr" / f"{case.case_id}_0000{FILE_ENDING}"


def _label_file(folder: Path, case: TrainingCase) -> Path:
    return folder / "labelsTr" / f"{case.case_id}{FILE_ENDING}"


def _entry(case: TrainingCase) -> dict[str, str]:
    entry = {
        "case_id": case.case_id,
        "participant": case.participant,
        "image_sha256": case.image_digest or sha256_of(case.image),
        "label_sha256": case.label_digest or sha256_of(case.label),
    }
    entry |= {"window_hu": f"{CT_WINDOW_HU[0]} to {CT_WINDOW_HU[1]}"} if case.is_ct else {}
    ignored = "partly ignored" if case.partly_ignored else None if case.background_known else "ignored"
    return entry | {"background": ignored} if ignored else entry


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1))
