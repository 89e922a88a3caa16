"""Recognise the folders of other tools among the files of an import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from mrseg_label.imaging.label_maps import mask_word
from mrseg_label.intake.files import nako
from mrseg_label.intake.files.discover import FoundFile
from mrseg_label.intake.masks import monai_label, nnunet_raw, totalseg_data
from mrseg_label.intake.masks.layouts import Layout, by_folder
from mrseg_label.intake.names import strip_suffix
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.names import NameTable


def recognise(
    files: Sequence[FoundFile],
    scheme: LabelScheme,
    *,
    take_masks: bool,
    allow_label_maps: bool,
    for_evaluation: bool = False,
) -> Layout:
    """Find the masks among the files of an import by the conventions of nnU-Net, MONAI Label, TotalSegmentator and NAKO.

    Parameters
    ----------
    take_masks : False where the import says itself where masks are; the others are left out nevertheless.
    for_evaluation : take masks of test sets too, since none are trained on.
    allow_label_maps : leave a folder with one file per structure among the images.
    """
    layout = Layout(list(files))
    nnunet_raw.recognise(layout, scheme, take_masks=take_masks, for_evaluation=for_evaluation)
    monai_label.recognise(layout, take_masks=take_masks)
    totalseg_data.recognise(layout, take_masks=take_masks)
    for found in layout.images:
        if found.path not in layout.names and (fields := nako.parse_path(found.path)):
            layout.names[found.path] = {**fields, "data_set": ""}
    if not allow_label_maps:
        _leave_out_structures(layout, scheme)
    return layout


def _leave_out_structures(layout: Layout, scheme: LabelScheme) -> None:
    """Leave out folders with one file per structure; a program may have made them, so they are not taken."""
    table = NameTable(scheme)
    for folder, files in by_folder(layout.images).items():
        names = [strip_suffix(found.path.name) for found in files]
        known = [name for name in names if table.match(name) or table.structure_around(name)]
        if mask_word(PurePath(folder.name)) and len(known) >= max(2, len(names) / 4):
            layout.leave_out(
                files,
                f"files named after structures in a folder of masks; to import them as masks, give --masks with the path "
                f'of the folder, such as --masks "{{participant}}/{folder.name}"',
                mendable=True,
            )
