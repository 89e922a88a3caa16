"""nnU-Net's raw data sets, those of the Medical Segmentation Decathlon, and AMOS22: ``imagesTr``, ``labelsTr``, ``dataset.json``.

References
----------
https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md; http://medicaldecathlon.com
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mrseg_label.errors import LabelError
from mrseg_label.intake.files.discover import FoundFile
from mrseg_label.intake.images import MaskLabels
from mrseg_label.intake.masks import amos
from mrseg_label.intake.masks.label_lists import read_label_list
from mrseg_label.intake.masks.layouts import KnownMask, Layout, by_folder
from mrseg_label.intake.names import strip_suffix
from mrseg_label.labels import LabelScheme

LABELS = "dataset.json"
_IMAGES = re.compile(r"images(Tr|Ts|Val?)")
_OTHER = re.compile(r"(labels|pred|preds|predictions|infers|inference)_?(Tr|Ts|Val?)\w*", re.IGNORECASE)
_LABELS = ("labelsTr", "labelsVa", "labelsVal", "labelsTs")
_CHANNEL = re.compile(r"(.+)_(\d{4})")


def recognise(layout: Layout, scheme: LabelScheme, *, take_masks: bool, for_evaluation: bool) -> None:
    """Name the images of nnU-Net's raw data sets and find their masks.

    A case is a participant and its channels (``_0000``, ``_0001``) are the channels of one acquisition. The masks in
    ``labelsTr`` are taken with the names in ``dataset.json``. Those of the test set are not, since they would be trained on.

    Parameters
    ----------
    take_masks : False where the import says itself where masks are.
    for_evaluation : take the masks of validation and test sets too, since none are trained on.
    """
    folders = by_folder(layout.images)
    for folder, files in folders.items():
        if _IMAGES.fullmatch(folder.name) and _is_data_set(folder.parent):
            labels = folders.get(folder.parent / folder.name.replace("images", "labels"), [])
            cases = {_stem(found) for found in labels}
            names = _name_cases(files, cases, _channel_names(folder.parent))
            if _amos_labels(folder.parent):
                names = {path: {**one, "sequence": amos.sequence_of(one["participant"])} for path, one in names.items()}
            layout.names |= names
    for folder, files in folders.items():
        if _OTHER.fullmatch(folder.name) and _is_data_set(folder.parent):
            taken = amos.LABELLED if _amos_labels(folder.parent) else ("labelsTr",)
            wanted = folder.name in taken or (for_evaluation and folder.name in _LABELS)
            if not wanted:
                what = "masks outside the training set" if folder.name.startswith("labels") else "predictions"
                layout.leave_out(
                    files,
                    f"{what}: imported masks are trained on, so these are left out; to import them nevertheless, give "
                    f'--masks "{folder.name}/{{case}}.nii.gz" with --mask-labels',
                    mendable=False,
                )
                continue
            images = folders.get(folder.parent / folder.name.replace("labels", "images"), [])
            _take(layout, scheme, folder, files, images, take_masks=take_masks)


def _take(
    layout: Layout,
    scheme: LabelScheme,
    folder: Path,
    files: list[FoundFile],
    images: Sequence[FoundFile],
    *,
    take_masks: bool,
) -> None:
    if not take_masks:
        layout.leave_out(files, "masks that the pattern of --masks does not lead to", mendable=True)
        return
    theirs = _amos_labels(folder.parent)
    try:
        labels = amos.labels_of(scheme, theirs) if theirs else _read_labels(folder.parent)
    except LabelError as error:
        layout.leave_out(
            files,
            f"masks of nnU-Net, but their values have no usable names: {error}. Correct it, or give "
            f'--masks "{folder.name}/{{case}}.nii.gz" with --mask-labels',
            mendable=True,
        )
        return
    by_case = {_stem(found): found.path for found in files}
    masks = {
        found.path: KnownMask(by_case[case], labels, lenient=bool(theirs))
        for found in images
        if (case := layout.names[found.path]["participant"]) in by_case
    }
    what = "AMOS22, with the structures of the label scheme," if theirs else f"nnU-Net, with the names in {LABELS},"
    layout.take_masks(files, masks, what)


def _amos_labels(root: Path) -> Mapping[str, object]:
    """The labels of AMOS22; empty for another data set."""
    labels = _read_json(root).get("labels")
    return labels if isinstance(labels, dict) and amos.is_amos(labels) else {}


def _is_data_set(root: Path) -> bool:
    return (root / LABELS).is_file() or (root / "imagesTr").is_dir()


def _stem(found: FoundFile) -> str:
    return strip_suffix(found.path.name)


def _name_cases(
    files: Sequence[FoundFile], cases: set[str], channels: Mapping[int, str]
) -> dict[Path, Mapping[str, str]]:
    """Name the images of one folder: case and channel.

    Parameters
    ----------
    cases : names of the masks. The Decathlon's images have no channel, but a number of four digits may end their name.
    channels : names of the channels.
    """
    split: dict[Path, tuple[str, int | None]] = {}
    for found in files:
        stem = _stem(found)
        match = None if stem in cases else _CHANNEL.fullmatch(stem)
        split[found.path] = (match[1], int(match[2])) if match else (stem, None)
    several = len({channel for _, channel in split.values() if channel is not None}) > 1
    data_sets = {found.path: str(Path(found.origin).parent.parent) for found in files}
    names: dict[Path, Mapping[str, str]] = {}
    for path, (case, channel) in split.items():
        name = channels.get(channel or 0, "")
        if several and channel is not None and (not name or list(channels.values()).count(name) > 1):
            name = f"{name} channel {channel}".strip()
        names[path] = {"participant": case, "sequence": name, "data_set": data_sets[path]}
    return names


def _channel_names(root: Path) -> dict[int, str]:
    """Names of the channels: ``channel_names``, in version 1 and the Decathlon ``modality``."""
    content = _read_json(root)
    listed = content.get("channel_names", content.get("modality"))
    if not isinstance(listed, dict):
        return {}
    return {int(number): str(name).strip() for number, name in listed.items() if str(number).isdigit()}


def _read_labels(root: Path) -> MaskLabels:
    file = root / LABELS
    if not file.is_file():
        raise LabelError(f"there is no {LABELS} beside labelsTr")
    return read_label_list(file)


def _read_json(root: Path) -> dict[str, object]:
    try:
        content = json.loads((root / LABELS).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
