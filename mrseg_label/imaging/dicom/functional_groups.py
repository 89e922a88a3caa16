"""Look up the attributes of a frame of an enhanced image: in its own groups, the shared groups, then the file.

References
----------
DICOM PS3.3, C.7.6.16: Multi-frame Functional Groups Module.
"""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset

PER_FRAME, SHARED = "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"
GROUPS = (PER_FRAME, SHARED)
# The groups that contain each attribute.
_GROUPS_OF = {
    "ImagePositionPatient": ("PlanePositionSequence",),
    "ImageOrientationPatient": ("PlaneOrientationSequence",),
    "PixelSpacing": ("PixelMeasuresSequence",),
    "RescaleSlope": ("PixelValueTransformationSequence",),
    "RescaleIntercept": ("PixelValueTransformationSequence",),
    "EffectiveEchoTime": ("MREchoSequence",),
    "FrameType": ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence"),
    "ComplexImageComponent": ("MRImageFrameTypeSequence",),
    "TemporalPositionIndex": ("FrameContentSequence",),
    "FrameAcquisitionDateTime": ("FrameContentSequence",),
    "NominalCardiacTriggerDelayTime": ("CardiacSynchronizationSequence",),
    "RepetitionTime": ("MRTimingAndRelatedParametersSequence",),
    "FlipAngle": ("MRTimingAndRelatedParametersSequence",),
    "SpectrallySelectedSuppression": ("MRModifierSequence",),
    "DiffusionBValue": ("MRDiffusionSequence",),
    "AcquisitionNumber": ("FrameContentSequence",),
}


class FunctionalGroups:
    """The attributes of one frame by keyword, as a plain data set has them."""

    def __init__(self, ds: Dataset, index: int) -> None:
        frames = ds.get(PER_FRAME)
        shared = ds.get(SHARED)
        self._groups = [frames[index]] if frames else []
        self._groups += [shared[0]] if shared else []
        self._file = ds

    def get(self, key: str) -> Any:
        """Return the value of an attribute, or None."""
        for group in _GROUPS_OF.get(key, ()):
            for groups in self._groups:
                sequence = groups.get(group)
                if sequence and key in sequence[0]:
                    return sequence[0].get(key)
        return self._file.get(key)
