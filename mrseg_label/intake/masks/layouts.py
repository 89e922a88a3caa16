"""Folders that other tools leave behind: which of their files are masks, and of which image, by the tool's conventions.

Masks are taken where the folder itself names their values and a person drew them. Others are left out and named: no
mask becomes an image, and no pre-segmentation becomes an annotation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mrseg_label.intake.files.discover import FoundFile
from mrseg_label.intake.images import MaskLabels, NamedImage
from mrseg_label.intake.options import Refused
from mrseg_label.intake.sequences import most_preferred


@dataclass(frozen=True)
class KnownMask:
    """A mask whose values have names.

    Attributes
    ----------
    labels : names of the values; None where the file has its own.
    lenient : whether values that the label scheme lacks are left out, and not refused.
    """

    path: Path
    labels: MaskLabels | None
    lenient: bool = False


@dataclass
class Layout:
    """What the conventions of tools say of the files of an import.

    Attributes
    ----------
    images : the files that may be images.
    names : fields of the images that a convention names (participant, sequence), by path.
    masks : mask of each image, by the path of the image; the channels of a case share one.
    refused : masks that could be imported if something were added or corrected.
    passed_over : what was taken, and what is left out for good.
    """

    images: list[FoundFile]
    names: dict[Path, Mapping[str, str]] = field(default_factory=dict)
    masks: dict[Path, KnownMask] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    passed_over: list[Refused] = field(default_factory=list)

    def leave_out(self, files: Sequence[FoundFile], reason: str, *, mendable: bool) -> None:
        """Take files of one folder out of the images; one line of the report names them.

        Parameters
        ----------
        mendable : whether they could be imported if something were added or corrected, so that they count as refused.
        """
        gone = {found.path for found in files}
        self.images = [found for found in self.images if found.path not in gone]
        first = files[0].shown
        source = first if len(files) == 1 else f"{first} and {len(files) - 1} more"
        (self.refused if mendable else self.passed_over).append(Refused(source, reason))

    def take_masks(self, folder: Sequence[FoundFile], masks: Mapping[Path, KnownMask], what: str) -> None:
        """Take files of one folder as the masks of images; those that are of no image are refused."""
        used = {mask.path for mask in masks.values()}
        taken = [found for found in folder if found.path in used]
        if taken:
            self.masks |= masks
            self.leave_out(taken, f"{len(taken)} masks of {what} are imported as annotations", mendable=False)
        lonely = [found for found in folder if found.path not in used]
        if lonely:
            self.leave_out(lonely, f"a mask of {what}, but no image of the import is of this case", mendable=True)


def share_masks(
    groups: Iterable[Sequence[NamedImage]], masks: Mapping[Path, KnownMask], preference: Sequence[str]
) -> Iterator[Sequence[NamedImage]]:
    """Give each mask to one image of its group, the one that is pre-segmented if possible; the others share it."""
    for group in groups:
        yield assign([masks.get(image.path) if image.series is None else None for image in group], group, preference)


def assign(
    masks: Sequence[KnownMask | None], group: Sequence[NamedImage], preference: Sequence[str]
) -> Sequence[NamedImage]:
    """Give each mask of a group to the first of its images in the order of preference."""
    chosen: dict[int, KnownMask] = {}
    for path in {mask.path for mask in masks if mask is not None}:
        channels = [index for index, other in enumerate(masks) if other is not None and other.path == path]
        best = channels[most_preferred([group[index].sequence for index in channels], preference)]
        mask = masks[best]
        assert mask is not None
        chosen[best] = mask
    return [_with_mask(image, chosen[index]) if index in chosen else image for index, image in enumerate(group)]


def _with_mask(image: NamedImage, mask: KnownMask) -> NamedImage:
    return replace(image, mask=mask.path, mask_labels=mask.labels, mask_lenient=mask.lenient)


def by_folder(files: Iterable[FoundFile]) -> dict[Path, list[FoundFile]]:
    """Group files by the folder that they lie in."""
    folders: dict[Path, list[FoundFile]] = {}
    for found in files:
        folders.setdefault(found.path.parent, []).append(found)
    return folders
