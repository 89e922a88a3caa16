"""TotalSegmentator's public data sets of CT and MR: ``meta.csv`` and ``s0011/{ct,mri}.nii.gz`` with ``segmentations``.

References
----------
Wasserthal J, et al. TotalSegmentator: robust segmentation of 104 anatomic structures in CT images. Radiol Artif Intell
2023. doi 10.1148/ryai.230024; data sets: doi 10.5281/zenodo.10047292 (CT), 10.5281/zenodo.14710732 (MR).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mrseg_label.intake.files.discover import FoundFile, lists_images
from mrseg_label.intake.masks.layouts import KnownMask, Layout, by_folder

MASKS = "segmentations"
_SUBJECT = re.compile(r"s\d{4,}")
_IMAGES = ("ct.nii.gz", "mri.nii.gz")


def recognise(layout: Layout, *, take_masks: bool) -> None:
    """Name the images of such a data set by their folders, and find their masks.

    It counts as one only with its table ``meta.csv``: folders ``segmentations`` alone are also what the program
    TotalSegmentator writes, and those are no annotations.

    Parameters
    ----------
    take_masks : False where the import says itself where masks are.
    """
    folders = by_folder(layout.images)
    taken: dict[Path, list[FoundFile]] = {}
    for folder, files in folders.items():
        if not _SUBJECT.fullmatch(folder.name) or not lists_images(folder.parent):
            continue
        for found in (found for found in files if found.path.name in _IMAGES):
            layout.names[found.path] = _names(found, folder)
            masks = folders.get(folder / MASKS)
            if masks and take_masks:
                layout.masks[found.path] = KnownMask(folder / MASKS, None)
                taken.setdefault(folder.parent, []).extend(masks)
    for root, files in taken.items():
        subjects = len({found.path.parent for found in files})
        layout.leave_out(
            files,
            f"the masks of {subjects} subjects of TotalSegmentator's data set in {root.name} are imported as annotations, one "
            "file per structure",
            mendable=False,
        )


def _names(found: FoundFile, folder: Path) -> Mapping[str, str]:
    names = {"participant": folder.name, "data_set": str(Path(found.origin).parent.parent)}
    return names if found.path.name != "ct.nii.gz" else names | {"sequence": "ct"}
