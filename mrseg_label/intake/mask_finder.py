"""Which mask belongs to which image: found by a pattern of paths, beside files and beside DICOM series."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from mrseg_label.errors import InvalidInput
from mrseg_label.intake.assign import Source
from mrseg_label.intake.discover import Findings, Found, strip_suffix
from mrseg_label.intake.mask_labels import check_mask_labels
from mrseg_label.intake.pattern import FIELDS, Pattern
from mrseg_label.intake.sequences import most_preferred

_FIELD = re.compile(r"\{(\w*)\}")
_NNUNET_CHANNEL = re.compile(r"_\d{4}$")


class MaskFinder:
    """Finds the mask of an image.

    Parameters
    ----------
    pattern : path below the imported folder in which ``{participant}``, ``{session}``, ``{station}`` and
        ``{sequence}`` stand for those of the image, ``{name}`` for the name of its file without suffix (of a DICOM
        series: of the folder or zip that it lies in), ``{case}`` for the same without nnU-Net's ``_0000``. It leads
        to a file, or to a folder with one file a structure (TotalSegmentator).
    labels_file : the label map, see :func:`mrseg_label.intake.mask_labels.read_mask_labels`.
    image_pattern : the pattern of the images.
    """

    def __init__(self, pattern: str, labels_file: Path | None, image_pattern: str | None) -> None:
        known = (*FIELDS, "name", "case")
        unknown = [name for name in _FIELD.findall(pattern) if name not in known]
        if unknown or pattern.startswith(("/", "\\")) or ".." in PurePosixPath(pattern).parts:
            raise InvalidInput(
                f"the pattern of masks {pattern!r} cannot be used: it is a path below the imported folder, its fields are "
                f"{', '.join(f'{{{name}}}' for name in known)}"
            )
        self.pattern = pattern
        self.labels = check_mask_labels(labels_file)
        self.images = Pattern(image_pattern) if image_pattern else None
        self._needed = [name for name in _FIELD.findall(pattern) if name in FIELDS]
        self._depth = len(PurePosixPath(pattern).parts)
        pieces = [re.escape(piece) for piece in re.split(r"\{\w*\}", PurePosixPath(pattern).as_posix())]
        self._anything = re.compile("[^/]*".join(pieces))
        self._candidates: list[Found] = []
        self._claimed: set[Path] = set()
        self._of_file: dict[Path, Path] = {}

    def sort_out(self, findings: Findings) -> list[Found]:
        """The images without what are masks.

        Raises
        ------
        InvalidInput
            The pattern takes fields from the paths of images, and no pattern says where they stand.
        """
        exports = bool(findings.dicom or findings.zips)
        if self._needed and self.images is None and not exports:
            raise InvalidInput(
                f"the pattern of masks {self.pattern!r} takes {', '.join(self._needed)} from the path of the image: "
                "give --pattern too"
            )
        found_masks = {found.path: mask for found in findings.images if (mask := self._of(found)) is not None}
        claimed = set(found_masks.values())
        kept = []
        for found in findings.images:
            if found.path in claimed or not claimed.isdisjoint(found.path.parents):
                continue
            if found.path not in found_masks and self._looks_like_one(found, exports):
                self._candidates.append(found)
                continue
            kept.append(found)
        self._of_file = {found.path: found_masks[found.path] for found in kept if found.path in found_masks}
        self._claimed = set(self._of_file.values())
        return kept

    def with_masks(self, groups: Iterable[Sequence[Source]], preference: Sequence[str]) -> Iterator[Sequence[Source]]:
        """Give each mask to one image of its group: the one that is drafted on, if it is there; the others share it."""
        for group in groups:
            masks = [self._of_source(source) for source in group]
            chosen: dict[int, Path] = {}
            for mask in {mask for mask in masks if mask is not None}:
                channels = [index for index, other in enumerate(masks) if other == mask]
                best = channels[most_preferred([group[index].sequence for index in channels], preference)]
                chosen[best] = mask
            yield [replace(source, mask=chosen.get(index)) for index, source in enumerate(group)] if chosen else group

    def unclaimed(self) -> list[Found]:
        """Files that the pattern leads to and that are the mask of no image; to be asked when all groups were seen."""
        return [
            found
            for found in self._candidates
            if found.path not in self._claimed and self._claimed.isdisjoint(found.path.parents)
        ]

    def _of_source(self, source: Source) -> Path | None:
        if source.volume is None:
            return self._of_file.get(source.path)
        volume = source.volume
        known = {"participant": source.participant, "station": source.station, "sequence": source.sequence}
        fields = {"name": volume.name, "case": _NNUNET_CHANNEL.sub("", volume.name), "session": volume.session, **known}
        if not all(fields[name] for name in _FIELD.findall(self.pattern)):
            return None  # a series without a station has no mask that is called after its station
        relative = self._filled_in(fields)
        above = {parent for folder in volume.beside for parent in (folder, *folder.parents)}
        found = [path for folder in volume.beside if (path := folder / relative).exists() and path not in above]
        mask = next(iter(found), None)
        if mask is not None:
            self._claimed.add(mask)
        return mask

    def _of(self, found: Found) -> Path | None:
        name = strip_suffix(found.path.name)
        fields = {"name": name, "case": _NNUNET_CHANNEL.sub("", name)}
        if self.images is not None:
            matched = self.images.match(found)
            if matched is None:
                return None
            fields |= matched
        elif self._needed:
            return None
        relative = self._filled_in(fields)
        depth = len(found.relative.parts)
        base = found.path.parents[depth - 1]
        wanted = [base / relative]
        # A file or a subfolder was given: the pattern may begin above it, as the images' own does.
        wanted += [parent / relative for parent in base.parents[: len(PurePosixPath(relative).parts)]]
        above = (found.path, *found.path.parents)  # no image is its own mask, nor lies in it
        return next((path for path in wanted if path.exists() and path not in above), None)

    def _filled_in(self, fields: Mapping[str, str]) -> str:
        return _FIELD.sub(lambda match: fields.get(match[1], "").replace("/", "_"), self.pattern)

    def _looks_like_one(self, found: Found, exports: bool) -> bool:
        """Whether the pattern can lead to a file, whatever its fields stand for.

        Parameters
        ----------
        exports : DICOM comes in too, of which the pattern of images speaks.
        """
        if not exports and self.images is not None and self.images.match(found) is not None:
            return False
        paths = (found.relative, *found.relative.parents)
        return any(self._anything.fullmatch(PurePosixPath(*path.parts[-self._depth :]).as_posix()) for path in paths)
