"""Structure sets for tests, as treatment planning systems write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from mrseg_label.imaging.dicom.writing import encode
from tests.support.dicom_files import empty

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


def structure_set(
    regions: Mapping[str, Sequence[NDArray[np.float64]]],
    *,
    kind: str = "CLOSED_PLANAR",
    codes: Mapping[str, tuple[str, str]] | None = None,
    series: str = "1.2.3.4",
    study: str = "1.2.3",
    frame: str = "1.2.3.99",
) -> bytes:
    """Make a structure set.

    Parameters
    ----------
    regions : contours of each region, (n, 3) RAS mm.
    codes : code and coding scheme of regions.
    """
    ds = empty(RTSTRUCT, study=study, uid=f"{series}.5")
    ds.Modality, ds.StructureSetLabel = "RTSTRUCT", "plan"
    for key in ("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(ds, key)
    del ds.PixelRepresentation
    one_series = item(SeriesInstanceUID=series)
    one_study = item(ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1", RTReferencedSeriesSequence=[one_series])
    ds.ReferencedFrameOfReferenceSequence = [item(FrameOfReferenceUID=frame, RTReferencedStudySequence=[one_study])]
    del ds.FrameOfReferenceUID
    rois, contours, observations = [], [], []
    for number, (name, polygons) in enumerate(regions.items(), start=1):
        rois.append(item(ROINumber=number, ReferencedFrameOfReferenceUID=frame, ROIName=name))
        listed = [
            item(
                ContourGeometricType=kind,
                NumberOfContourPoints=len(points),
                ContourData=[DSfloat(v, auto_format=True) for v in (points * (-1, -1, 1)).ravel().tolist()],
            )
            for points in polygons
        ]
        contours.append(item(ReferencedROINumber=number, **({"ContourSequence": listed} if listed else {})))
        observed = item(ObservationNumber=number, ReferencedROINumber=number, RTROIInterpretedType="ORGAN")
        if codes and name in codes:
            code = item(CodeValue=codes[name][0], CodingSchemeDesignator=codes[name][1], CodeMeaning=name)
            observed.RTROIIdentificationCodeSequence = [code]
        observations.append(observed)
    ds.StructureSetROISequence, ds.ROIContourSequence = rois, contours
    ds.RTROIObservationsSequence = observations
    return encode(ds)


def item(**attributes: object) -> Dataset:
    """Make the item of a sequence."""
    ds = Dataset()
    for key, value in attributes.items():
        setattr(ds, key, value)
    return ds
