"""Folders of MONAI Label: images, ``labels/<tag>`` and ``datastore_v2.json``; and the archive that it exports.

References
----------
``monailabel/datastore/local.py`` and ``monailabel/endpoints/datastore.py``. The module of 3D Slicer writes the k-th
entry of ``label_info`` as value k (docs/decisions/0003).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrseg_label.errors import InvalidInput, LabelError
from mrseg_label.imaging.nrrd_file import has_segments
from mrseg_label.intake.files.discover import FoundFile
from mrseg_label.intake.images import MaskLabels
from mrseg_label.intake.masks.layouts import KnownMask, Layout, by_folder
from mrseg_label.intake.names import strip_suffix
from mrseg_label.segments.decode import listed_names

CATALOGUE, EXPORTED = "datastore_v2.json", "metadata.json"
FINAL = "final"
_DEPTH = 2  # of labels/final below the folder


@dataclass(frozen=True)
class _Store:
    """A folder of MONAI Label.

    Attributes
    ----------
    images : folder of the images.
    tags : folder of masks by tag.
    objects : what the catalogue knows of each image, by its id.
    """

    root: Path
    images: Path
    tags: Mapping[str, Path]
    objects: Mapping[str, Any]
    catalogue: str

    def labels_of(self, image: str) -> MaskLabels:
        """Names of the values of the final mask of an image.

        Raises
        ------
        LabelError
            The catalogue has none.
        """
        try:
            info = self.objects[image]["labels"][FINAL]["info"]
            listed = listed_names(info["label_info"])
        except (KeyError, TypeError, InvalidInput) as error:
            raise LabelError(f"{self.catalogue} does not name the values of this mask") from error
        if not listed:
            raise LabelError(f"{self.catalogue} does not name the values of this mask")
        return list(enumerate(listed, start=1))


def recognise(layout: Layout, *, take_masks: bool) -> None:
    """Find the masks of MONAI Label's folders.

    Those of the tag ``final``, which a reader submitted, are taken with the names of their segments. Those of other tags
    (``original``) are pre-segmentations and are left out.

    Parameters
    ----------
    take_masks : False where the import says itself where masks are.
    """
    folders = by_folder(layout.images)
    roots = dict.fromkeys(root for folder in folders for root in (folder, *folder.parents[:_DEPTH]))
    for store in filter(None, map(_open, roots)):
        images = {strip_suffix(found.path.name): found for found in folders.get(store.images, ())}
        for tag, folder in store.tags.items():
            files = folders.get(folder, [])
            if files and tag != FINAL:
                layout.leave_out(
                    files,
                    f"pre-segmentations of MONAI Label (labels/{tag}), which are no annotations, so they are left out",
                    mendable=False,
                )
            elif files and not take_masks:
                layout.leave_out(files, "masks that the pattern of --masks does not lead to", mendable=True)
            elif files:
                _take(layout, store, files, images)


def _take(layout: Layout, store: _Store, files: Sequence[FoundFile], images: Mapping[str, FoundFile]) -> None:
    masks: dict[Path, KnownMask] = {}
    unnamed: dict[str, list[FoundFile]] = {}
    for found in files:
        name = strip_suffix(found.path.name)
        image = images.get(name) or images.get(name.removesuffix(".seg"))
        if image is None:
            continue
        try:
            labels = None if has_segments(found.path) else store.labels_of(strip_suffix(image.path.name))
            masks[image.path] = KnownMask(found.path, labels)
        except InvalidInput as error:
            unnamed.setdefault(str(error), []).append(found)
    for reason, without_names in unnamed.items():
        layout.leave_out(
            without_names,
            f"masks of MONAI Label, but {reason}; give "
            f'--masks "{store.tags[FINAL].relative_to(store.root).as_posix()}/{{name}}.nii.gz" with --mask-labels',
            mendable=True,
        )
    gone = {found.path for without_names in unnamed.values() for found in without_names}
    layout.take_masks(
        [found for found in files if found.path not in gone],
        masks,
        f"MONAI Label, with the names in {store.catalogue},",
    )


def _open(root: Path) -> _Store | None:
    """Open a folder of MONAI Label, by its catalogue or by the folders that it makes; None for another folder."""
    content = _read(root / CATALOGUE)
    if content is not None or (root / CATALOGUE).is_file():
        known = content or {}
        labels = _below(root, known.get("labels_dir"), "labels")
        images = _below(root, known.get("images_dir"), ".")
        return _Store(root, images, _tags(labels), _objects(known), CATALOGUE)
    exported = _read(root / EXPORTED)
    if exported is not None and "objects" in exported and (root / "label").is_dir():
        return _Store(root, root / "image", {FINAL: root / "label"}, _objects(exported), EXPORTED)
    tags = _tags(root / "labels")
    if FINAL in tags and "original" in tags:
        return _Store(root, root, tags, {}, CATALOGUE)
    return None


def _below(root: Path, stated: object, usual: str) -> Path:
    """A folder of the catalogue; the usual one where it states none, or one elsewhere."""
    folder = root / str(stated or usual)
    return folder if folder.is_relative_to(root) and ".." not in folder.parts else root / usual


def _tags(labels: Path) -> dict[str, Path]:
    if not labels.is_dir():
        return {}
    return {folder.name: folder for folder in sorted(labels.iterdir()) if folder.is_dir()}


def _objects(content: Mapping[str, Any]) -> Mapping[str, Any]:
    objects = content.get("objects")
    return objects if isinstance(objects, dict) else {}


def _read(file: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
