"""Read DICOM: files to frames, frames to stacks, a stack to an image. Nothing here stores a patient's identity.

References
----------
DICOM PS3.3, C.7.6.2 (Image Plane), C.7.6.16 (Multi-frame Functional Groups):
https://dicom.nema.org/medical/dicom/current/output/html/part03.html
"""

from __future__ import annotations

from mrseg_label.imaging.dicom.files import MaskObject, NotAnImage, NotDicom, UnusableImage
from mrseg_label.imaging.dicom.frames import Frame, read_frames
from mrseg_label.imaging.dicom.patient import Patient
from mrseg_label.imaging.dicom.stacks import Stack, stacks_of
from mrseg_label.imaging.dicom.volume import load_stack

__all__ = [
    "Frame",
    "MaskObject",
    "NotAnImage",
    "NotDicom",
    "Patient",
    "Stack",
    "UnusableImage",
    "load_stack",
    "read_frames",
    "stacks_of",
]
