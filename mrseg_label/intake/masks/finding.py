"""Find the mask of each image by a pattern of paths, for image files and for DICOM series."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from mrseg_label.errors import InvalidInput
from mrseg_label.intake.files.discover import Findings, FoundFile
from mrseg_label.intake.files.pattern import FIELDS, Pattern
from mrseg_label.intake.images import NamedImage
from mrseg_label.intake.masks.label_lists import read_label_list
from mrseg_label.intake.masks.layouts import KnownMask, assign
from mrseg_label.intake.names import strip_suffix

_FIELD = re.compile(r"\{(\w*)\}")
_NNUNET_CHANNEL = re.compile(r"_\d{4}$")


def images_beside(pattern: str) -> str | None:
    """Derive the pattern of images from that of their masks: images lie in the folders that give the fields.

    ``{participant}/segmentations`` has images ``{participant}/*``, as in the TotalSegmentator data set. None if the
    fields are not the names of the first folders, or none of them is the participant.
    """
    folders = []
    for part in PurePosixPath(pattern).parts[:-1]:
        match = _FIELD.fullmatch(part)
        if match is None:
            break
        folders.append(match[1])
    fields = _FIELD.findall(pattern)
    return (
        "/".join([*(f"{{{name}}}" for name in folders), "*"]) if fields == folders and "participant" in fields else None
    )


class MaskFinder:
    """Finds the masks of images.

    Parameters
    ----------
    pattern : path below the imported folder in which ``{participant}``, ``{session}``, ``{station}`` and
        ``{sequence}`` stand for those of the image, ``{name}`` for its file name without suffix (of a DICOM
        series: the name of the folder or zip that holds it), ``{case}`` for the same without nnU-Net's ``_0000``.
        It leads to a file, or to a folder with one file per structure (TotalSegmentator).
    labels_file : names of the values, see :func:`mrseg_label.intake.masks.label_lists.read_label_list`.
    image_pattern : pattern of the paths of the images.

    Attributes
    ----------
    labels : names of the values; None without ``labels_file``.

    Raises
    ------
    InvalidInput, LabelError
        A pattern or the label list cannot be used.
    """

    def __init__(self, pattern: str, labels_file: Path | None, image_pattern: str | None) -> None:
        known = (*FIELDS, "name", "case")
        unknown = [name for name in _FIELD.findall(pattern) if name not in known]
        if unknown or pattern.startswith(("/", "\\")) or ".." in PurePosixPath(pattern).parts:
            raise InvalidInput(
                f"invalid pattern of masks {pattern!r}: it must be a path below the imported folder with the fields "
                f"{', '.join(f'{{{name}}}' for name in known)}"
            )
        self.labels = read_label_list(labels_file) if labels_file else None
        self._pattern = pattern
        self._image_pattern = Pattern(image_pattern) if image_pattern else None
        self._path_fields = [name for name in _FIELD.findall(pattern) if name in FIELDS]
        self._depth = len(PurePosixPath(pattern).parts)
        pieces = [re.escape(piece) for piece in re.split(r"\{\w*\}", PurePosixPath(pattern).as_posix())]
        self._any_mask = re.compile("[^/]*".join(pieces))
        self._candidates: list[FoundFile] = []
        self._found: set[Path] = set()
        self._mask_of_file: dict[Path, Path] = {}

    def separate_masks(self, findings: Findings) -> list[FoundFile]:
        """Return the images without the masks among them.

        Raises
        ------
        InvalidInput
            The pattern has fields that the paths of images must give, and there is no pattern of images.
        """
        has_dicom = bool(findings.dicom or findings.zips)
        if self._path_fields and self._image_pattern is None and not has_dicom:
            raise InvalidInput(
                f"the pattern of masks {self._pattern!r} needs {', '.join(self._path_fields)} from the path of the "
                "image; give --pattern too"
            )
        masks = {found.path: mask for found in findings.images if (mask := self._find_for_file(found)) is not None}
        mask_paths = set(masks.values())
        images = []
        for found in findings.images:
            if found.path in mask_paths or not mask_paths.isdisjoint(found.path.parents):
                continue
            if found.path not in masks and self._may_be_mask(found, has_dicom):
                self._candidates.append(found)
                continue
            images.append(found)
        self._mask_of_file = {found.path: masks[found.path] for found in images if found.path in masks}
        self._found = set(self._mask_of_file.values())
        return images

    def assign_masks(
        self, groups: Iterable[Sequence[NamedImage]], preference: Sequence[str]
    ) -> Iterator[Sequence[NamedImage]]:
        """Assign each mask to one image of its group, the one that is pre-segmented if possible; the others share it."""
        for group in groups:
            paths = [self._find_for_image(image) for image in group]
            masks = [None if path is None else KnownMask(path, self.labels) for path in paths]
            yield assign(masks, group, preference)

    def masks_without_image(self) -> list[FoundFile]:
        """Return the files that match the pattern and are the mask of no image; valid once all groups were assigned."""
        return [
            found
            for found in self._candidates
            if found.path not in self._found and self._found.isdisjoint(found.path.parents)
        ]

    def _find_for_image(self, image: NamedImage) -> Path | None:
        series = image.series
        if series is None:
            return self._mask_of_file.get(image.path)
        fields = {
            "name": series.name,
            "case": _NNUNET_CHANNEL.sub("", series.name),
            "participant": image.participant,
            "session": series.session,
            "station": image.station,
            "sequence": image.sequence,
        }
        if not all(fields[name] for name in _FIELD.findall(self._pattern)):
            return None  # a series without a station has no mask that is named after its station
        relative = self._fill_in(fields)
        above = {parent for folder in series.mask_folders for parent in (folder, *folder.parents)}
        found = [path for folder in series.mask_folders if (path := folder / relative).exists() and path not in above]
        mask = next(iter(found), None)
        if mask is not None:
            self._found.add(mask)
        return mask

    def _find_for_file(self, found: FoundFile) -> Path | None:
        name = strip_suffix(found.path.name)
        fields = {"name": name, "case": _NNUNET_CHANNEL.sub("", name)}
        if self._image_pattern is not None:
            matched = self._image_pattern.match(found)
            if matched is None:
                return None
            fields |= matched
        elif self._path_fields:
            return None
        relative = self._fill_in(fields)
        depth = len(found.relative.parts)
        base = found.path.parents[depth - 1]
        # Where a file or a subfolder was imported, the pattern may begin above it, as that of the images may.
        candidates = [base / relative]
        candidates += [parent / relative for parent in base.parents[: len(PurePosixPath(relative).parts)]]
        above = (found.path, *found.path.parents)  # an image is not its own mask, nor inside it
        return next((path for path in candidates if path.exists() and path not in above), None)

    def _fill_in(self, fields: Mapping[str, str]) -> str:
        return _FIELD.sub(lambda match: fields.get(match[1], "").replace("/", "_"), self._pattern)

    def _may_be_mask(self, found: FoundFile, has_dicom: bool) -> bool:
        """Whether the pattern can lead to a file, whatever its fields stand for.

        Parameters
        ----------
        has_dicom : whether DICOM is imported too; the pattern of images then refers to the DICOM files.
        """
        if not has_dicom and self._image_pattern is not None and self._image_pattern.match(found) is not None:
            return False
        paths = (found.relative, *found.relative.parents)
        return any(self._any_mask.fullmatch(PurePosixPath(*path.parts[-self._depth :]).as_posix()) for path in paths)
