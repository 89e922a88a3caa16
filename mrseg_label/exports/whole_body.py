"""The whole body of a participant: the stations of one sequence as one image and one label map.

The rules of the common grid, of overlaps and of labels are those of :mod:`mrseg_label.imaging.whole_body`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrseg_label.catalog.tables import Examination
from mrseg_label.exports.dataset import Case, Person, Way
from mrseg_label.exports.files import FIXED_TIME, File, json_file
from mrseg_label.exports.tables import describe_mask
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.mapped import map_voxels
from mrseg_label.imaging.nifti import write_slabs
from mrseg_label.imaging.whole_body import Layout, image_slabs, mask_slabs, match_intensities, plan_layout, upright
from mrseg_label.nnunet.modality import CT
from mrseg_label.workspace import Workspace

_RULES = 1  # raised when a composed file of the same sources would differ
OVERLAP = {
    "intensities": "where stations overlap, a mean weighted by the distance to the nearer end of each station",
    "labels": "of the annotated station whose centre is nearest",
    "outside": "0, or the smallest grey value if that is negative",
}


@dataclass(frozen=True)
class WholeBodies:
    """Whether, and how, the stations of each participant are composed too.

    Attributes
    ----------
    match : make stations equally bright.
    """

    wanted: bool = False
    match: bool = False

    def __bool__(self) -> bool:
        return self.wanted


@dataclass(frozen=True)
class Part:
    """A station of a whole body, with its case where it is annotated."""

    image: Examination
    station: str
    case: Case | None

    @property
    def geometry(self) -> Geometry:
        """The grid of the station."""
        return Geometry.from_json(self.image.geometry)

    @property
    def way(self) -> Way:
        """How the image came by its mask."""
        if self.case is None:
            return Way.WITHOUT
        return next((one.way for one in self.case.images if one.examination.id == self.image.id), Way.WITHOUT)


@dataclass(frozen=True)
class Body:
    """The stations of one session of a participant in one sequence, from head to foot.

    Attributes
    ----------
    left_out : ids of images of repeated stations, of which another was taken.
    """

    session: str
    sequence: str
    parts: tuple[Part, ...]
    left_out: tuple[str, ...]

    @property
    def is_labelled(self) -> bool:
        """Whether any station has a mask."""
        return any(part.way is not Way.WITHOUT for part in self.parts)

    @cached_property
    def layout(self) -> Layout:
        """The stations on their common grid."""
        return plan_layout([part.geometry for part in self.parts])


def bodies_of(person: Person) -> list[Body]:
    """Find what can be composed of a participant: every sequence that at least two stations of a session have.

    Of a station that was imaged more than once, the annotated image is taken, else the last one.
    """
    cases = {case.station.acquisition.id: case for case in person.cases}
    groups: dict[tuple[str, str], dict[int, list[Part]]] = {}
    for station in person.stations:
        for image in station.channels:
            part = Part(image, station.acquisition.station, cases.get(station.acquisition.id))
            groups.setdefault((station.session, image.sequence), {}).setdefault(station.number, []).append(part)
    found = []
    for (session, sequence), by_number in sorted(groups.items()):
        if len(by_number) < 2:
            continue
        parts, left_out = [], []
        for _, repeats in sorted(by_number.items()):
            best = max(repeats, key=lambda one: (one.way is not Way.WITHOUT, one.image.created_at, one.image.id))
            parts.append(best)
            left_out += sorted(one.image.id for one in repeats if one is not best)
        found.append(Body(session, sequence, tuple(parts), tuple(left_out)))
    return found


def body_files(
    workspace: Workspace, body: Body, image_path: str, mask_path: str, *, match: bool = False, more: dict[str, Any]
) -> Iterator[File]:
    """Yield the image, the label map (where a station is annotated) and what is known of both.

    Parameters
    ----------
    match : make stations equally bright; never with CT, whose values have a meaning.
    more : further entries of the sidecar.
    """
    matched = match and body.sequence != CT
    sources = [(part.image.digest, part.case.annotation.digest if part.case is not None and part.way is not Way.WITHOUT else "") for part in body.parts]  # fmt: skip
    identity = hashlib.sha256(repr((_RULES, matched, sources)).encode()).hexdigest()
    composer = _Composer(workspace, body, matched)
    yield File(image_path, f"body:{identity}", FIXED_TIME, composer.write_image)
    if body.is_labelled:
        yield File(mask_path, f"labels:{identity}", FIXED_TIME, composer.write_mask)
    yield json_file(image_path.removesuffix(".nii.gz") + ".json", more | composer.describe())


@dataclass(frozen=True)
class _Composer:
    workspace: Workspace
    body: Body
    match: bool

    def write_image(self, target: Path) -> None:
        with self.workspace.scratch("body-") as scratch:
            images = self._images(scratch)
            slabs = image_slabs(self.body.layout, images, [one or 1.0 for one in self._scales(images)])
            first = next(slabs)
            write_slabs(target, first.dtype, self.body.layout.geometry, _chained(first, slabs))

    def write_mask(self, target: Path) -> None:
        with self.workspace.scratch("body-") as scratch:
            masks: list[NDArray[np.uint8] | None] = []
            for number, part in enumerate(self.body.parts):
                if part.case is None or part.way is Way.WITHOUT:
                    masks.append(None)
                    continue
                masks.append(self._read(part.case.annotation.path, part.geometry, scratch / str(number)))
            write_slabs(target, np.uint8, self.body.layout.geometry, mask_slabs(self.body.layout, masks))

    def describe(self) -> dict[str, Any]:
        layout, grid = self.body.layout, self.body.layout.geometry
        scales: Sequence[float | None] = [1.0] * len(self.body.parts)
        if self.match:
            with self.workspace.scratch("body-") as scratch:
                scales = self._scales(self._images(scratch))
        return {
            "session": self.body.session,
            "sequence": self.body.sequence,
            "shape": list(grid.shape),
            "spacing_mm": [round(value, 6) for value in grid.spacing_mm],
            "affine": grid.affine.tolist(),
            "resampled": not layout.exact,
            "interpolation": None if layout.exact else {"intensities": "linear", "labels": "nearest voxel"},
            "overlaps": OVERLAP,
            "intensities_matched": self.match,
            "left_out": list(self.body.left_out),
            "stations": [
                {
                    "station": part.station,
                    "examination": part.image.id,
                    "image_sha256": part.image.digest,
                    "shape": list(part.geometry.shape),
                    "affine": part.geometry.affine.tolist(),
                    "first_index": [round(float(value), 3) for value in placed.low],
                    "last_index": [round(float(value), 3) for value in placed.high],
                    "scaled_by": scale if scale is None else round(scale, 6),
                    "mask": str(part.way),
                    "annotation": None if part.case is None or part.way is Way.WITHOUT else describe_mask(part.case),
                }
                for part, placed, scale in zip(self.body.parts, layout.stations, scales, strict=True)
            ],
        }

    def _images(self, scratch: Path) -> list[NDArray[Any]]:
        return [
            self._read(part.image.path, part.geometry, scratch / str(number))
            for number, part in enumerate(self.body.parts)
        ]

    def _scales(self, images: Sequence[NDArray[Any]]) -> Sequence[float | None]:
        return match_intensities(self.body.layout, images) if self.match else [1.0] * len(images)

    def _read(self, path: str, grid: Geometry, scratch: Path) -> NDArray[Any]:
        array, found = map_voxels(self.workspace.path(path), scratch)
        found.require(grid, f"the grid of the stored file {path}, compared with that of its image,")
        return upright(array, grid)


def _chained(first: NDArray[Any], others: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    yield first
    yield from others
