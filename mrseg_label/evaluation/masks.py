"""Read a prediction and its reference from files, each by the names of its own label ids, onto one grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrseg_label.errors import LabelError
from mrseg_label.imaging.formats import read_header
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.imaging.nrrd_file import SEGMENTATION_SUFFIX
from mrseg_label.imaging.volume import grid_of
from mrseg_label.intake.images import MaskLabels
from mrseg_label.intake.masks.label_lists import read_label_list
from mrseg_label.labels import LabelScheme
from mrseg_label.segments.decode import Decoded, decode, decode_segments
from mrseg_label.segments.files import Segment, Segmentation, read_segmentation
from mrseg_label.segments.value_names import name_values
from mrseg_label.text import listed

DATA_SET_FILE = "dataset.json"


@dataclass(frozen=True)
class Judged:
    """A mask in the ids of the scheme, and the structures that it can say something about.

    Attributes
    ----------
    mask : (X, Y, Z) uint8.
    names : structures that its label list has, whether the image has them or not.
    notes : what was left out or moved, in words.
    """

    mask: NDArray[np.uint8]
    names: frozenset[str]
    notes: tuple[str, ...]


def find_labels(folder: Path, stated: Path | None, scheme: LabelScheme) -> tuple[MaskLabels, str]:
    """Find the names of the label ids of a folder's masks: as stated, else nnU-Net's ``dataset.json`` in it, else the scheme's.

    Returns
    -------
    labels, origin : pairs of a label id and its name, and where they come from.

    Raises
    ------
    InvalidInput, LabelError
        The file cannot be used, or has no structure of the scheme.
    """
    own = folder / DATA_SET_FILE
    path = stated or (own if own.is_file() else None)
    if path is None:
        return [(structure.id, structure.name) for structure in scheme], "the label scheme"
    labels = read_label_list(path)
    named = name_values(scheme, np.zeros((1, 1, 1), np.uint16), labels, lenient=True)
    if not named.names:
        raise LabelError(
            f"{path}: has no structure of the label scheme, which has {listed(scheme.names, 8)}; it names "
            f"{listed([name for _, name in labels], 8)}"
        )
    return labels, str(path)


def read_pair(
    scheme: LabelScheme, prediction: Path, prediction_labels: MaskLabels, reference: Path, reference_labels: MaskLabels
) -> tuple[Judged, Judged, Geometry]:
    """Read two masks of one image.

    The grid is the reference's; Slicer crops segmentations (``.seg.nrrd``), so where only the reference is one, it is the prediction's.
    Other axis orders and directions are undone exactly; nothing is interpolated.

    Raises
    ------
    GeometryError
        They do not lie on one grid.
    LabelError, InvalidInput, TooLarge
        A file is damaged, or has a label id without a name.
    """
    cropped = _is_segmentation(reference) and not _is_segmentation(prediction)
    geometry, _ = grid_of(read_header(prediction if cropped else reference))
    return (
        _read(scheme, prediction, prediction_labels, geometry),
        _read(scheme, reference, reference_labels, geometry),
        geometry,
    )


def _read(scheme: LabelScheme, path: Path, labels: MaskLabels, geometry: Geometry) -> Judged:
    if _is_segmentation(path):
        decoded = decode(scheme, geometry, path, [], partial=True)
        return _judged(decoded, decoded.incomplete)
    segmentation = read_segmentation(path, geometry)
    _check_values(path, segmentation, labels)
    named = name_values(scheme, segmentation.layers[0], labels, lenient=True)
    segments = [Segment(name, 0, value) for value, name in enumerate(named.names, start=1)]
    decoded = decode_segments(scheme, Segmentation((named.layer,), None, segmentation.notes), segments)
    return _judged(decoded, named.notes)


def _check_values(path: Path, segmentation: Segmentation, labels: MaskLabels) -> None:
    known = {int(value) for value, _ in labels}
    unknown = [value for value in np.unique(segmentation.layers[0]).tolist() if value and value not in known]
    if unknown:
        raise LabelError(
            f"{path.name}: contains the label ids {listed(unknown, 8)}, which have no name among the {len(known)} of its label list; give "
            "the list that belongs to these masks with --labels, --prediction-labels or --reference-labels"
        )


def _judged(decoded: Decoded, notes: Sequence[str]) -> Judged:
    overlaps = [f"{count:,} voxels of two structures: {pair}" for pair, count in decoded.overlaps.items()]
    return Judged(decoded.mask, frozenset(decoded.voxels), (*decoded.notes, *notes, *overlaps))


def _is_segmentation(path: Path) -> bool:
    return path.name.lower().endswith(SEGMENTATION_SUFFIX)
