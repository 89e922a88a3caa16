"""Read the regions of interest of a structure set (RTSTRUCT) onto the grid of their image.

References
----------
DICOM PS3.3, C.8.8.5 (Structure Set), C.8.8.6 (ROI Contour), C.8.8.8 (RT ROI Observations).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from mrseg_label.errors import GeometryError, InvalidInput
from mrseg_label.imaging.contours import fill_contours
from mrseg_label.imaging.dicom.grid import LPS_TO_RAS
from mrseg_label.imaging.dicom.values import text, whole
from mrseg_label.imaging.geometry import Geometry
from mrseg_label.segments.dicom.layers import Layers
from mrseg_label.segments.dicom.naming import SegmentNames, first_item
from mrseg_label.segments.files import MAX_SEGMENTS

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def add_structures(ds: Dataset, image: Geometry, names: SegmentNames, layers: Layers) -> None:
    """Fill the closed contours of each region of interest; a region without contours is a segment without voxels.

    Raises
    ------
    GeometryError
        A contour is not in a slice of the image, or reaches beyond the image.
    InvalidInput
        There are no regions, or one has contours that are not closed.
    LabelError
        Name and code of a region contradict each other.
    """
    regions = ds.get("StructureSetROISequence") or []
    if not regions:
        raise InvalidInput("the structure set has no regions of interest")
    if len(regions) > MAX_SEGMENTS:
        raise InvalidInput(f"the structure set has {len(regions)} regions; at most {MAX_SEGMENTS} are allowed")
    contours = {whole(item, "ReferencedROINumber"): item for item in ds.get("ROIContourSequence") or []}
    observed = {whole(item, "ReferencedROINumber"): item for item in ds.get("RTROIObservationsSequence") or []}
    for region in regions:
        number = whole(region, "ROINumber")
        coded = first_item(observed.get(number, Dataset()), "RTROIIdentificationCodeSequence")
        name = names.name_of(text(region, "ROIName"), coded)
        listed = list(contours.get(number, Dataset()).get("ContourSequence") or [])
        closed = [item for item in listed if text(item, "ContourGeometricType") != "POINT"]
        if listed and not closed:
            layers.notes.append(f"the region {name!r} is only a point and was left out")
            continue
        polygons = [_polygon(item, name) for item in closed]
        try:
            layers.add(name, fill_contours(polygons, image) if polygons else None)
        except GeometryError as error:
            raise GeometryError(f"the region {name!r}: {error}") from error


def _polygon(item: Dataset, name: str) -> NDArray[np.float64]:
    """Read a closed contour: (n, 3) RAS mm."""
    kind = text(item, "ContourGeometricType")
    if kind not in _CLOSED:
        raise InvalidInput(
            f"the region {name!r} has contours of the type {kind or 'unknown'}; only closed ones (CLOSED_PLANAR) have a volume"
        )
    data = np.array([float(value) for value in item.get("ContourData") or []], dtype=np.float64)
    count = whole(item, "NumberOfContourPoints") or len(data) // 3
    if len(data) != 3 * count or count < 1 or not np.isfinite(data).all():
        raise InvalidInput(f"a contour of the region {name!r} promises {count} points and has {len(data)} numbers")
    points: NDArray[np.float64] = data.reshape(-1, 3) @ LPS_TO_RAS
    return points
