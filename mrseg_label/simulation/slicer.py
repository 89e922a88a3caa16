"""Read images and masks and export segments as label maps, as Slicer does.

This uses SimpleITK, which is built on the same toolkit as Slicer, and not the readers of the server, so that an error
in those is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from mrseg_label.errors import GeometryError
from mrseg_label.simulation.editing import LabelMap


@dataclass(frozen=True)
class Export:
    """The form in which a reader submits.

    Attributes
    ----------
    habit : description for the report.
    segments : names in the order of the segment list; the k-th gets the label id k.
    suffix : of the exported file.
    hidden_before : number of background and scribble segments above them in the list.
    """

    habit: str
    segments: tuple[str, ...]
    suffix: str
    hidden_before: int = 0


def read_image(path: Path) -> sitk.Image:
    """Read an image or a mask."""
    return sitk.ReadImage(str(path))


def array_of(image: sitk.Image) -> NDArray[np.generic]:
    """Return the voxels of an image, (Z, Y, X)."""
    voxels: NDArray[np.generic] = sitk.GetArrayFromImage(image)
    return voxels


def resample_to_grid(mask: sitk.Image, image: sitk.Image) -> sitk.Image:
    """Resample a mask to the grid of an image: exact if only the axes differ, nearest neighbour otherwise."""
    return sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, mask.GetPixelID())


def same_grid(first: sitk.Image, second: sitk.Image) -> bool:
    """Whether size, spacing, origin and direction agree within the precision of file headers."""
    tolerance = 0.01 * min(first.GetSpacing())
    return bool(
        first.GetSize() == second.GetSize()
        and np.allclose(first.GetSpacing(), second.GetSpacing(), rtol=0, atol=tolerance)
        and np.allclose(first.GetOrigin(), second.GetOrigin(), rtol=0, atol=tolerance)
        and np.allclose(first.GetDirection(), second.GetDirection(), rtol=0, atol=1e-3)
    )


def to_label_ids(mask: sitk.Image, names: Sequence[str], ids: Mapping[str, int], image: sitk.Image) -> LabelMap:
    """Convert a mask from the server to the label ids of the scheme, interpreting it as Slicer does.

    Parameters
    ----------
    names : label id v of the mask is the v-th name.
    ids : label id of the scheme by name.
    image : the image to which the mask belongs.

    Returns
    -------
    (Z, Y, X) uint8.

    Raises
    ------
    GeometryError
        The mask is not on the image's grid, or has a label id without a name.
    """
    if not same_grid(mask, image):
        raise GeometryError(
            f"the pre-segmentation's grid (size {mask.GetSize()}, spacing {mask.GetSpacing()}, origin {mask.GetOrigin()}) "
            f"differs from the image's grid (size {image.GetSize()}, spacing {image.GetSpacing()}, origin {image.GetOrigin()})"
        )
    values = sitk.GetArrayFromImage(mask)
    if int(values.max()) > len(names):
        raise GeometryError(f"the pre-segmentation has the label id {values.max()}, but only {len(names)} segments")
    table = np.array([0, *(ids[name] for name in names)], dtype=np.uint8)
    labels: LabelMap = table[values]
    return labels


def plan_export(names: Sequence[str], present: set[str], rng: np.random.Generator) -> Export:
    """Choose at random how a reader exports: segments reordered, empty ones removed, or another file type."""
    habit = str(rng.choice(["as loaded", "reordered", "empty segments removed", "NIfTI"]))
    segments = list(names)
    if habit == "reordered":
        segments = [names[k] for k in rng.permutation(len(names))]
    elif habit == "empty segments removed":
        segments = [name for name in names if name in present]
    suffix = ".nii.gz" if habit == "NIfTI" else ".nrrd"
    return Export(habit, tuple(segments), suffix, hidden_before=int(rng.integers(0, 2)))


def write_export(labels: LabelMap, ids: Mapping[str, int], export: Export, image: sitk.Image, folder: Path) -> Path:
    """Export segments as Slicer does: int16, label id k for the k-th segment of the list.

    Parameters
    ----------
    labels : (Z, Y, X) uint8 in the label ids of the scheme, on the grid of ``image``.
    ids : label id of the scheme by name.
    """
    table = np.zeros(256, dtype=np.int16)
    for position, name in enumerate(export.segments, start=1):
        table[ids[name]] = position
    exported = sitk.GetImageFromArray(table[labels])
    exported.CopyInformation(image)
    path = folder / f"label{export.suffix}"
    sitk.WriteImage(exported, str(path), useCompression=True)
    return path
