"""Give DICOM segmentations and structure sets to the images that they refer to: of the same import, or stored before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from mrseg_label.catalog.opening import OpenedWorkspace
from mrseg_label.catalog.queries import acquisitions, examinations
from mrseg_label.catalog.tables import Acquisition, Examination
from mrseg_label.errors import GeometryError, InvalidInput, MrsegError
from mrseg_label.imaging import Geometry
from mrseg_label.imaging.dicom.volume import arrange
from mrseg_label.intake.dicom.exports import Export
from mrseg_label.intake.dicom.pseudonyms import Pseudonyms
from mrseg_label.intake.dicom.scan import FoundMask
from mrseg_label.intake.dicom.series import SeriesFiles
from mrseg_label.intake.files.containers import Folder, Zip
from mrseg_label.intake.grouping import session_of
from mrseg_label.intake.images import NamedImage
from mrseg_label.intake.options import ImportReport
from mrseg_label.intake.sequences import most_preferred
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.dicom.reading import read_dicom_mask

_ADVICE = (
    "import it together with the images that it was drawn on, or give the path of the masks with --masks, such as "
    '--masks "{participant}/{station}.dcm"'
)


@dataclass(frozen=True)
class DicomMask:
    """A segmentation or a structure set inside an export.

    Attributes
    ----------
    participant : as the import states it, or the pseudonym of the patient in the file.
    """

    found: FoundMask
    files: Folder | Zip
    export: Export
    redact: Callable[[str], str]
    participant: str

    @property
    def path(self) -> Path:
        """Where it lies; inside a zip, as if that were a folder."""
        found = self.export.found.path
        return (found if self.export.is_zip or found.is_dir() else found.parent) / self.found.name

    @property
    def shown(self) -> str:
        """The path as the report shows it."""
        return self.redact(str(self.path))

    def read(self) -> bytes:
        """Read the file."""
        with self.files.opened() as read:
            return read(self.found.name)


@dataclass
class MaskIntake:
    """What an import does with the masks among its DICOM files.

    Attributes
    ----------
    by_pattern : whether the import says itself where masks are, so that others are left out.
    lonely : masks that refer to no image of their export; collected here.
    """

    scheme: LabelScheme
    preference: Sequence[str]
    by_pattern: bool
    lonely: list[DicomMask] = field(default_factory=list)

    def assign(self, groups: list[list[NamedImage]]) -> Assignment:
        """Begin to give masks to images, which are changed in place."""
        return Assignment(groups, self.scheme, self.preference)


@dataclass
class Assignment:
    """Which masks of an export go to which of its images."""

    groups: list[list[NamedImage]]
    scheme: LabelScheme
    preference: Sequence[str]

    def give(self, mask: DicomMask) -> bool:
        """Give a mask to an image: of the series that it refers to, else of its frame of reference and its grid.

        Returns
        -------
        False where there is no such image, or images of several acquisitions.
        """
        references = mask.found.references
        candidates = self._candidates(lambda series: series.stack.first.series in references.series)
        if not candidates:
            candidates = self._candidates(lambda series: series.stack.first.reference in references.frames)
            candidates = self._on_grid(candidates, mask)
        elif len(candidates) > 1:
            candidates = self._on_grid(candidates, mask)
        if len(candidates) != 1:
            return False
        ((number, indices),) = candidates.items()
        group = self.groups[number]
        taken = [index for index in indices if group[index].dicom_masks]
        chosen = taken[0] if taken else indices[most_preferred([group[i].sequence for i in indices], self.preference)]
        image = group[chosen]
        group[chosen] = replace(image, mask=image.mask or mask.path, dicom_masks=(*image.dicom_masks, mask))
        return True

    def _candidates(self, matches: Callable[[SeriesFiles], bool]) -> dict[int, list[int]]:
        """The images by the number of their group."""
        found: dict[int, list[int]] = defaultdict(list)
        for number, group in enumerate(self.groups):
            for index, image in enumerate(group):
                if isinstance(image.series, SeriesFiles) and matches(image.series):
                    found[number].append(index)
        return dict(found)

    def _on_grid(self, candidates: Mapping[int, Sequence[int]], mask: DicomMask) -> dict[int, list[int]]:
        if not candidates:
            return {}
        data = mask.read()
        found: dict[int, list[int]] = {}
        for number, indices in candidates.items():
            kept = [index for index in indices if self._fits(self.groups[number][index], data)]
            if kept:
                found[number] = kept
        return found

    def _fits(self, image: NamedImage, data: bytes) -> bool:
        assert isinstance(image.series, SeriesFiles)
        try:
            _, geometry, _ = arrange(image.series.stack.frames)
        except MrsegError:
            return False
        return fits(data, geometry, self.scheme)


def fits(data: bytes, geometry: Geometry, scheme: LabelScheme) -> bool:
    """Whether a mask lies on a grid; what else is wrong with it, its import says."""
    try:
        read_dicom_mask(data, geometry, scheme)
    except GeometryError:
        return False
    except MrsegError:
        return True
    return True


@dataclass(frozen=True)
class StoredImage:
    """An image that was imported before, in the place of a series (:class:`mrseg_label.intake.images.Series`)."""

    source_digest: str
    redaction: Callable[[str], str]
    name: str = ""
    session: str = ""
    mask_folders: tuple[Path, ...] = ()

    def load(self, max_bytes: int) -> NoReturn:
        """Nothing is loaded: the image is stored already."""
        raise InvalidInput(
            f"the image of this mask was removed during the import (at most {max_bytes:,} bytes); import both"
        )

    def read_ground(self, folder: Path) -> NoReturn:
        """Nothing is read: the mask is no folder of pictures."""
        raise InvalidInput(f"{folder.name} is no ground truth of this image")

    def headers(self) -> list[Any]:
        """The workspace keeps none."""
        return []

    def redact(self, text: str) -> str:
        """Remove what identifies the patient from a text."""
        return self.redaction(text)


def masks_of_stored(
    workspace: OpenedWorkspace, lonely: Sequence[DicomMask], pseudonyms: Pseudonyms, report: ImportReport
) -> Iterator[list[NamedImage]]:
    """Yield the stored images that masks refer to, each with its mask; masks of none are refused.

    An image is known by the token of its series, or where no series is named by its participant and its grid.
    """
    for one in lonely:
        try:
            stored = _stored_image(workspace, one, pseudonyms)
        except (MrsegError, OSError) as error:
            report.refuse(one.shown, one.redact(str(error)))
            continue
        if stored is None:
            report.refuse(one.shown, f"refers to no image of this import, and to none that is stored; {_ADVICE}")
            continue
        image, acquisition = stored
        yield [
            NamedImage(
                path=one.export.found.path,
                shown=image.source,
                origin=image.source,
                participant=acquisition.participant.code,
                stated=True,
                session=session_of(acquisition),
                station=acquisition.station,
                sequence=image.sequence,
                series=StoredImage(image.source_digest, one.redact),
                mask=one.path,
                dicom_masks=(one,),
            )
        ]


def _stored_image(
    workspace: OpenedWorkspace, one: DicomMask, pseudonyms: Pseudonyms
) -> tuple[Examination, Acquisition] | None:
    references = one.found.references
    with workspace.catalog.read() as session:
        tokens = [pseudonyms.token("series", uid) for uid in sorted(references.series)]
        found = [image for token in tokens for image in examinations.of_series(session, token)]
        if not found and not references.series:
            found = list(examinations.of_participant_code(session, one.participant))
        if len({image.acquisition_id for image in found}) > 1:
            data = one.read()
            found = [image for image in found if fits(data, Geometry.from_json(image.geometry), workspace.scheme)]
        if len({image.acquisition_id for image in found}) != 1:
            return None
        acquisition = acquisitions.get(session, found[0].acquisition_id)
        assert acquisition is not None
        return next((image for image in found if image.id == acquisition.primary_examination_id), found[0]), acquisition
